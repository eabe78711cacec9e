"""When the worker is ready, what it says when it is not, and how far its baselines are."""

from __future__ import annotations

import pytest

from schemas.records import FeedState, FeedStatus
from stream_app.worker.probes.readiness import (
    LATELY_S,
    NO_PRODUCER,
    NOT_STARTED,
    REPORT_OLD_S,
    Arrivals,
    Warming,
    reasons,
    warming_up,
)

NOW = 1_791_273_600_000_000
S = 1_000_000
FEED = "kucoin"


def report(
    state: FeedState = "live",
    since_s: float = 100.0,
    reported_s: float = 1.0,
    detail: str = "",
    expected: int = 10,
    done: int = 10,
    feed: str = FEED,
) -> FeedStatus:
    """A status that a producer reported some seconds ago."""
    return {
        "feed": feed,
        "state": state,
        "transport": None,
        "since": round(NOW - since_s * S),
        "reported_at": round(NOW - reported_s * S),
        "last_data_at": None,
        "contracts_expected": expected,
        "contracts_live": 0,
        "connections": 0,
        "connects": 0,
        "frames": 0,
        "updates": 0,
        "rest_calls": 0,
        "backfill_done": done,
        "detail": detail,
        "mode": "stream",
        "contracts_by_rest": 0,
        "connect_attempts": 0,
        "rest_failures": 0,
        "repeated": 0,
        "simulated": False,
        "limit_used": None,
        "contracts_quiet": 0,
    }


def arrived(
    trading: int = 10, settled: int = 10, unsettled: int = 0, received_s: float | None = 1.0
) -> Arrivals:
    """What has come of a feed, the newest rate some seconds ago."""
    newest = None if received_s is None else round(NOW - received_s * S)
    return Arrivals(trading, settled, unsettled, newest)


def why(*reports: FeedStatus, arrivals: dict[str, Arrivals] | None = None) -> list[str]:
    """The reasons of a started worker."""
    by_feed = {one["feed"]: one for one in reports}
    return reasons(NOW, started=True, reports=by_feed, arrivals=arrivals or {})


@pytest.mark.parametrize("state", ["live", "fallback", "recovering"])
def test_a_feed_that_is_delivered_is_ready(state: FeedState) -> None:
    """By the stream, by REST, or by both."""
    assert why(report(state), arrivals={FEED: arrived()}) == []


def test_without_a_producer_nothing_is_ready() -> None:
    """Nor before the worker itself has its state."""
    assert why() == [NO_PRODUCER]
    both = reasons(NOW, started=False, reports={}, arrivals={})
    assert both == [NOT_STARTED, NO_PRODUCER]
    loading = reasons(NOW, started=False, reports={FEED: report()}, arrivals={})
    assert loading == [NOT_STARTED]


@pytest.mark.parametrize("state", ["connecting", "down"])
def test_a_feed_that_is_not_delivered_says_since_when_and_why(state: FeedState) -> None:
    """In the producer's own words; the other feed is no reason."""
    broken = report(state, since_s=12.0, detail="HTTP 403")
    assert why(broken, report(feed="backpack")) == [f"kucoin: {state} for 12 s: HTTP 403"]
    assert why(report(state, since_s=1_234.0)) == [f"kucoin: {state} for 1,234 s"]


def test_a_stall_is_forgiven_for_a_while() -> None:
    """It was live a moment ago, and REST is about to take over."""
    assert why(report("stalled", since_s=LATELY_S)) == []
    assert why(report("stalled", since_s=LATELY_S + 1)) == ["kucoin: stalled for 31 s"]


def test_a_producer_that_no_longer_reports_is_a_reason() -> None:
    """Whatever it said last."""
    assert why(report(reported_s=REPORT_OLD_S)) == []
    assert why(report(reported_s=40.0)) == ["kucoin: its producer has not reported for 40 s"]


def test_a_live_feed_whose_rates_do_not_arrive_is_a_reason() -> None:
    """The stale threshold of the feed, 150 s here, and the time that counts as lately."""
    assert why(report(), arrivals={FEED: arrived(received_s=179.0)}) == []
    (reason,) = why(report(), arrivals={FEED: arrived(received_s=181.0)})
    assert reason == "kucoin: live, and none of its rates has reached this worker for 181 s"
    (reason,) = why(report(), arrivals={FEED: arrived(received_s=None)})
    assert reason == "kucoin: live, and none of its rates has reached this worker"


def test_a_worker_without_contracts_of_a_feed_does_not_judge_it() -> None:
    """Another worker may have all of its partitions."""
    assert why(report(), arrivals={FEED: arrived(trading=0, received_s=None)}) == []
    assert why(report(), arrivals={}) == []


def test_baselines_that_are_to_come_are_counted() -> None:
    """With settlements, or with the word of the producer that there is no more to come."""
    loading, done = report(done=3), report(done=10)
    some = {FEED: arrived(trading=10, settled=3, unsettled=2)}
    assert warming_up({FEED: loading}, some) == Warming(3, 10)
    assert warming_up({}, some) == Warming(3, 10)
    assert warming_up({FEED: done}, some) == Warming(5, 10)
    all_there = {FEED: arrived(trading=10, settled=7, unsettled=3)}
    assert warming_up({FEED: done}, all_there) is None
    assert warming_up({FEED: loading}, all_there) == Warming(7, 10)


def test_nothing_known_is_not_warming_up() -> None:
    """Before the first contract, and for a producer that does not know its contracts yet."""
    assert warming_up({}, {}) is None
    unknown = report(expected=0, done=0)
    some = {FEED: arrived(trading=2, settled=0, unsettled=2)}
    assert warming_up({FEED: unknown}, some) == Warming(0, 2)
