"""A feed's sockets against a small exchange on loopback: tickets, sources, listings."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from producers.exchanges import backpack, exchange
from producers.exchanges.spec import Exchange, SubscribeFrame
from producers.policy.endpoints import Endpoints
from producers.policy.rate_limiter import RateLimiter
from producers.rest.client import RestClient
from producers.websocket.config import ConnectionConfig
from producers.websocket.connection import ConnectionCallbacks
from producers.websocket.pool import ConnectionPool
from producers.websocket.session import FrameOutcome
from schemas.clock import SystemClock
from tests.support.waiting import until_changed

KUCOIN = exchange("kucoin")


class SmallKucoin:
    """Both sockets and bullet-public, as far as connecting needs them
    (docs/exchanges/kucoin.md §A, §B).
    """

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.outcome: list[tuple[str, str]] = []
        self.open: dict[str, web.WebSocketResponse] = {}
        self.changed = asyncio.Event()
        self.app = web.Application()
        self.app.router.add_post("/kucoin/api/v1/bullet-public", self.bullet)
        self.app.router.add_get("/kucoin/", self.socket)
        self.app.router.add_get("/kucoin/classic/", self.socket)

    async def bullet(self, request: web.Request) -> web.Response:
        """Name this server, and a token that serves once."""
        self.tokens.append(f"token/{len(self.tokens)}")
        endpoint = f"ws://{request.host}/kucoin/classic/"
        data = {"token": self.tokens[-1], "instanceServers": [{"endpoint": endpoint}]}
        return web.json_response({"code": "200000", "data": data})

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """Greet, then note what is said."""
        name = request.query.get("token", "uta")
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.open[name] = ws
        await ws.send_bytes(b'{"id":"1","type":"welcome","message":"welcome"}')
        async for message in ws:
            self.outcome.append((name, message.data))
            self.changed.set()
        return ws

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that was heard makes the condition true."""
        await until_changed(self.changed, condition)

    def said(self, name: str, *keys: str) -> list[str]:
        """The topics or channels that a socket was asked for."""
        documents = [json.loads(text) for socket, text in self.outcome if socket == name]
        return [str(document[key]) for document in documents for key in keys if key in document]


async def on_frame(_identity: str, message: bytes, _received_at: int) -> FrameOutcome:
    """Read greetings, as the feed does."""
    return FrameOutcome(data=False, control=KUCOIN.slice_frame(message).control)


