"""What the world is told of a feed: transitions, gaps, listings, clocks, counts."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from producers.feed import monitor
from producers.feed.feed import Feed
from producers.feed.monitor import COUNTED_EVERY_S, FeedMonitor
from producers.policy.instruments import Change
from producers.websocket.connection import Closed
from schemas.clock import now_us
from schemas.control_items import FEED_EVENT, FeedEvent
from schemas.times import US_PER_HOUR, US_PER_S
from tests.unit.producers.feed.test_feed import FakePublisher, feed_of, listed

SOCKET = "mark-price"
ONE = f"binance-usdm/{SOCKET}/1"
TWO = f"binance-usdm/{SOCKET}/2"
SPARE = f"binance-usdm/{SOCKET}-spare-1/3"


class Case:
    """A feed of which the test is the exchange."""

    def __init__(self, feed: Feed, publisher: FakePublisher) -> None:
        self.feed = feed
        self.monitor: FeedMonitor = feed.monitor
        self.publisher = publisher

    def bring(self, symbols: Iterable[str], identity: str = ONE) -> tuple[list[str], bool]:
        """Data that has just been made."""
        return self.monitor.outcome(identity, list(symbols), now_us(), now_us())

    def close(
        self, identity: str = ONE, *, handed_over: bool = False, at: int | None = None
    ) -> None:
        """A connection ends."""
        socket = identity.split("/")[1]
        last = now_us() if at is None else at
        self.monitor.closed(Closed(socket, identity, "closed by the exchange", last, handed_over))

    def poll(self, *, served: bool = True) -> None:
        """A poll by REST."""
        now_s = self.monitor._counted_s
        self.feed.snapshots.polling.begun(now_s)
        self.feed.snapshots.polling.ended(now_s, served=served)

    @property
    def wanted(self) -> frozenset[str]:
        """Whose rates REST brings."""
        return self.feed.snapshots.polling.wanted

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
    publisher = FakePublisher()
    made = Case(feed_of(tmp_path, publisher), publisher)
    listed(made.feed, "A", "B", "C")
    return made


async def live(case: Case) -> Case:
    """The feed when all is well, and nothing noted."""
    case.bring("ABC")
    case.monitor.step()
    assert case.monitor.state == "live"
    await case.events()
    return case


async def test_a_start_is_told_and_is_no_recovery(case: Case) -> None:
    """Nor are the contracts of the first list news."""
    case.monitor.step()
    assert await case.events() == []
    case.bring("ABC")
    case.monitor.step()
    (event,) = await case.events()
    assert (event.kind, event.subject) == ("feed_state", "binance-usdm")
    assert event.detail == "connecting -> live: the stream brings 3 of 3 contracts"
    assert event.first_event_time < event.last_event_time == case.monitor.since
    assert case.monitor.detail == ""
    case.monitor.step()
    assert await case.events() == []


async def test_an_outage_is_told_from_its_begin_to_its_end(case: Case) -> None:
    """Gap and transition at once, failover when REST serves, recovery when the stream is back."""
    await live(case)
    last = now_us() - 2 * US_PER_S
    case.close(at=last)
    assert case.wanted == {"A", "B", "C"}
    opened, stalled = await case.events()
    assert (opened.kind, opened.first_event_time) == ("gap_opened", last)
    assert (stalled.kind, case.monitor.state) == ("feed_state", "stalled")
    assert stalled.detail == (
        "live -> stalled: the stream brings 0 of 3 contracts, silent: A, B, C "
        "(socket mark-price: closed by the exchange)"
    )
    case.poll()
    case.monitor.step()
    case.feed.snapshots.polls, case.feed.snapshots.rates = 4, 12
    assert await case.kinds() == ["failover"]
    case.bring("A", TWO)
    case.monitor.step()
    closed, recovering = await case.events()
    assert (closed.kind, closed.first_event_time) == ("gap_closed", last)
    assert "REST filled it with 12 rates of 4 polls" in closed.detail
    assert (recovering.kind, recovering.detail[:22]) == ("feed_state", "fallback -> recovering")
    assert case.wanted == {"B", "C"}
    case.bring("BC", TWO)
    case.monitor.step()
    assert await case.kinds() == ["recovery"]
    assert case.wanted == frozenset()
    assert case.monitor.detail == ""


async def test_a_connection_that_was_handed_over_leaves_no_gap(case: Case) -> None:
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
    assert event.detail.startswith("socket mark-price-spare-1: ")
    assert (case.monitor.state, case.wanted) == ("live", frozenset())
    case.close()
    assert case.wanted == {"A", "B", "C"}


async def test_a_connection_without_data_leaves_no_gap(case: Case) -> None:
    """Attempts that fail one after the other are one gap, from the last data."""
    case.close()
    assert await case.events() == []
    assert case.monitor.detail == "socket mark-price: closed by the exchange"


async def test_listings_are_told_by_contract(case: Case) -> None:
    """A delisted one is nobody's any more; a new one is waited for."""
    await live(case)
    change = Change((), frozenset({"NEW"}), frozenset({"B", "A"}))
    case.monitor.listed(change, frozenset({"C", "NEW"}))
    assert [(event.kind, event.subject) for event in await case.events()] == [
        ("listed", "binance-usdm:NEW"),
        ("delisted", "binance-usdm:A"),
        ("delisted", "binance-usdm:B"),
    ]
    case.monitor.step()
    assert case.wanted == frozenset()
    assert case.bring("AC") == (["A"], False)


