"""The registry is refreshed: some calls in every other round, and in full after a failure."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from producers.exchanges.binance_usdm import BinanceUsdm
from producers.exchanges.spec import Slice, optional
from producers.policy.instruments import Change
from producers.policy.rate_limiter import RateLimiter
from producers.rest.client import RestClient
from producers.rest.instruments import (
    MAX_ASKED_ABOUT,
    UNKNOWN_EVERY_S,
    InstrumentRefresh,
    RefreshTimes,
)
from producers.rest.raw_replies import RawReplies
from tests.support.clock import ManualClock
from tests.support.feed_parts import FakePublisher
from tests.support.waiting import until_changed

INFO, FUNDING = "/fapi/v1/exchangeInfo", "/fapi/v1/fundingInfo"
ENTRY = '{"symbol":"%s","status":"TRADING","contractType":"PERPETUAL"}'


class Described(BinanceUsdm):
    """The description without the call that asks for liquidity."""

    fact_calls = BinanceUsdm.fact_calls[:2]


EXCHANGE = Described()


class SmallBinance:
    """The two resources that describe contracts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failing: set[str] = set()
        self.symbols = ["A", "B"]
        self.entries: list[str] | None = None
        """Instead of an entry for each symbol."""
        self.changed = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer, or fail where it is to."""
        self.asked.append(request.path)
        self.changed.set()
        if request.path in self.failing:
            return web.Response(status=500)
        if request.path == FUNDING:
            return web.Response(text='[{"symbol":"A","fundingIntervalHours":4}]')
        made = [ENTRY % symbol for symbol in self.symbols]
        entries = ",".join(made if self.entries is None else self.entries)
        return web.Response(text=f'{{"symbols":[{entries}]}}')

    async def until(self, calls: int) -> None:
        """Wait for so many calls."""
        await until_changed(self.changed, lambda: len(self.asked) >= calls)


class Case:
    """A registry over a small exchange."""

    def __init__(self, small: SmallBinance, session: aiohttp.ClientSession, url: str) -> None:
        self.small = small
        self.publisher = FakePublisher()
        self.changes: list[Change] = []
        self.clock = ManualClock()
        rest = RestClient(EXCHANGE, url, session, RateLimiter(EXCHANGE.limits), self.clock)
        self.raw_replies = RawReplies(EXCHANGE, rest, cast("Any", self.publisher), self.clock)
        self.instruments = self.refreshing()

    def refreshing(self, refresh_s: float = 3_600.0) -> InstrumentRefresh:
        """Make a refresh that has asked for nothing yet."""
        return InstrumentRefresh(
            EXCHANGE,
            self.raw_replies,
            refresh_s,
            self.changes.append,
            self.clock,
            lambda: 0.5,
            RefreshTimes(retry_s=0.01, gather_s=0.01),
        )

    async def round(self) -> list[str]:
        """What one refresh asks for."""
        self.small.asked.clear()
        await self.instruments.refresh()
        return list(self.small.asked)


@pytest.fixture
async def case() -> AsyncIterator[Case]:
    """It has asked for nothing yet."""
    small = SmallBinance()
    app = web.Application()
    app.router.add_get("/{path:.*}", small.answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield Case(small, session, str(server.make_url("/")))


@asynccontextmanager
async def running(instruments: InstrumentRefresh) -> AsyncIterator[None]:
    """The loop, until the block ends."""
    task = asyncio.create_task(instruments.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_funding_info_is_asked_for_in_every_other_round(case: Case) -> None:
    """Intervals change seldom; 15 calls an hour are all that a healthy feed may make."""
    assert [await case.round() for _ in range(4)] == [
        [INFO, FUNDING],
        [INFO],
        [INFO, FUNDING],
        [INFO],
    ]


@pytest.mark.parametrize("path", [INFO, FUNDING])
async def test_a_round_that_failed_is_made_again_in_full(case: Case, path: str) -> None:
    """Else an interval could be missing for two rounds."""
    case.small.failing = {path}
    assert not await case.instruments.refresh()
    assert await case.round() == [INFO, FUNDING]
    case.small.failing = set()
    assert await case.round() == [INFO, FUNDING]
    assert await case.round() == [INFO]


async def test_a_call_that_matters_little_fails_alone(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round is not made again for it: it is asked for at its own turn."""
    listing, intervals = EXCHANGE.fact_calls
    monkeypatch.setattr(EXCHANGE, "fact_calls", (listing, optional(intervals)))
    case.small.failing = {FUNDING}
    assert await case.instruments.refresh()
    assert case.instruments.complete.is_set()
    assert [await case.round() for _ in range(3)] == [[INFO], [INFO, FUNDING], [INFO]]
    case.small.failing = {INFO}
    assert not await case.instruments.refresh()


