"""A short schedule of faults over the whole stack, judged by the code of the benchmark.

Not responsible for: how soon anything is noticed (`python -m benchmarks faults` tells), single
faults in detail (tests/integration).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.fault_report import FeedReport, Report, markdown
from benchmarks.fault_times import Times
from benchmarks.faults import Plan, measure

pytestmark = pytest.mark.integration

FEEDS = ("binance-usdm", "hyperliquid", "backpack")


def _schedule() -> list[dict[str, Any]]:
    """Silence needs REST, and for some seconds REST is refused as well."""
    found: list[dict[str, Any]] = []
    for number, feed in enumerate(FEEDS):
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


def _of_kind(report: FeedReport, kind: str) -> Times:
    (found,) = (times for times in report.times if times.fault.kind == kind)
    return found


async def _measured(directory: Path) -> Report:
    plan = Plan(
        feeds=FEEDS,
        contracts=20,
        schedule=_schedule(),
        healthy_s=2.0,
        settle_s=7.0,
    )
    return await measure(plan, directory)


@pytest.mark.timeout(420)
async def test_faults_cost_nothing_that_is_not_told(tmp_path: Path) -> None:
    """Sent: stored once. Missed: in a recorded gap. REST takes over, the stream comes back."""
    report = await _measured(tmp_path)
    shown = markdown(report)
    assert report.duplicates == 0, shown
    for feed in report.feeds:
        account = feed.account
        assert not account.failed, shown
        assert account.delivered > 0, shown
        assert account.missed > 0, shown
        # Of a feed without times a single push that is missing shows to nobody: it has a name.
        nameless = account.named["missed, too few to be told without times"]
        assert nameless == 0 or feed.feed == "hyperliquid", shown
        assert account.missed_in_gaps == account.missed - nameless > 0, shown
        silence = _of_kind(feed, "silence")
        assert silence.hit == feed.freshness.contracts, shown
        assert silence.detected_by, shown
        assert silence.takeover_s is not None, shown
        assert all(times.return_s is not None for times in feed.times), shown
        assert _of_kind(feed, "drop").shown["missed"] > 0, shown