async def test_blindness_is_told_and_so_is_its_end(case: Case) -> None:
    """Neither brings anything: an alert is raised, and ended by the first of either."""
    await live(case)
    case.close()
    case.poll(served=False)
    assert "feed_down" not in await case.kinds()
    assert case.feed.snapshots.polling._wanted_s is not None
    case.feed.snapshots.polling._wanted_s -= 9.0
    case.monitor.step()
    transition, down = await case.events()
    assert (transition.kind, down.kind, case.monitor.state) == ("feed_state", "feed_down", "down")
    assert "0 of 3 contracts" in down.detail
    case.poll()
    case.monitor.step()
    failover, recovered = await case.events()
    assert (failover.kind, recovered.kind) == ("failover", "feed_recovered")
    assert recovered.first_event_time == down.last_event_time
    assert recovered.detail.endswith(": fallback")


async def test_late_frames_are_no_life_unless_the_clock_is_off(case: Case) -> None:
    """By the exchange's clock they are of this moment; else they show what was a minute ago."""
    minute_ago = now_us() - 60 * US_PER_S
    case.monitor.outcome(ONE, ["A", "B", "C"], minute_ago, now_us())
    case.monitor.step()
    assert case.monitor.state == "connecting"
    assert case.wanted == {"A", "B", "C"}
    case.feed.rest.clock_ahead_s = -60.0
    case.monitor.outcome(ONE, ["A", "B", "C"], minute_ago, now_us())
    case.monitor.step()
    assert (case.monitor.state, case.wanted) == ("live", frozenset())


async def test_a_clock_that_is_ahead_makes_nobody_younger(case: Case) -> None:
    """Frames of the future are of now; and what is late by their clock is late."""
    case.feed.rest.clock_ahead_s = 60.0
    now = now_us()
    case.monitor.outcome(ONE, ["A"], now + 60 * US_PER_S, now)
    case.monitor.outcome(ONE, ["B"], now + 50 * US_PER_S, now)
    case.monitor.outcome(ONE, ["C"], now + 600 * US_PER_S, now)
    case.monitor.step()
    assert case.wanted == {"B"}
    assert case.monitor.liveness.last_data_s is not None
    assert case.monitor.liveness.last_data_s <= time.monotonic()


async def test_a_clock_that_is_off_is_told_once_and_so_is_its_end(case: Case) -> None:
    """Not with every reply."""
    for ahead_s in (-7.25, -7.0, 3.0):
        case.feed.rest.clock_ahead_s = ahead_s
        case.monitor.step()
    (event,) = await case.events()
    assert (event.kind, event.detail) == (
        "clock_skew",
        "the exchange's clock is -7.2 s from ours",
    )
    case.feed.rest.clock_ahead_s = 0.0
    case.monitor.step()
    case.monitor.step()
    (event,) = await case.events()
    assert (event.kind, event.detail) == ("clock_skew", "ended")


async def test_repetitions_and_refusals_are_counted_by_the_minute(case: Case) -> None:
    """An event tells how many there were since the last; none tells of none."""
    await live(case)
    case.monitor.dedup.total, case.feed.rest.refusals = 700, 2
    case.monitor.step()
    assert await case.events() == []
    case.monitor._counted_s -= COUNTED_EVERY_S
    case.monitor.step()
    first, second = await case.events()
    assert (first.kind, first.count, second.kind, second.count) == (
        "repeated",
        700,
        "rate_limited",
        2,
    )
    assert first.last_event_time - first.first_event_time >= COUNTED_EVERY_S * US_PER_S
    case.feed.rest.refusals = 5
    case.monitor._counted_s -= COUNTED_EVERY_S
    case.monitor.step()
    (event,) = await case.events()
    assert (event.kind, event.count) == ("rate_limited", 3)


