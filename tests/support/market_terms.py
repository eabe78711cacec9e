"""Changes of the simulated market's terms, for tests."""

from __future__ import annotations

from dataclasses import replace

from infra.simulator.market.market import HOUR_MS, Market


def change_interval(
    market: Market, row: int, interval_hours: int, now_ms: int, *, list_lag_ms: int = 0
) -> None:
    """A contract settles at another interval from now on; its clock stays as far as it can."""
    known = market.terms(row, now_ms)
    market.change_terms(
        row,
        replace(
            known,
            since_ms=now_ms,
            listed_ms=now_ms + list_lag_ms,
            interval_hours=interval_hours,
            offset_ms=known.offset_ms % (interval_hours * HOUR_MS),
        ),
    )
