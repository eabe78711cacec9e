"""Figures of repeated measurements: quantiles, medians with their spread, histograms. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from statistics import median
from typing import Any, TypedDict

BUCKETS_MS = (2, 5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 250, 500, 1_000, 5_000)
"""Upper bounds of a histogram's buckets; what is above the last one has a bucket of its own."""


class Spread(TypedDict):
    """The median of some runs, and how far they lie apart."""

    median: float
    min: float
    max: float
    runs: int


class Histogram(TypedDict):
    """Durations in ms. `counts` has one more entry than BUCKETS_MS."""

    n: int
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None
    counts: list[int]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie; there must be one."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(values: Sequence[float], digits: int = 1) -> Spread | None:
    """Return the median of the values with the least and the greatest; None without a value."""
    if not values:
        return None
    middle, low, high = (round(each, digits) for each in (median(values), min(values), max(values)))
    return {"median": middle, "min": low, "max": high, "runs": len(values)}


def histogram(values_ms: Sequence[float]) -> Histogram:
    """Sort durations into BUCKETS_MS."""
    counts = [0] * (len(BUCKETS_MS) + 1)
    for value in values_ms:
        counts[bisect_left(BUCKETS_MS, value)] += 1

    def at(share: float) -> float | None:
        return round(quantile(values_ms, share), 1) if values_ms else None

    return {
        "n": len(values_ms),
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "max": round(max(values_ms), 1) if values_ms else None,
        "counts": counts,
    }


def shown(found: Any, digits: int | None = None) -> str:
    """Show a number or a Spread as text: `12.3`, `12.3 (11.0-14.9)`, or a dash for None."""
    if found is None:
        return "-"
    if isinstance(found, dict):
        low, high = _number(found["min"], digits), _number(found["max"], digits)
        middle = _number(found["median"], digits)
        return middle if low == high else f"{middle} ({low}-{high})"
    return _number(found, digits)


def _number(value: float, digits: int | None) -> str:
    if digits is None:
        digits = 0 if abs(value) >= 100 else 1
    return f"{value:,.{digits}f}"
