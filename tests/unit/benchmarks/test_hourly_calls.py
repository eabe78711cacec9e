"""The REST calls of an hour in which a feed's stream is well."""

from __future__ import annotations

import re

from benchmarks.hourly_calls import PAGE, calls_of, calls_table, hourly_calls, with_table
from benchmarks.platform import ROOT
from infra.simulator.registry import SIMULATED
from producers.exchanges import exchange
from schemas.feeds import FEEDS


def test_calls_are_counted_by_what_they_are_for() -> None:
    """Facts by their place among the refreshes of ten minutes, a snapshot for each family."""
    calls = hourly_calls(exchange("hyperliquid"), ["BTC", "xyz:NVDA", "xyz:GOLD"])
    assert calls.facts == {"allPerpMetas": 6.0, "metaAndAssetCtxs": 3.0}
    assert (calls.settled, calls.snapshot, calls.quiet) == (3.0, 2.0, 0.0)
    assert calls.healthy == calls.most == 14.0
    assert calls.turn_hours == 1.0
    assert calls_of("backpack").turn_hours == 91 / 6
    assert calls_of("aster").turn_hours is None


def test_quiet_contracts_cost_a_call_for_each_family() -> None:
    """Gate's three are asked for every 450 s while each has a quiet contract."""
    calls = calls_of("gate")
    assert (calls.snapshot, calls.quiet) == (3.0, 24.0)
    assert calls.most == calls.healthy + 24.0


def test_the_page_of_feeds_has_the_table() -> None:
    """One row for each feed; `python -m benchmarks.hourly_calls` writes it."""
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page, calls_table()) == page
    of_calls = page[page.index("makes fewer than 48 REST calls") : page.index("**States.**")]
    assert re.findall(r"(?m)^\| `([\w-]+)` \|", of_calls) == list(FEEDS)


def test_the_readme_counts_feeds_and_contracts() -> None:
    """Those that the simulated exchanges have when all are asked for, in hundreds."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    contracts = sum(one.perpetuals for one in SIMULATED.values()) // 100 * 100
    assert re.findall(r"(?m)^(\d+) feeds, .*about ([\d,]+) contracts in all", text) == [
        (str(len(FEEDS)), f"{contracts:,}")
    ]
