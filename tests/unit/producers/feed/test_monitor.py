"""The events that a feed's monitor reports: transitions, gaps, listings, clock skew, counts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from producers.feed.feed import Feed
from producers.policy.instruments import Change
from producers.policy.monitoring.event_counts import EVERY_S
from producers.policy.monitoring.state_report import UNLISTED_S
from producers.policy.polling import FAILING_S, TOLERATED_PERIODS
from producers.websocket.connection import Closed
from schemas.audit_facts import AuditCause, AuditFacts
from schemas.control_items import FEED_EVENT, FeedEvent
from schemas.times import US_PER_HOUR, US_PER_S
from tests.support.clock import ManualClock
from tests.support.feed_parts import FakePublisher, feed_of, listed

SOCKET = "mark-price"
ONE = f"binance-usdm/{SOCKET}/1"
TWO = f"binance-usdm/{SOCKET}/2"
SPARE = f"binance-usdm/{SOCKET}-spare-1/3"


class Case:
    """A feed that is not running; the test is its exchange, its clock and its REST."""

    def __init__(self, folder: Path, feed: str = "binance-usdm", **settings: Any) -> None:
        self.clock, self.publisher = ManualClock(), FakePublisher()
        self.feed: Feed = feed_of(folder, self.publisher, feed, self.clock, **settings)
        self.monitor = self.feed.monitor

    def bring(self, symbols: Iterable[str], identity: str = ONE, *, age_s: float = 0.0) -> None:
        """Data that the exchange has made so long ago."""
        self.monitor.opened(identity.split("/")[1], identity)
        now_us = self.clock.now_us()
        event_us = now_us - round(age_s * US_PER_S)
        self.feed._on_data(identity, list(symbols), event_us, now_us)

    def close(self, identity: str = ONE, *, handed_over: bool = False, ago_s: float = 0.0) -> None:
        """A connection ends, so long after its last data."""
        last_at = self.clock.now_us() - round(ago_s * US_PER_S)
        socket, reason = identity.split("/")[1], "closed by the exchange"
        self.feed._on_close(Closed(socket, identity, reason, last_at, handed_over))

    def look(self) -> None:
        """Time passes, and the feed is looked at."""
        self.clock.advance(0.25)
        self.feed.look()

    def poll(self, *, served: bool = True) -> None:
        """A poll by REST."""
        now_s = self.clock.monotonic_s()
        self.feed.polling.begun(now_s)
        self.feed.polling.ended(now_s, served=served)

    @property
    def wanted(self) -> frozenset[str]:
        """Whose rates REST brings."""
        return self.feed.polling.wanted

    def asks_for_list(self) -> bool:
        """Whether a refresh of the list was asked for since the last look at this."""
        asked = self.feed.instruments._wanted.is_set()
        self.feed.instruments._wanted.clear()
        return asked

    def asks_for_settlements(self) -> bool:
        """Whether missed settlements were asked for since the last look at this."""
        asked = self.feed.history._missed.is_set()
        self.feed.history._missed.clear()
        return asked

    async def events(self) -> list[FeedEvent]:
        """What was noted since the last call, as it stands on the raw log."""
        self.publisher.log.clear()
        await self.feed.event_log.publish()
        return [
            FeedEvent.unpack(piece.payload)
            for _, channel, slices in self.publisher.log
            if channel == FEED_EVENT
            for piece in slices
        ]

    async def kinds(self) -> list[str]:
        """The kinds of what was noted since the last call."""
        return [event.kind for event in await self.events()]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A feed with three contracts that has heard nothing."""
    made = Case(tmp_path)
    listed(made.feed, "A", "B", "C")
    return made


async def live(case: Case) -> Case:
    """The feed when all is well, and nothing noted."""
    case.bring("ABC")
    case.look()
    assert case.monitor.state == "live"
    await case.events()
    return case


