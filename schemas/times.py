"""Arithmetic of times. Every time inside fundingstream is UTC microseconds since the epoch."""

from __future__ import annotations

US_PER_MS = 1_000
US_PER_S = 1_000_000
US_PER_MINUTE = 60 * US_PER_S
US_PER_HOUR = 60 * US_PER_MINUTE
US_PER_DAY = 24 * US_PER_HOUR
MS_PER_HOUR = 3_600_000
MS_PER_DAY = 24 * MS_PER_HOUR


def hour_floor(time_us: int) -> int:
    """Return the full hour at or before `time_us`."""
    return time_us - time_us % US_PER_HOUR


def minute_round(time_us: int) -> int:
    """Return the nearest full minute.

    Exchanges stamp settlements some ms beside it (docs/exchanges/README.md §3 rule 9).
    """
    return (time_us + US_PER_MINUTE // 2) // US_PER_MINUTE * US_PER_MINUTE
