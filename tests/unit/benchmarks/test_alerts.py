"""The count of alerts on a simulated day."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import pytest

from benchmarks.alerts import START_MS, Day, main
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import create_exchanges
from stream_app.core.scoring.zones import QUIET_US


def test_a_contract_of_the_simulated_market_is_told_once_in_four_hours() -> None:
    """Of each threshold, over half a day; and all that is counted is of known contracts."""
    (exchange,) = create_exchanges(["hyperliquid"], SimulatorOptions(seed=3), 12, START_MS)
    day = Day(exchange.name, exchange.market)
    alerts = list(day.run(12, 300.0))
    assert 0 < len(alerts) <= 3 * day.contracts
    told = defaultdict(list)
    for alert in alerts:
        told[alert["subject"], alert["kind"], alert["threshold"]].append(alert["event_time"])
    for times in told.values():
        assert all(b - a >= QUIET_US for a, b in pairwise(times))


def test_the_command_prints_a_row_a_feed(capsys: pytest.CaptureFixture[str]) -> None:
    """As a table, or each alert as JSON."""
    few = ["--hours", "0.1", "--contracts", "4", "--feeds", "backpack,hyperliquid"]
    assert main(few) == 0
    printed = capsys.readouterr().out
    assert "| backpack | " in printed
    assert "| hyperliquid | " in printed
    assert main([*few, "--json"]) == 0
    assert capsys.readouterr().out == ""
