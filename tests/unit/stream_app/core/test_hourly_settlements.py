"""Settlements of exchanges that settle on the hour: derived, then named by stream and history.

See docs/exchanges/lighter.md §6 and pacifica.md §9b.
"""

from __future__ import annotations

from typing import Any

import pytest

from schemas.times import US_PER_HOUR, US_PER_MINUTE, US_PER_S
from stream_app.core.output.outputs import Output
from tests.support.partitions import of
from tests.unit.stream_app.core.test_feeds import HOUR_US, Feed


def pushed(feed: Feed, estimate: str, settled: str, settled_us: int, at: int) -> list[Output]:
    """What follows from a push of a market."""
    row = {
        "symbol": "SOL",
        "current_funding_rate": estimate,
        "funding_rate": settled,
        "funding_timestamp": settled_us // 1_000 + 1,
        "mark_price": "141.5",
        "index_price": "141.6",
    }
    frame = {"market_stats": {"2": row}, "timestamp": at // 1_000}
    return feed.run("market_stats", "SOL", frame, at)


def settlements(outputs: list[Output]) -> list[tuple[Any, ...]]:
    """Funding time, rate and source of each."""
    return [(r["funding_time"], r["rate"], r["source"]) for r in of(outputs, "settlements")]


def test_a_settlement_is_derived_until_the_stream_and_the_history_name_it() -> None:
    """Each better source makes one more record of the same settlement."""
    feed = Feed("lighter")
    before_us = HOUR_US - US_PER_HOUR
    pushed(feed, "0.0012", "0.0007", before_us, HOUR_US - 2 * US_PER_S)
    derived = pushed(feed, "0.0003", "0.0007", HOUR_US, HOUR_US + US_PER_S)
    assert settlements(derived) == [(HOUR_US, 0.000012, "derived")]
    named = pushed(feed, "0.0003", "0.0013", HOUR_US, HOUR_US + 5 * US_PER_S)
    assert settlements(named) == [(HOUR_US, 0.000013, "stream")]
    row = {"timestamp": HOUR_US // US_PER_S, "rate": "0.0014", "direction": "long"}
    settled = feed.run("fundings", "SOL", row, HOUR_US + US_PER_HOUR, "history")
    assert settlements(settled) == [(HOUR_US, 0.000014, "history")]


def test_a_market_that_is_quiet_after_the_hour_has_its_settlement_all_the_same() -> None:
    """At its first push behind the hour, which is too late to name it."""
    feed = Feed("lighter")
    pushed(feed, "0.0012", "0.0007", HOUR_US - US_PER_HOUR, HOUR_US - 60 * US_PER_S)
    late = pushed(feed, "0.0003", "0.0012", HOUR_US, HOUR_US + 16 * US_PER_MINUTE)
    assert settlements(late) == [(HOUR_US, 0.000012, "derived")]


def test_an_exchange_that_has_not_turned_yet_settles_by_its_last_estimate_of_the_hour() -> None:
    """What it shows after the hour with the old settlement is for the hour just ended."""
    feed = Feed("lighter")
    before_us = HOUR_US - US_PER_HOUR
    pushed(feed, "0.0012", "0.0007", before_us, HOUR_US - 2 * US_PER_S)
    first = pushed(feed, "0.0012", "0.0007", before_us, HOUR_US + US_PER_S)
    (rate,) = of(first, "rates")
    assert rate["next_funding_time"] == HOUR_US
    turned = pushed(feed, "0.0003", "0.0012", HOUR_US, HOUR_US + 4 * US_PER_S)
    (rate,) = of(turned, "rates")
    assert rate["next_funding_time"] == HOUR_US + US_PER_HOUR
    assert settlements([*first, *turned])[-1] == (HOUR_US, 0.000012, "stream")


def priced(feed: Feed, estimate: str, at: int) -> list[Output]:
    """What follows from a push of a symbol of Pacifica."""
    row = {"symbol": "SOL", "next_funding": estimate, "mark": "141.5", "timestamp": at // 1_000}
    return feed.run("prices", "SOL", {"data": [row]}, at)


@pytest.mark.parametrize("late_us", [0, 700_000, 35 * US_PER_MINUTE, 59 * US_PER_MINUTE])
def test_a_row_of_pacifica_written_after_its_hour_is_no_second_settlement(late_us: int) -> None:
    """It takes the place of the derived one."""
    feed = Feed("pacifica")
    priced(feed, "0.000012", HOUR_US - 2 * US_PER_S)
    derived = priced(feed, "0.000003", HOUR_US + US_PER_S)
    assert settlements(derived) == [(HOUR_US, 0.000012, "derived")]
    row = {"funding_rate": "0.0000131", "created_at": (HOUR_US + late_us) // 1_000}
    at_us = HOUR_US + 2 * US_PER_HOUR
    settled = feed.run("funding_rate/history", "SOL", row, at_us, "history")
    assert settlements(settled) == [(HOUR_US, 0.0000131, "history")]
    assert len(feed.store.entries["SOL"].baseline.settled) == 1
