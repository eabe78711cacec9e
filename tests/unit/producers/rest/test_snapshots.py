"""Current rates by REST against a small Binance on loopback: whose, when, and when no more."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from producers.exchanges.binance_usdm import EXCHANGE
from producers.exchanges.spec import Exchange, Listing, RateLimit, Slice
from producers.policy.instruments import InstrumentRegistry
from producers.policy.outages import Filled
from producers.policy.ownership import Rest
from producers.policy.polling import Polling
from producers.policy.rate_limiter import RateLimiter
from producers.rest.client import SNAPSHOT_TIMEOUT_S, RestClient
from producers.rest.raw_replies import RawReplies
from producers.rest.snapshots import Snapshots
from schemas.clock import SystemClock
from schemas.contract_status import ContractStatus
from schemas.control_items import UNREADABLE
from tests.support.feed_parts import FakePublisher
from tests.support.waiting import until_changed

LISTED = "ABC"
PLENTY = {"weight": RateLimit(1_000_000_000, 60.0)}


def _generous() -> Exchange:
    """Return an exchange whose calls cost next to nothing."""
    exchange = copy.copy(EXCHANGE)
    exchange.limits = PLENTY
    return exchange


GENEROUS = _generous()


class SmallBinance:
    """The premium index of five contracts, one of them halted and one delisted."""

    def __init__(self) -> None:
        self.asked = 0
        self.status = 200
        self.body = json.dumps([{"symbol": s, "lastFundingRate": f"0.{s!r}"} for s in "ABCHX"])
        self.answers = asyncio.Event()
        self.answers.set()
        self.changed = asyncio.Event()

    async def premium_index(self, _request: web.Request) -> web.Response:
        """Answer, once it is allowed to."""
        self.asked += 1
        self.changed.set()
        await self.answers.wait()
        return web.Response(status=self.status, text=self.body)


class Log(FakePublisher):
    """What was published; tells when there is more of it."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()

    async def publish(self, slices: Any, *, channel: str, purpose: str, **rest: Any) -> int:
        self.changed.set()
        return await super().publish(slices, channel=channel, purpose=purpose, **rest)

    def symbols(self, purpose: str = "fallback") -> list[set[str | None]]:
        """Whose rates each reply brought."""
        return [{s.symbol for s in slices} for of, _, slices in self.log if of == purpose]


class Case:
    """Snapshots that run, and both ends of them."""

    def __init__(self, small: SmallBinance, log: Log, taken: Snapshots) -> None:
        self.small, self.log, self.taken = small, log, taken

    async def asked(self, times: int) -> None:
        """Wait until the exchange was asked so often."""
        await until_changed(self.small.changed, lambda: self.small.asked >= times)

    async def published(self, times: int, purpose: str = "fallback") -> None:
        """Wait until so many replies were published."""
        await until_changed(self.log.changed, lambda: len(self.log.symbols(purpose)) >= times)


@asynccontextmanager
async def running(
    run: Callable[[Snapshots], Coroutine[Any, Any, None]],
    *,
    period_s: float = 0.02,
    timeout_s: float = SNAPSHOT_TIMEOUT_S,
    listed: Iterable[str] = LISTED,
    unseen: Iterable[str] = (),
) -> AsyncIterator[Case]:
    """One of the loops over a small exchange that costs nothing."""
    small, log = SmallBinance(), Log()
    app = web.Application()
    app.router.add_get("/fapi/v1/premiumIndex", small.premium_index)
    registry = InstrumentRegistry()
    entries = [Listing(s, ContractStatus.TRADING) for s in listed]
    halted, delisted = Listing("H", ContractStatus.HALTED), Listing("X", ContractStatus.DELISTED)
    registry.update("exchangeInfo", (), [*entries, halted, delisted])
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        clock, url = SystemClock(), str(server.make_url("/"))
        rest = RestClient(GENEROUS, url, session, RateLimiter(PLENTY), clock)
        raw_replies = RawReplies(GENEROUS, rest, cast("Any", log), clock)
        polling = Polling(period_s, soon_s=0.02, retry_s=0.02)
        taken = Snapshots(
            GENEROUS, raw_replies, registry, polling, clock, timeout_s, unseen=lambda: list(unseen)
        )
        task = asyncio.create_task(run(taken))
        try:
            yield Case(small, log, taken)
            assert not task.done()
        finally:
            small.answers.set()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_only_silent_contracts_are_published_and_soon() -> None:
    """The reply has them all; what the stream brings, and what is delisted, is left out."""
    async with running(Snapshots.serve, period_s=3_600.0) as case:
        assert case.taken.filled == Filled(0, 0)
        case.taken.want({"A", "C"})
        async with asyncio.timeout(1):
            await case.published(1)
        assert case.log.symbols() == [{"A", "C"}]
        ((purpose, channel, slices),) = case.log.log
        assert (purpose, channel) == ("fallback", "premiumIndex")
        assert slices[0] == Slice("A", b'{"symbol": "A", "lastFundingRate": "0.\'A\'"}')


