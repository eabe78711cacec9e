"""Kafka is stopped and started again while the exchanges go on: nothing is lost untold.

Not responsible for: the broker's own recovery (tests/integration/test_embedded_broker.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fault_report import markdown
from benchmarks.faults import Plan, measure
from benchmarks.kafka_away import MAX_PRODUCER_MB

pytestmark = pytest.mark.integration

AWAY_S = 30.0
CONTRACTS = 300
"""Their updates fill a queue of 1 MiB within 20 s."""


@pytest.mark.timeout(420)
async def test_reading_pauses_and_what_it_costs_is_told(tmp_path: Path) -> None:
    """With a queue of 1 MiB a feed: connections are given up, their gaps say why."""
    plan = Plan(
        feeds=("binance-usdm", "backpack"),
        contracts=CONTRACTS,
        healthy_s=2.0,
        kafka_away_s=AWAY_S,
        queue_mib=1,
    )
    report = await measure(plan, tmp_path)
    shown = markdown(report)
    outage = report.extra["kafka_away"]
    assert outage["most_mb"] < MAX_PRODUCER_MB, shown
    assert outage["gaps"] > 0, shown
    assert outage["live_s"] is not None, shown
    assert report.duplicates == 0, shown
    for feed in report.feeds:
        assert not feed.account.failed, shown
        assert feed.account.stored_once > 0, shown
