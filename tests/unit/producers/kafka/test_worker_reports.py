"""What producers make of the workers' reports."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from producers.kafka.worker_reports import WorkerReports
from producers.policy.history_pace import FLOOR_SHARE, SILENT_S
from producers.settings import ProducerSettings
from schemas.records import WorkerStatus
from tests.support.clock import ManualClock


def report(
    worker: str = "one", contradicted: Sequence[str] = (), delay_s: float | None = 0.01
) -> WorkerStatus:
    """A report, without what producers do not look at."""
    return {
        "worker": worker,
        "reported_at": 11,
        "started_at": 7,
        "partitions": 5,
        "records_behind": 23,
        "records": 90,
        "delay_p50_s": delay_s,
        "delay_p99_s": delay_s,
        "contradicted_feeds": list(contradicted),
    }


class Case:
    """Reports, and the feeds whose list they had asked for."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        settings = ProducerSettings(producer_history_rows_per_s=500.0)
        self.reports = WorkerReports(settings, self.clock)
        self.asked: list[str] = []
        for feed in ("alpha", "beta"):
            self.reports.when_contradicted(feed, partial(self.asked.append, feed))


@pytest.fixture
def case() -> Case:
    """Two feeds run in this process."""
    return Case()


def test_only_the_feed_that_is_named_is_asked_about(case: Case) -> None:
    """One that another process runs is its matter."""
    case.reports.take(report(contradicted=["beta", "gamma"]))
    assert case.asked == ["beta"]
    case.reports.take(report("two", ["beta", "beta", "alpha"]))
    assert case.asked == ["beta", "alpha"]


def test_while_it_stays_named_it_is_asked_about_now_and_then(case: Case) -> None:
    """Not with each report, which come once a second."""
    for _ in range(60):
        case.reports.take(report(contradicted=["alpha"]))
        case.clock.advance(1.0)
    assert case.asked == ["alpha"] * 3


def test_reports_without_a_contradiction_ask_for_nothing(case: Case) -> None:
    """As all do most of the time."""
    for _ in range(60):
        case.reports.take(report())
        case.clock.advance(1.0)
    assert case.asked == []


def test_history_slows_down_while_a_worker_is_silent(case: Case) -> None:
    """The throttle follows the pace."""
    case.reports.take(report())
    case.reports.look()
    assert case.reports.throttle.per_s > 500.0 * FLOOR_SHARE
    case.clock.advance(SILENT_S)
    case.reports.look()
    assert case.reports.throttle.per_s == 500.0 * FLOOR_SHARE
