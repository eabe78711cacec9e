"""Times as people read them beside the microseconds: ISO 8601, UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_US = -62_135_596_800_000_000
_LATEST_US = 253_402_300_799_999_999


@overload
def iso(time_us: int) -> str: ...
@overload
def iso(time_us: int | None) -> str | None: ...
def iso(time_us: int | None) -> str | None:
    """Return a time as `2026-11-28T23:56:07.123456Z`; None stays None.

    A time outside the years 1 to 9999 becomes the nearest one that the calendar has.
    """
    return None if time_us is None else _told(time_us)


@lru_cache(maxsize=1 << 13)
def _told(time_us: int) -> str:
    bounded = min(max(time_us, _EARLIEST_US), _LATEST_US)
    told = _EPOCH + timedelta(microseconds=bounded)
    return f"{told.isoformat(timespec='microseconds')[:-6]}Z"