async def test_a_start_is_told_and_is_no_recovery(case: Case) -> None:
    """Nor are the contracts of the first list news."""
    case.look()
    assert await case.events() == []
    case.bring("ABC")
    case.look()
    (event,) = await case.events()
    assert (event.kind, event.subject) == ("feed_state", "binance-usdm")
    assert event.detail == "connecting -> live: the stream brings 3 of 3 contracts"
    assert event.first_event_time < event.last_event_time == case.monitor.since_us
    assert case.monitor.detail == ""
    case.look()
    assert await case.events() == []


async def test_an_outage_is_told_from_its_begin_to_its_end(case: Case) -> None:
    """Gap and transition at once, failover when REST serves, recovery when the stream is back."""
    await live(case)
    last = case.clock.now_us() - 2 * US_PER_S
    case.close(ago_s=2.0)
    assert case.wanted == {"A", "B", "C"}
    opened, stalled = await case.events()
    assert (opened.kind, opened.first_event_time) == ("gap_opened", last)
    assert opened.facts == AuditFacts(cause=AuditCause.CLOSED, socket=SOCKET, connection_id=ONE)
    assert (stalled.kind, case.monitor.state) == ("feed_state", "stalled")
    assert stalled.detail == (
        "live -> stalled: the stream brings 0 of 3 contracts, silent: A, B, C "
        "(socket mark-price: closed by the exchange)"
    )
    case.poll()
    case.look()
    case.feed.snapshots.polls, case.feed.snapshots.rates = 4, 12
    assert await case.kinds() == ["failover"]
    case.bring("A", TWO)
    case.look()
    closed, recovering = await case.events()
    assert (closed.kind, closed.first_event_time) == ("gap_closed", last)
    assert "REST filled it with 12 rates of 4 polls" in closed.detail
    assert (recovering.kind, recovering.detail[:22]) == ("feed_state", "fallback -> recovering")
    assert case.wanted == {"B", "C"}
    case.bring("BC", TWO)
    case.look()
    assert await case.kinds() == ["recovery"]
    assert case.wanted == frozenset()
    assert case.monitor.detail == ""


async def test_a_handed_over_connection_leaves_no_gap(case: Case) -> None:
    """It was planned: the new one brings what it brought."""
    await live(case)
    case.bring("ABC", TWO)
    case.close(handed_over=True)
    assert (await case.events(), case.monitor.state, case.wanted) == ([], "live", frozenset())
    assert case.monitor.detail == ""


async def test_an_end_whose_successor_delivers_leaves_no_gap(case: Case) -> None:
    """The exchange closed the old one while the new one had begun."""
    await live(case)
    case.bring("AB", TWO)
    case.close()
    assert case.wanted == {"C"}
    assert await case.kinds() == ["feed_state"]


async def test_the_end_of_a_spare_is_a_gap_and_no_outage(case: Case) -> None:
    """What the other brings goes on; REST is not asked."""
    await live(case)
    case.bring("ABC", SPARE)
    case.close(SPARE)
    (event,) = await case.events()
    assert event.kind == "gap_opened"
    assert event.facts.socket == "mark-price-spare-1"
    assert (case.monitor.state, case.wanted) == ("live", frozenset())
    case.close()
    assert case.wanted == {"A", "B", "C"}


async def test_a_connection_without_data_leaves_no_gap(case: Case) -> None:
    """Attempts that fail one after the other are one gap, from the last data."""
    case.close()
    assert await case.events() == []
    assert case.monitor.detail == "socket mark-price: closed by the exchange"


async def test_listings_are_told_by_contract(case: Case) -> None:
    """A delisted contract is no longer expected, and a new one is expected from then on."""
    await live(case)
    listed(case.feed, "C", "NEW")
    assert [(event.kind, event.subject) for event in await case.events()] == [
        ("listed", "binance-usdm:NEW"),
        ("delisted", "binance-usdm:A"),
        ("delisted", "binance-usdm:B"),
    ]
    case.look()
    assert case.wanted == frozenset()
    case.feed.instruments.known.set()
    case.bring("AC")
    assert case.asks_for_list()