async def test_an_hour_within_a_gap_is_missed(case: Case) -> None:
    """Its settlements are fetched; a gap between two hours misses none."""
    await live(case)
    for last_at, received_at, missed in (
        (10 * US_PER_HOUR - 1, 10 * US_PER_HOUR + 1, True),
        (10 * US_PER_HOUR + 1, 11 * US_PER_HOUR - 1, False),
    ):
        case.close(at=last_at)
        assert case.monitor.outcome(ONE, ["A"], None, received_at) == ([], missed)
    assert case.monitor.outcome(ONE, ["A"], None, 99 * US_PER_HOUR) == ([], False)


async def test_few_of_many_silent_are_named(case: Case) -> None:
    """An event stays short."""
    symbols = [f"S{n}" for n in range(9)]
    case.monitor.listed(Change((), frozenset(), frozenset()), frozenset(symbols))
    case.bring(symbols)
    case.monitor.step()
    await case.events()
    case.close()
    event = (await case.events())[-1]
    assert "silent: S0, S1, S2, ... (socket" in event.detail


async def test_a_few_that_fall_silent_are_doubted(case: Case) -> None:
    """They may be delisted, so the list is asked for; an outage is no reason to ask."""
    symbols = [f"S{n:02}" for n in range(40)]
    case.feed.facts.known.set()
    case.monitor.listed(Change((), frozenset(), frozenset()), frozenset(symbols))
    case.bring(symbols)
    case.bring(["S00", "S01"], SPARE)
    case.close()
    case.monitor.step()
    assert len(case.wanted) == 38
    assert not case.feed.facts._wanted.is_set()
    case.bring(symbols[2:], TWO)
    case.monitor.step()
    assert not case.feed.facts._wanted.is_set()
    case.close(SPARE)
    assert case.wanted == {"S00", "S01"}
    assert case.feed.facts._wanted.is_set()
    case.feed.facts._wanted.clear()
    case.monitor.step()
    assert not case.feed.facts._wanted.is_set()


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
    publisher = FakePublisher()
    case = Case(feed_of(tmp_path, publisher, producer_mode="poll"), publisher)
    listed(case.feed, "A", "B")
    case.monitor.step()
    assert (case.monitor.state, case.wanted) == ("connecting", frozenset())
    case.feed.snapshots.want(["A", "B"])
    case.poll()
    case.monitor.step()
    assert case.monitor.state == "fallback"
    assert case.wanted == {"A", "B"}


async def test_a_slow_stream_s_contracts_are_rest_s_at_start(tmp_path: Path) -> None:
    """KuCoin pushes once a minute: the first rates come by REST, later listings have a grace."""
    publisher = FakePublisher()
    case = Case(feed_of(tmp_path, publisher, "kucoin"), publisher)
    listed(case.feed, "A", "B")
    case.monitor.step()
    assert case.wanted == {"A", "B"}
    case.bring("A", "kucoin/uta/1")
    listed(case.feed, "A", "B", "NEW")
    case.monitor.step()
    assert case.wanted == {"B"}


async def test_a_feed_without_a_list_is_down_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is served by what nobody knows; data alone makes it live."""
    publisher = FakePublisher()
    case = Case(feed_of(tmp_path, publisher), publisher)
    states = []
    for unlisted_s in (30.0, -1.0):
        monkeypatch.setattr(monitor, "UNLISTED_S", unlisted_s)
        case.monitor.step()
        states.append(case.monitor.state)
    assert await case.kinds() == ["feed_state", "feed_down"]
    case.bring(["A"])
    case.monitor.step()
    assert [*states, case.monitor.state] == ["connecting", "down", "live"]


async def test_settlements_are_asked_for_where_nobody_brought_the_contracts(case: Case) -> None:
    """A gap over the full hour of a socket whose contracts another one brought is none."""
    at = now_us() // US_PER_HOUR * US_PER_HOUR - US_PER_S
    case.bring("ABC")
    case.bring("ABC", SPARE)
    case.close(SPARE, at=at)
    assert case.bring("ABC", SPARE.replace("/3", "/4")) == ([], False)
    case.close(SPARE.replace("/3", "/4"))
    case.close(ONE, at=at)
    assert case.bring("ABC", TWO) == ([], True)