async def test_instruments_are_published_when_they_change(case: Case) -> None:
    """Once; contracts that come and go are told of."""
    await case.instruments.refresh()
    assert case.instruments.known.is_set()
    told = [(channel, [s.symbol for s in slices]) for _, channel, slices in case.publisher.log]
    assert told == [("exchangeInfo", ["A", "B"]), ("fundingInfo", ["A"])]
    assert case.changes[0].listed == {"A", "B"}
    case.publisher.log.clear()
    case.small.symbols = ["B", "C"]
    await case.instruments.refresh()
    entry, intervals = case.publisher.log
    assert intervals[1] == "fundingInfo", "of the new one, whose interval must not wait"
    assert entry[:2] == ("contract", "exchangeInfo")
    assert [piece.symbol for piece in entry[2]] == ["C"]
    assert case.changes[-2].listed == {"C"}
    assert case.changes[-2].delisted == {"A"}


async def test_nothing_is_known_while_no_list_has_come(case: Case) -> None:
    """A reply with intervals alone lists no contract."""
    case.small.failing = {INFO}
    assert not await case.instruments.refresh()
    assert not case.instruments.known.is_set()
    assert case.changes == []
    case.instruments.ask_about(["A"])
    case.instruments.doubt()
    assert not case.instruments._wanted.is_set()


async def test_an_unknown_contract_has_the_list_asked_for_in_full(case: Case) -> None:
    """Soon, once, and with the intervals: they are what is new of it."""
    async with running(case.instruments):
        # The second call may still be on its way: the round after this one has to be whole.
        await case.small.until(2)
        await case.instruments.known.wait()
        case.small.symbols.append("NEW")
        case.instruments.ask_about(["A", "NEW"])
        await case.small.until(4)
        assert case.small.asked == [INFO, FUNDING] * 2
    assert "NEW" in case.instruments.registry.streaming
    case.instruments._wanted.clear()
    case.instruments.ask_about(["NEW", "B"])
    assert not case.instruments._wanted.is_set()


async def test_silent_contracts_have_the_list_asked_for_now_and_then(case: Case) -> None:
    """They may be delisted; a contract that comes and goes does not make a call each time."""
    await case.instruments.refresh()
    case.instruments.doubt()
    assert case.instruments._wanted.is_set()
    case.instruments._wanted.clear()
    case.instruments.doubt()
    assert not case.instruments._wanted.is_set()
    case.clock.advance(RefreshTimes().doubt_every_s)
    case.instruments.doubt()
    assert case.instruments._wanted.is_set()


async def test_a_failed_round_is_made_again_before_its_time(case: Case) -> None:
    """With backoff, not after an hour."""
    case.small.failing = {INFO}
    async with running(case.instruments):
        await case.small.until(6)
        assert case.small.asked[:6] == [INFO, FUNDING] * 3


async def asked_at(case: Case, seconds: int, symbols: Callable[[int], list[str]]) -> list[int]:
    """When a refresh is asked for, second by second, with these symbols streaming."""
    found = []
    for second in range(seconds):
        case.clock.advance(1.0)
        case.instruments.ask_about(symbols(second))
        if case.instruments._wanted.is_set():
            case.instruments._wanted.clear()
            found.append(second)
    return found