async def test_blindness_is_told_and_so_is_its_end(case: Case) -> None:
    """Neither brings anything: an alert is raised, and ended by the first of either."""
    await live(case)
    case.close()
    case.poll(served=False)
    assert "feed_down" not in await case.kinds()
    case.clock.advance(9.0)
    case.look()
    transition, down = await case.events()
    assert (transition.kind, down.kind, case.monitor.state) == ("feed_state", "feed_down", "down")
    assert "0 of 3 contracts" in down.detail
    case.poll()
    case.look()
    failover, recovered = await case.events()
    assert (failover.kind, recovered.kind) == ("failover", "feed_recovered")
    assert recovered.first_event_time == down.last_event_time
    assert recovered.detail.endswith(": fallback")


async def test_late_frames_are_no_life_unless_the_clock_is_off(case: Case) -> None:
    """By the exchange's clock they are of this moment; else they show what was a minute ago."""
    case.bring("ABC", age_s=60.0)
    case.look()
    assert case.monitor.state == "connecting"
    assert case.wanted == {"A", "B", "C"}
    case.feed.rest.clock_ahead_s = -60.0
    case.bring("ABC", age_s=60.0)
    case.look()
    assert (case.monitor.state, case.wanted) == ("live", frozenset())


async def test_a_clock_that_is_ahead_makes_nobody_younger(case: Case) -> None:
    """Frames of the future are of now; and what is late by their clock is late."""
    case.feed.rest.clock_ahead_s = 60.0
    for symbol, age_s in (("A", -60.0), ("B", -50.0), ("C", -600.0)):
        case.bring(symbol, age_s=age_s)
    case.look()
    assert case.wanted == {"B"}
    case.clock.advance(case.feed.exchange.silent_s)
    case.look()
    assert case.wanted == {"A", "B", "C"}


async def test_a_clock_that_is_off_is_told_once_and_so_is_its_end(case: Case) -> None:
    """Not with every reply."""
    for ahead_s in (-7.25, -7.0, 3.0):
        case.feed.rest.clock_ahead_s = ahead_s
        case.look()
    (event,) = await case.events()
    assert (event.kind, event.detail) == (
        "clock_skew",
        "the exchange's clock is -7.2 s from ours",
    )
    case.feed.rest.clock_ahead_s = 0.0
    case.look()
    case.look()
    (event,) = await case.events()
    assert (event.kind, event.detail) == ("clock_skew", "ended")


async def test_refusals_are_counted_by_the_minute(case: Case) -> None:
    """An event reports the count since the one before; there is none while the count is zero."""
    await live(case)
    found = []
    for refusals in (2, 2, 5):
        case.feed.rest.refusals = refusals
        case.clock.advance(EVERY_S)
        case.bring("ABC")
        case.look()
        found.append([(event.kind, event.count) for event in await case.events()])
    assert found == [[("rate_limited", 2)], [], [("rate_limited", 3)]]


async def test_an_hour_within_a_gap_is_missed(case: Case) -> None:
    """Its settlements are fetched; a gap between two hours misses none."""
    await live(case)
    for begin_s, end_s, missed in ((-1.0, 1.0, True), (1.0, 3_599.0, False)):
        case.clock.set_wall(500_000 * US_PER_HOUR + round(begin_s * US_PER_S))
        case.close()
        case.clock.set_wall(500_000 * US_PER_HOUR + round(end_s * US_PER_S))
        case.bring("ABC")
        assert case.asks_for_settlements() == missed
    case.clock.set_wall(600_000 * US_PER_HOUR)
    case.bring("ABC")
    assert not case.asks_for_settlements()


async def test_few_of_many_silent_are_named(case: Case) -> None:
    """An event stays short."""
    symbols = [f"S{n}" for n in range(9)]
    listed(case.feed, *symbols)
    case.bring(symbols)
    case.look()
    await case.events()
    case.close()
    event = (await case.events())[-1]
    assert "silent: S0, S1, S2, ... (socket" in event.detail


