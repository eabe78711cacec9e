"""Log lines about failures hold no secret of a URL, and every error is logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, cast

import aiohttp
import pytest

from producers.exchanges.binance_usdm import EXCHANGE
from producers.exchanges.spec import RestCall, SocketKind, SubscribeFrame
from producers.feed import backfill
from producers.policy.asking_again import AskingAgain
from producers.policy.quarantine import Quarantine
from producers.policy.rate_limiter import RateLimiter
from producers.policy.replies import Replies
from producers.rest.client import RestClient, RestError
from producers.websocket.session import ConnectionContext, FrameOutcome, Session
from producers.websocket.transport import TransportError
from schemas.clock import SystemClock
from schemas.errors import UnavailableError
from tests.support.clock import ManualClock

SECRET = "hunter2-hunter2"
PING = RestCall("ping", "/ping")


@pytest.mark.parametrize("port", ["1", f"{SECRET}/x@127.0.0.1:1"])
async def test_a_failed_call_does_not_tell_the_password(port: str) -> None:
    """Nor where the password makes it no URL."""
    url = f"http://user:{SECRET}@127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        client = RestClient(EXCHANGE, url, session, RateLimiter(EXCHANGE.limits), ManualClock())
        with pytest.raises(RestError) as caught:
            await client.fetch(PING)
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("http://***@127.0.0.1:1/ping: ")


class ClosingWire:
    """A connection that the exchange closes as soon as our subscribing has failed."""

    def __init__(self) -> None:
        self.failed = asyncio.Event()

    async def recv(self, timeout_s: float) -> NoReturn:
        assert timeout_s > 0
        await self.failed.wait()
        raise TransportError("closed")

    async def send(self, _text: str) -> None:
        """Takes everything."""


async def test_a_bug_in_subscribing_is_told_though_the_socket_ends_first() -> None:
    """Else the connection would come back for ever, and nobody would know why it brings nothing."""
    transport = ClosingWire()

    def subscribe(_symbols: Sequence[str]) -> Sequence[SubscribeFrame]:
        transport.failed.set()
        raise KeyError("ours")

    async def on_frame(_identity: str, _message: bytes, _received_at: int) -> FrameOutcome:
        return FrameOutcome(data=True)

    kind = SocketKind("mark", 30.0, 3_600.0, capacity=5, subscribe=subscribe)
    wanted = frozenset({"A"})
    context = ConnectionContext(
        "test/mark",
        kind,
        on_frame,
        Quarantine(),
        AskingAgain(),
        Replies(),
        (),
        None,
        lambda: wanted,
        SystemClock(),
    )
    with pytest.raises(KeyError, match="ours"):
        await Session(context, cast("Any", transport), "test/mark/1").run()


class Part:
    """What a backfill runs for a feed, as far as it needs to be; each part may fail."""

    def __init__(self, failing: str, error: Exception) -> None:
        self.complete = asyncio.Event()
        self.progress, self.rows = 0.0, 0
        self._failing, self._error = failing, error
        self.waiting = asyncio.Event()

    async def _run(self, name: str) -> None:
        if name == self._failing:
            raise self._error
        await self.waiting.wait()

    async def serve(self) -> None:
        await self._run("serve")

    async def run(self) -> None:
        if self._failing == "run":
            raise self._error
        self.complete.set()
        await self.waiting.wait()

    async def fill(self) -> None:
        await self._run("fill")


@pytest.fixture
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is left for the event loop's own handler, which tells of lost errors."""
    yield
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("failing", ["serve", "run", "fill"])
async def test_whatever_fails_in_a_backfill_ends_it_at_once(
    failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The delivery to Kafka and the contracts' list run beside the filling, which may wait long."""
    caplog.set_level(logging.ERROR)
    wanted = UnavailableError("Kafka refuses")
    bad, good = Part(failing, wanted), Part("", wanted)
    fillings = [
        backfill._Filling(EXCHANGE, cast("Any", p), cast("Any", p), cast("Any", p))
        for p in (good, bad)
    ]
    async with asyncio.timeout(10):
        with pytest.raises(BaseExceptionGroup) as caught:
            await backfill._fill_all(fillings, lambda _progress, _rows: None)
    assert caught.group_contains(UnavailableError, match="Kafka refuses")
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_backfill_that_is_done_ends_all_its_tasks() -> None:
    """Once Kafka has everything."""

    class Done(Part):
        delivered_rows = False

        async def fill(self) -> None:
            self.progress = 1.0

        async def delivered(self) -> None:
            assert self.progress == 1.0
            self.delivered_rows = True

    part = Done("", KeyError())
    one = backfill._Filling(EXCHANGE, cast("Any", part), cast("Any", part), cast("Any", part))
    async with asyncio.timeout(10):
        await backfill._fill_all([one], lambda _progress, _rows: None)
    assert part.delivered_rows
    assert asyncio.all_tasks() == {asyncio.current_task()}
