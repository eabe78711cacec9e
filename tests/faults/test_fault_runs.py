"""The whole stack through faults, judged by the code of the benchmark.

Two runs on stacks of their own, at the same time, because both mostly wait: a short schedule of the
exchanges' faults, and a Kafka that is away while the exchanges go on.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from benchmarks.accounting import UNTOLD
from benchmarks.fault_report import FeedReport, Report, markdown
from benchmarks.fault_times import Times
from benchmarks.faults import Plan, measure
from benchmarks.kafka_away import MAX_PRODUCER_MB
from schemas.feeds import spec

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

SCHEDULED = ("binance-usdm", "hyperliquid", "backpack")
SETTLE_S = 7.0
AWAY_S = 30.0
CONTRACTS = 300
"""Their updates fill a queue of 1 MiB within 20 s."""


def _schedule() -> list[dict[str, Any]]:
    """Silence needs REST, and for some seconds REST is refused as well."""
    found: list[dict[str, Any]] = []
    for number, feed in enumerate(SCHEDULED):
        at_s = number * 1.5
        # Without times in the frames a single missing push is none that is late.
        share = 1 if feed == "hyperliquid" else 0.4
        found += [
            {"at_s": at_s, "kind": "duplicate", "feed": feed, "seconds": 6},
            {"at_s": at_s + 3, "kind": "drop", "feed": feed, "seconds": 5, "p": share},
            {"at_s": at_s + 10, "kind": "close", "feed": feed, "abort": True},
            {"at_s": at_s + 14, "kind": "silence", "feed": feed, "seconds": 15},
            {"at_s": at_s + 14, "kind": "refuse-rest", "feed": feed, "seconds": 8},
        ]
    return found


PLANS = {
    "schedule": Plan(
        feeds=SCHEDULED,
        contracts=20,
        schedule=_schedule(),
        healthy_s=2.0,
        settle_s=SETTLE_S,
    ),
    "Kafka away": Plan(
        feeds=("binance-usdm", "backpack"),
        contracts=CONTRACTS,
        healthy_s=2.0,
        kafka_away_s=AWAY_S,
        queue_mib=1,
        settle_s=SETTLE_S,
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report | BaseException]:
    """What came of each plan; one that failed does not end the other."""
    found = await asyncio.gather(
        *(measure(plan, tmp_path_factory.mktemp("faults")) for plan in PLANS.values()),
        return_exceptions=True,
    )
    return dict(zip(PLANS, found, strict=True))


def report_of(ended: dict[str, Report | BaseException], plan: str) -> Report:
    """The report of a plan that was carried out."""
    found = ended[plan]
    if isinstance(found, BaseException):
        raise found
    return found


def _of_kind(report: FeedReport, kind: str) -> Times:
    (found,) = (times for times in report.times if times.fault.kind == kind)
    return found


async def test_faults_cost_nothing_that_is_not_told(
    ended: dict[str, Report | BaseException],
) -> None:
    """Sent: stored once. Missed: in a recorded gap. REST takes over, the stream comes back."""
    report = report_of(ended, "schedule")
    shown = markdown(report)
    assert report.duplicates == 0, shown
    for feed in report.feeds:
        account = feed.account
        assert not account.failed, shown
        assert account.delivered > 0, shown
        assert account.missed > 0, shown
        # Of a feed without times a single push that is missing shows to nobody: it has a name.
        untold = account.named[UNTOLD]
        assert untold == 0 or spec(feed.feed).timeless, shown
        assert account.missed_in_gaps == account.missed - untold > 0, shown
        silence = _of_kind(feed, "silence")
        assert silence.hit == feed.freshness.contracts, shown
        assert silence.detected_by, shown
        assert silence.takeover_s is not None, shown
        assert all(times.return_s is not None for times in feed.times), shown
        assert _of_kind(feed, "drop").shown["missed"] > 0, shown


async def test_reading_pauses_while_kafka_is_away_and_what_it_costs_is_told(
    ended: dict[str, Report | BaseException],
) -> None:
    """With a queue of 1 MiB a feed: connections are given up, their gaps say why."""
    report = report_of(ended, "Kafka away")
    shown = markdown(report)
    outage = report.extra["kafka_away"]
    assert outage["most_mb"] < MAX_PRODUCER_MB, shown
    assert outage["gaps"] > 0, shown
    assert outage["live_s"] is not None, shown
    assert report.duplicates == 0, shown
    for feed in report.feeds:
        assert not feed.account.failed, shown
        assert feed.account.stored_once > 0, shown