async def test_a_few_that_fall_silent_are_doubted(case: Case) -> None:
    """They may be delisted, so the list is asked for; an outage is no reason to ask."""
    symbols = [f"S{n:02}" for n in range(40)]
    case.feed.instruments.known.set()
    listed(case.feed, *symbols)
    case.bring(symbols)
    case.bring(["S00", "S01"], SPARE)
    case.close()
    case.look()
    assert len(case.wanted) == 38
    assert not case.asks_for_list()
    case.bring(symbols[2:], TWO)
    case.look()
    assert not case.asks_for_list()
    case.close(SPARE)
    assert case.wanted == {"S00", "S01"}
    assert case.asks_for_list()
    case.look()
    assert not case.asks_for_list()


async def test_a_kafka_that_takes_nothing_explains_the_silence(case: Case) -> None:
    """No frame is read then: the exchange is not to blame."""
    await live(case)
    case.publisher.full_for_s = 7.4
    case.close()
    event = (await case.events())[-1]
    assert event.detail.endswith("(Kafka takes nothing for 7 s, so reading is paused)")
    assert case.monitor.detail == "Kafka takes nothing for 7 s, so reading is paused"


async def test_without_a_stream_rest_is_the_normal_case(tmp_path: Path) -> None:
    """In the mode poll the feed is in fallback, and whom REST serves is not the watch's."""
    case = Case(tmp_path, producer_mode="poll")
    listed(case.feed, "A", "B")
    case.look()
    assert (case.monitor.state, case.wanted) == ("connecting", frozenset())
    case.feed.snapshots.want(["A", "B"])
    case.poll()
    case.look()
    assert case.monitor.state == "fallback"
    assert case.wanted == {"A", "B"}


async def test_a_slow_stream_s_contracts_are_rest_s_at_start(tmp_path: Path) -> None:
    """KuCoin pushes once a minute: the first rates come by REST, later listings have a grace."""
    case = Case(tmp_path, "kucoin")
    listed(case.feed, "A", "B")
    case.look()
    assert case.wanted == {"A", "B"}
    case.bring("A", "kucoin/uta/1")
    listed(case.feed, "A", "B", "NEW")
    case.look()
    assert case.wanted == {"B"}


async def test_a_feed_without_a_list_is_down_in_the_end(tmp_path: Path) -> None:
    """Nobody is served by what nobody knows; data alone makes it live."""
    case = Case(tmp_path)
    states = []
    for passed_s in (0.0, UNLISTED_S):
        case.clock.advance(passed_s)
        case.look()
        states.append(case.monitor.state)
    assert await case.kinds() == ["feed_state", "feed_down"]
    case.bring(["A"])
    case.look()
    assert [*states, case.monitor.state] == ["connecting", "down", "live"]


async def test_settlements_are_asked_for_where_nobody_brought_the_contracts(case: Case) -> None:
    """A gap over the full hour of a socket whose contracts another one brought is none."""
    case.clock.set_wall(500_000 * US_PER_HOUR + US_PER_S)
    spare_again = SPARE.replace("/3", "/4")
    case.bring("ABC")
    case.bring("ABC", SPARE)
    case.close(SPARE, ago_s=2.0)
    case.bring("ABC", spare_again)
    assert not case.asks_for_settlements()
    case.close(spare_again)
    case.close(ONE, ago_s=2.0)
    case.bring("ABC", TWO)
    assert case.asks_for_settlements()


async def test_a_list_that_is_too_long_is_told_once_an_hour(case: Case) -> None:
    """With how many contracts are left out; the worker makes an alert of it."""
    for _ in range(3):
        case.feed._on_listed(Change((), frozenset(), frozenset(), surplus=7))
    (event,) = await case.events()
    assert (event.kind, event.subject, event.count) == ("contract_cap", "binance-usdm", 7)
    case.clock.advance(3_600.0)
    case.feed._on_listed(Change((), frozenset(), frozenset(), surplus=7))
    assert await case.kinds() == ["contract_cap"]


