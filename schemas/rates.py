"""The two formulas by which funding rates of different intervals become comparable.

Where an interval comes from: docs/decisions/intervals-and-units.md.
"""

from __future__ import annotations

HOURS_A_YEAR = 8760.0
REFERENCE_INTERVAL_HOURS = 8.0


def rate_8h(rate: float, interval_hours: float) -> float:
    """Scale `rate` (fraction per interval) to a fraction per 8 h: `rate × 8 / interval_hours`."""
    return rate * REFERENCE_INTERVAL_HOURS / interval_hours


def apr(rate: float, interval_hours: float) -> float:
    """Annualise `rate` (fraction per interval), simple, 365 d: `rate × 8760 / interval_hours`."""
    return rate * HOURS_A_YEAR / interval_hours