async def test_polls_go_on_until_the_stream_is_back_and_stop_then() -> None:
    """Polling stops when the stream is back, and a later silence polls its own contract only."""
    async with running(Snapshots.serve) as case:
        case.taken.want({"A"})
        await case.published(3)
        assert case.taken.polling.rest(time.monotonic(), 3) is Rest.SERVING
        case.taken.want(())
        assert case.taken.polling.rest(time.monotonic(), 3) is Rest.IDLE
        before, asked = len(case.log.symbols()), case.small.asked
        case.taken.want({"C"})
        await case.asked(asked + 2)
        await case.published(before + 2)
        told = case.log.symbols()
        assert all(symbols == {"A"} for symbols in told[:before])
        assert told[before + 1] == {"C"}
        assert {"B"} not in told
        assert case.taken.filled.polls >= 4


async def test_what_the_stream_brings_meanwhile_is_its_own() -> None:
    """When a reply arrives, only contracts that are still silent take their rates from it."""
    async with running(Snapshots.serve, period_s=3_600.0) as case:
        case.small.answers.clear()
        case.taken.want({"A", "B"})
        await case.asked(1)
        case.taken.want({"B"})
        case.small.answers.set()
        await case.published(1)
        assert case.log.symbols() == [{"B"}]
        assert case.taken.filled.rates == 1


async def test_a_failed_poll_is_made_again() -> None:
    """Server errors and replies that are none: nothing is published of them but what they were."""
    async with running(Snapshots.serve, period_s=1.0) as case:
        case.small.status = 500
        case.taken.want({"A"})
        await case.asked(2)
        assert case.log.log == []
        assert case.taken.polling.rest(time.monotonic(), 3) is Rest.IDLE
        case.small.status, case.small.body = 200, "<html>"
        await until_changed(case.log.changed, lambda: bool(case.log.log))
        assert case.log.log[0] == ("stream", UNREADABLE, [Slice(None, b"<html>")])
        case.small.body = '[{"symbol":"A"},{"symbol":5},{"symbol":"B"}]'
        await case.published(1)
        ((_, _, slices),) = (entry for entry in case.log.log if entry[0] == "fallback")
        assert slices == [Slice("A", b'{"symbol":"A"}'), Slice(None, b'{"symbol":5}', False)]
        assert case.taken.filled.polls == 1


async def test_a_reply_that_takes_too_long_is_given_up() -> None:
    """A current rate has to be current: it is asked for again."""
    async with running(Snapshots.serve, period_s=1.0, timeout_s=0.05) as case:
        case.small.answers.clear()
        case.taken.want({"A"})
        await case.asked(2)
        case.small.answers.set()
        await case.published(1)


async def test_the_stream_is_compared_with_all_contracts() -> None:
    """Hybrid: at a period, those that the stream brings above all, and it counts as no filling."""
    async with running(lambda taken: taken.reconcile(0.02)) as case:
        await case.published(2, "reconcile")
        assert case.log.symbols("reconcile")[:2] == [set(LISTED)] * 2
        assert case.log.symbols("fallback") == []
        assert case.taken.filled == Filled(0, 0)


async def test_contracts_that_were_not_pushed_since_the_hour_began_have_the_reply_s_rates() -> None:
    """Beside the comparison, without a call of their own; the halted one is not among them."""
    async with running(lambda taken: taken.reconcile(0.02), unseen="BH") as case:
        await case.published(2)
        assert case.log.symbols("reconcile")[0] == set(LISTED)
        assert case.log.symbols()[0] == {"B"}
        assert case.small.asked == len(case.log.symbols("reconcile"))


async def test_without_a_stream_all_contracts_are_polled() -> None:
    """They are polled at the period, also after a failure, and count as served by REST. What the
    reply brings of halted ones is published, and nobody waits for it.
    """
    async with running(Snapshots.poll) as case:
        await case.published(2)
        case.small.status = 503
        await case.asked(case.small.asked + 2)
        case.small.status = 200
        await case.published(len(case.log.symbols()) + 1)
        assert all(symbols == {*LISTED, "H"} for symbols in case.log.symbols())
        assert case.taken.polling.wanted == set(LISTED)
        assert case.taken.polling.rest(time.monotonic(), 3) is Rest.SERVING


async def test_replies_without_what_was_asked_for_serve_nobody() -> None:
    """An exchange that answers 200 and nothing is no fallback."""
    async with running(Snapshots.serve) as case:
        case.small.body = "[]"
        case.taken.want({"A"})
        await case.asked(3)
        assert case.taken.polling.rest(time.monotonic(), 3) is Rest.IDLE
        assert case.taken.filled == Filled(0, 0)
        case.small.body = '[{"symbol":"X","lastFundingRate":"0.1"}]'
        await case.asked(5)
        assert case.taken.polling.rest(time.monotonic(), 3) is Rest.IDLE