def state_of(case: Case) -> tuple[str, str]:
    """The feed's state, and the contracts that REST is asked for."""
    return case.monitor.state, "".join(sorted(case.wanted))


class TestQuietContracts:
    """Where nothing is pushed while nothing changes, silence on a live socket is no trouble."""

    IDENTITY = "lighter/market-stats/1"

    @pytest.fixture
    def case(self, tmp_path: Path) -> Case:
        """Such a feed, whose three contracts were pushed a while ago, and one of them just now."""
        made = Case(tmp_path, "lighter")
        listed(made.feed, "A", "B", "C")
        made.monitor.carry(lambda _identity: frozenset("ABC"))
        made.bring("ABC", self.IDENTITY)
        made.clock.advance(made.feed.exchange.silent_s + 1.0)
        made.bring("A", self.IDENTITY)
        made.look()
        return made

    async def test_the_feed_is_live_and_rest_asks_for_them(self, case: Case) -> None:
        """The list is not doubted, and the event says why so few are pushed."""
        assert state_of(case) == ("live", "BC")
        assert not case.asks_for_list()
        status = case.feed.status()
        counts = ("contracts_live", "contracts_by_rest", "contracts_quiet")
        assert [status[count] for count in counts] == [1, 0, 2]  # type: ignore[literal-required]
        (event,) = await case.events()
        assert event.detail == "connecting -> live: the stream brings 1 of 3 contracts, 2 are quiet"

    async def test_with_their_socket_all_of_them_are_lost(self, case: Case) -> None:
        """Until a new connection brings data again and REST has shown them."""
        case.close(self.IDENTITY)
        assert state_of(case) == ("stalled", "ABC")
        case.poll()
        case.look()
        assert state_of(case)[0] == "fallback"
        case.bring("A", "lighter/market-stats/2")
        case.look()
        assert state_of(case)[0] == "recovering"
        case.feed._on_polled({"B": b"", "C": b""}, case.clock.now_us())
        case.look()
        assert state_of(case) == ("live", "BC")

    async def test_one_whose_change_is_not_pushed_is_served_by_rest(self, case: Case) -> None:
        """From when REST shows it for longer than a push takes, until it is pushed."""
        for rate in (b"0.1", b"0.2"):
            case.feed._on_polled({"B": b"0.7", "C": rate}, case.clock.now_us())
        for seconds in (0.5 * case.feed.exchange.silent_s, 0.6 * case.feed.exchange.silent_s):
            case.look()
            assert case.feed.status()["contracts_quiet"] == 2
            case.clock.advance(seconds)
            case.bring("A", self.IDENTITY)
        case.look()
        status = case.feed.status()
        assert (status["contracts_quiet"], status["contracts_by_rest"]) == (1, 1)
        case.bring("C", self.IDENTITY)
        case.look()
        status = case.feed.status()
        assert (status["contracts_quiet"], status["contracts_by_rest"]) == (1, 0)

    async def test_a_socket_that_brings_nothing_has_no_quiet_contracts(self, case: Case) -> None:
        """Open or not."""
        case.clock.advance(case.feed.exchange.silent_s)
        case.look()
        assert state_of(case)[0] == "stalled"