def pool_of(
    of: Exchange, endpoints: Endpoints, rest: RestClient, *, secondary: bool, spares: int
) -> ConnectionPool:
    """A pool that connects without waiting for its turn."""
    return ConnectionPool(
        of,
        endpoints,
        rest,
        ConnectionCallbacks(on_frame, lambda _closed: None),
        SystemClock(),
        lambda: 0.0,
        secondary=secondary,
        spares=spares,
        config=ConnectionConfig(attempts_per_s=1_000.0),
    )


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks that are cancelled at the end of the block."""
    ready: asyncio.Future[asyncio.TaskGroup] = asyncio.get_running_loop().create_future()

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            ready.set_result(tasks)
            await asyncio.Event().wait()

    grouped = asyncio.create_task(group())
    try:
        yield await ready
    finally:
        grouped.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await grouped


@asynccontextmanager
async def running(
    *, secondary: bool, spares: int = 0
) -> AsyncIterator[tuple[SmallKucoin, ConnectionPool, Callable[[set[str]], None]]]:
    """The sockets of KuCoin on a small one; and how to list contracts."""
    small = SmallKucoin()
    async with TestServer(small.app) as server, aiohttp.ClientSession() as session:
        endpoints = Endpoints("kucoin", str(server.make_url("/")))
        rest = RestClient(
            KUCOIN,
            endpoints.rest(KUCOIN.rest_url),
            session,
            RateLimiter(KUCOIN.limits),
            SystemClock(),
        )
        made = pool_of(KUCOIN, endpoints, rest, secondary=secondary, spares=spares)
        async with task_group() as tasks:
            yield small, made, lambda symbols: made.sync(tasks, *[frozenset(symbols)] * 2)


async def test_each_source_says_its_part() -> None:
    """One subscription on the first source; on the second topics, and announcements once."""
    async with running(secondary=True) as (small, made, listed):
        names = [f"S{n:03}USDTM" for n in range(250)]
        listed(set(names))
        await small.until(lambda: len(small.outcome) >= 8)
        assert small.said("uta", "channel", "topic") == ["funding-fee-all-symbols"]
        assert made.open == 4
        topics = [topic for token in small.tokens for topic in small.said(token, "topic")]
        assert topics.count("/contract/announcement") == 1
        for kind in ("instrument", "announcement"):
            parts = [t.split(":")[1].split(",") for t in topics if f"/{kind}:" in t]
            assert sorted(symbol for part in parts for symbol in part) == names
            assert max(map(len, parts)) <= 100
        assert len(small.tokens) == len(set(small.tokens)) == 3


async def test_no_second_connection_has_more_topics_than_are_safe() -> None:
    """The sources disagree about 300 on a connection (docs/exchanges/kucoin.md §B)."""
    async with running(secondary=True) as (small, _made, listed):
        listed({f"S{n:03}USDTM" for n in range(250)})
        await small.until(lambda: len(small.outcome) >= 8)
        for token in small.tokens:
            assert sum(topic.count("USDTM") or 1 for topic in small.said(token, "topic")) <= 250


async def test_a_listing_is_subscribed_on_the_socket_that_is_up() -> None:
    """A listing is subscribed and a delisting unsubscribed without a reconnect."""
    async with running(secondary=True) as (small, made, listed):
        listed({"AUSDTM"})
        await small.until(lambda: "/contract/instrument:AUSDTM" in small.said("token/0", "topic"))
        listed({"BUSDTM"})
        await small.until(lambda: small.said("token/0", "type").count("subscribe") == 5)
        assert small.said("token/0", "topic")[-4:] == [
            "/contract/instrument:AUSDTM",
            "/contract/announcement:AUSDTM",
            "/contract/instrument:BUSDTM",
            "/contract/announcement:BUSDTM",
        ]
        assert small.said("token/0", "type")[-4:] == ["unsubscribe"] * 2 + ["subscribe"] * 2
        assert made.connects == 2


async def test_each_connect_takes_a_fresh_token() -> None:
    """A used one is refused (docs/exchanges/kucoin.md §B)."""
    async with running(secondary=True) as (small, _made, listed):
        listed({"AUSDTM"})
        await small.until(lambda: "/contract/instrument:AUSDTM" in small.said("token/0", "topic"))
        await small.open["token/0"].close()
        await small.until(lambda: "/contract/instrument:AUSDTM" in small.said("token/1", "topic"))


async def test_the_second_source_can_be_left_out() -> None:
    """By a setting."""
    async with running(secondary=False) as (small, made, listed):
        listed({"AUSDTM"})
        await small.until(lambda: bool(small.outcome))
        assert [connection.wanted for connection in made] == [frozenset()]
        assert small.tokens == []


async def test_a_spare_says_the_same() -> None:
    """Of the first source; the second is a spare by itself."""
    async with running(secondary=True, spares=1) as (small, made, listed):
        listed({"AUSDTM"})
        await small.until(
            lambda: (
                len(small.said("uta", "channel")) == 2
                and "/contract/instrument:AUSDTM" in small.said("token/0", "topic")
            )
        )
        assert small.said("uta", "channel") == ["funding-fee-all-symbols"] * 2
        assert [connection.name for connection in made] == ["uta", "uta-spare-1", "classic"]
        assert (made.open, made.connects, made.attempts) == (3, 3, 3)


def one_by_one(symbols: Sequence[str]) -> Sequence[SubscribeFrame]:
    """A frame for each contract."""
    (kind,) = backpack.EXCHANGE.socket_kinds
    return [frame for symbol in symbols for frame in kind.subscribe([symbol])]


class SmallBackpack(backpack.Backpack):
    """Backpack, if a socket took two contracts and a frame one."""

    socket_kinds = (
        dataclasses.replace(backpack.EXCHANGE.socket_kinds[0], capacity=2, subscribe=one_by_one),
    )


async def test_each_shard_has_its_spares() -> None:
    """With its contracts, also those that are listed later."""
    outcome: list[str] = []
    changed = asyncio.Event()

    async def socket(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            outcome.append(json.loads(message.data)["params"][0])
            changed.set()
        return ws

    app = web.Application()
    app.router.add_get("/backpack/", socket)
    small = SmallBackpack()
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        endpoints = Endpoints("backpack", str(server.make_url("/")))
        rest = RestClient(small, "", session, RateLimiter(small.limits), SystemClock())
        made = pool_of(small, endpoints, rest, secondary=True, spares=2)
        async with asyncio.timeout(10), task_group() as tasks:
            made.sync(tasks, frozenset("ABC"), frozenset("ABC"))
            # Those that need not deliver are subscribed as well.
            made.sync(tasks, frozenset("BCDE"), frozenset("B"))
            while len(outcome) < 12:
                changed.clear()
                await changed.wait()
            names = {connection.name: set(connection.wanted) for connection in made}
    assert names == {
        "mark-price": {"B", "D"},
        "mark-price-spare-1": {"B", "D"},
        "mark-price-spare-2": {"B", "D"},
        "mark-price-2": {"C", "E"},
        "mark-price-2-spare-1": {"C", "E"},
        "mark-price-2-spare-2": {"C", "E"},
    }
    assert sorted(outcome) == sorted(f"markPrice.{symbol}" for symbol in "BCDE" * 3)
