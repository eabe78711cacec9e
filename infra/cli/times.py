"""Times as people write them on the command line, in every command that takes one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from schemas.errors import ConfigurationError
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_S

TIME_METAVAR = "TIME"
TIME_HELP = "2026-07-30, 2026-07-30T14:00 (UTC), or how long ago: 15m, 2h, 7d"
"""How `--help` and errors describe a time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_BY_UNIT = {
    "s": US_PER_S,
    "m": US_PER_MINUTE,
    "h": US_PER_HOUR,
    "d": US_PER_DAY,
    "w": 7 * US_PER_DAY,
}
_SPAN = re.compile(r"(?:[0-9]{1,9}[smhdw])+")
_SPAN_PART = re.compile(r"([0-9]+)([smhdw])")
_MICROSECONDS = re.compile(r"[0-9]{16}")


def time_us(text: str, now_us: int) -> int:
    """Return the time that a person means, in UTC microseconds since the epoch.

    Args:
        text: `now`; an ISO 8601 date or time, in UTC where it names no zone; a span that is so long
            ago, such as `15m`, `2h`, `7d` or `1d12h`, of the units s, m, h, d and w; or 16 digits:
            microseconds since the epoch, as the records of the topics carry them.
        now_us: The present time.

    Raises:
        ConfigurationError: it is none of these, or before 1970.
    """
    written = text.strip()
    if written == "now":
        return now_us
    if _SPAN.fullmatch(written):
        found = now_us - span_us(written)
    elif _MICROSECONDS.fullmatch(written):
        found = int(written)
    else:
        found = _iso_us(written)
    if found < 0:
        raise ConfigurationError(f"{text!r} is before 1970: write {TIME_HELP}")
    return found


def span_us(text: str) -> int:
    """Return the length of a span such as `15m`, `2h`, `7d` or `1d12h`, in microseconds.

    Raises:
        ConfigurationError: it is none.
    """
    written = text.strip()
    if not _SPAN.fullmatch(written):
        raise ConfigurationError(f"not a span of time: {text!r}: write 30s, 15m, 2h, 7d or 1w")
    return sum(int(count) * _US_BY_UNIT[unit] for count, unit in _SPAN_PART.findall(written))


def _iso_us(text: str) -> int:
    """Return an ISO 8601 time in microseconds since the epoch. Raises ConfigurationError."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"not a time: {text!r}: write {TIME_HELP}") from None
    return (parsed.replace(tzinfo=parsed.tzinfo or UTC) - _EPOCH) // timedelta(microseconds=1)