class TestAfterASettlement:
    """What is pushed in its first seconds is no estimate, and may be the last push for long."""

    IDENTITY = "gate/usdt/1"

    def unseen(self, tmp_path: Path, feed: str, pushed: dict[str, float], at_s: float) -> set[str]:
        """The contracts that lack an estimate, so long after an hour; `pushed`: when each was."""
        made = Case(tmp_path, feed)
        made.clock.set_wall(made.clock.now_us() // US_PER_HOUR * US_PER_HOUR)
        listed(made.feed, *pushed)
        passed_s = 0.0
        for symbol, pushed_s in sorted(pushed.items(), key=lambda item: item[1]):
            made.clock.advance(pushed_s - passed_s)
            passed_s = pushed_s
            made.bring([symbol], self.IDENTITY)
        made.clock.advance(at_s - passed_s)
        return set(made.monitor.unseen_since_settling())

    def test_those_that_were_pushed_within_it_alone_are_named(self, tmp_path: Path) -> None:
        """Gate's are 75 s."""
        pushed = {"A_USDT": 20.0, "B_USDT": 74.0, "C_USDT": 76.0}
        assert self.unseen(tmp_path, "gate", pushed, 150.0) == {"A_USDT", "B_USDT"}
        assert self.unseen(tmp_path, "gate", pushed, 76.0) == {"A_USDT", "B_USDT"}

    def test_none_are_while_nothing_else_can_be_shown(self, tmp_path: Path) -> None:
        """REST shows the same noise then."""
        assert self.unseen(tmp_path, "gate", {"A_USDT": 20.0}, 74.0) == set()

    def test_of_other_feeds_none_are(self, tmp_path: Path) -> None:
        """Those that push all contracts, and those whose estimates are good at once."""
        for feed in ("kucoin", "bybit", "binance-usdm"):
            assert self.unseen(tmp_path, feed, {"A": 20.0}, 150.0) == set()


class TestWithoutAStream:
    """REST is the source: its state is the feed's, and it stands in for nothing."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> Case:
        """Such a feed with three contracts."""
        made = Case(tmp_path, streams=False)
        listed(made.feed, "A", "B", "C")
        return made

    def poll(self, case: Case, symbols: str, *, served: bool = True) -> None:
        """A poll of all contracts that has brought some."""
        case.feed.snapshots.want(case.feed.registry.streaming)
        case.poll(served=served)
        if served:
            case.feed.snapshots.polls += 1
            case.feed.snapshots.rates += len(symbols)
            case.feed._on_polled(dict.fromkeys(symbols, b""), case.clock.now_us())

    async def test_it_is_live_by_rest_and_not_in_a_fallback(self, case: Case) -> None:
        """From its first poll on."""
        case.look()
        assert case.monitor.state == "connecting"
        self.poll(case, "ABC")
        case.look()
        status = case.feed.status()
        assert (status["state"], status["transport"]) == ("live", "rest")
        assert (status["contracts_live"], status["contracts_by_rest"]) == (3, 0)
        assert (status["frames"], status["updates"], status["connections"]) == (1, 3, 0)
        assert status["last_data_at"] is not None
        (event,) = await case.events()
        assert event.detail == "connecting -> live: REST brings 3 of 3 contracts"

    async def test_polls_that_fail_stall_it_and_then_take_it_down(self, case: Case) -> None:
        """The next that brings rates recovers it."""
        self.poll(case, "ABC")
        case.look()
        case.clock.advance(case.feed.exchange.silent_s)
        self.poll(case, "", served=False)
        case.look()
        assert (case.monitor.state, case.feed.status()["transport"]) == ("stalled", None)
        case.clock.advance(FAILING_S + TOLERATED_PERIODS * case.feed.exchange.fallback_s)
        case.look()
        assert case.feed.status()["state"] == "down"
        self.poll(case, "ABC")
        case.look()
        assert case.feed.status()["state"] == "live"
        kinds = await case.kinds()
        assert kinds == ["feed_state", "feed_state", "feed_state", "feed_down", "recovery",
                         "feed_recovered"]  # fmt: skip

    async def test_few_missing_contracts_have_the_list_asked_for(self, case: Case) -> None:
        """They may be delisted; all are polled as before."""
        symbols = [f"S{number}" for number in range(40)]
        listed(case.feed, *symbols)
        case.feed.instruments.known.set()
        for rows in (symbols, symbols[1:]):
            self.poll(case, "")
            case.feed._on_polled(dict.fromkeys(rows, b""), case.clock.now_us())
            case.clock.advance(case.feed.exchange.silent_s - 1)
        case.clock.advance(0.5)
        case.look()
        assert case.monitor.state == "live"
        assert case.asks_for_list()
        assert case.wanted == set(symbols)