async def test_a_symbol_that_streams_before_it_is_listed_is_asked_about_again(case: Case) -> None:
    """At once, then after 1, 3 and 7 minutes; what is listed by then is asked about no more."""
    await case.instruments.refresh()
    assert await asked_at(case, 3_000, lambda _: ["A", "NEW"]) == [0, 60, 180, 420]
    case.clock.advance(10_000)
    assert await asked_at(case, 3_000, lambda _: ["NEW", "LATER"]) == [0, 60, 180, 420]


async def test_made_up_symbols_have_the_list_asked_for_ever_more_seldom(case: Case) -> None:
    """New ones in each second: no more often than the regular refresh in the end."""
    case.instruments = case.refreshing(600.0)
    await case.instruments.refresh()
    asked = await asked_at(case, 4_000, lambda s: [f"X{s}-{n}" for n in range(20)])
    assert asked[:5] == [0, 60, 180, 420, 900]
    assert {b - a for a, b in pairwise(asked[4:])} == {600}
    assert len(case.instruments._asked_about) <= MAX_ASKED_ABOUT


async def test_a_contract_that_was_found_makes_the_next_one_be_asked_about_soon(case: Case) -> None:
    """An exchange that lists many in a row is no hostile one."""
    await case.instruments.refresh()
    await asked_at(case, 500, lambda _: ["NEW"])
    case.small.symbols.append("NEW")
    await case.instruments.refresh()
    case.clock.advance(UNKNOWN_EVERY_S)
    assert (await asked_at(case, 100, lambda _: ["NEXT"]))[:2] == [0, 60]


async def test_a_contradicted_list_is_asked_for_in_full(case: Case) -> None:
    """With the intervals, whose turn it is not; before any list is known it is on its way."""
    case.instruments.contradicted()
    assert not case.instruments._wanted.is_set()
    async with running(case.instruments):
        await case.small.until(2)
        await case.instruments.complete.wait()
        case.instruments.contradicted()
        await case.small.until(4)
        assert case.small.asked == [INFO, FUNDING] * 2


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the producer has warned of: the test's own web server logs as well."""
    return [r.getMessage() for r in caplog.records if r.name.startswith("producers.")]


async def test_a_contract_that_is_named_twice_does_not_flip(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    """One entry counts, and it is published once; the log tells it once, and again when it is
    another's turn.
    """
    case.small.entries = [ENTRY % "A", (ENTRY % "A").replace("TRADING", "SETTLING"), ENTRY % "B"]
    for turn in range(4):
        await case.instruments.refresh()
        assert case.instruments.registry.streaming == {"A", "B"}
        case.small.entries = case.small.entries[::-1]
        assert len(warnings_of(caplog)) == 1, turn
    facts = [piece for _, channel, slices in case.publisher.log for piece in slices
             if channel == "exchangeInfo"]  # fmt: skip
    assert facts == [Slice("A", (ENTRY % "A").encode()), Slice("B", (ENTRY % "B").encode())]
    assert all(not change.delisted for change in case.changes)
    case.small.entries = [ENTRY % "A", ENTRY % "B", ENTRY % "B"]
    await case.instruments.refresh()
    assert ["among them A" in warnings_of(caplog)[0], "among them B" in warnings_of(caplog)[1]] == [
        True
    ] * 2


async def test_an_unreadable_row_becomes_one_dead_letter(case: Case) -> None:
    """Not one with each refresh, of a symbol that is none and of a row that is none."""
    odd = [ENTRY % "", '{"odd":1}']
    case.small.entries = [ENTRY % "A", *odd]
    for _ in range(3):
        await case.instruments.refresh()
    letters = [piece.payload.decode() for _, _, slices in case.publisher.log for piece in slices
               if not piece.readable]  # fmt: skip
    assert letters == odd
    case.small.entries = [ENTRY % "A", *odd, '{"odd":2}']
    case.publisher.log.clear()
    await case.instruments.refresh()
    sent = [piece for _, _, slices in case.publisher.log for piece in slices]
    assert sent == [Slice(None, b'{"odd":2}', readable=False)]
