"""Time in UTC microseconds, the only unit inside. Pure: clocks are in schemas/clock.py."""

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
    """Round to the nearest full minute: settlement stamps jitter (exchanges.md §0.3.9)."""
    return (time_us + US_PER_MINUTE // 2) // US_PER_MINUTE * US_PER_MINUTE
