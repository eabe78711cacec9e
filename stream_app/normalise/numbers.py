"""Numbers as exchanges write them: strings, exponents, empty for "none", times in ms, µs or ns.

Also what is plausible: a next funding time near its event, an interval that can be divided by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from schemas.errors import MalformedInputError
from schemas.times import US_PER_DAY, US_PER_HOUR

Number: TypeAlias = object
"""A field for `number` or `price`: text, a JSON number, or null. Whatever else an exchange puts
there must not spoil the rest of the row, so decoders take anything."""
Time: TypeAlias = object
"""A field for `time_us`. An integer stays one: nanoseconds exceed 2^53
(docs/exchanges/README.md §3 rule 16)."""
Read = TypeVar("Read")

_MISSING = frozenset({"", "null", "n/a", "N/A", "nan", "NaN"})
# The windows 2001-2286 in each unit do not overlap, so magnitude tells the unit.
_MIN_MS, _MAX_MS = 10**12, 10**13
_MIN_US, _MAX_US = 10**15, 10**16
_MIN_NS, _MAX_NS = 10**18, 10**19
_MAX_DIGITS = 19

MAX_NEXT_BEHIND_US = US_PER_HOUR
"""Around a settlement a payload may still name the one that has just passed."""
MAX_NEXT_AHEAD_US = 8 * US_PER_DAY
"""No exchange settles more rarely than daily; beyond this the unit or the meaning is another."""
_MS_PER_HOUR = 3_600_000
_MIN_INTERVAL_HOURS = 1 / 60
MAX_INTERVAL_HOURS = 24.0


def number(value: Number, field: str) -> float | None:
    """Return `value` as a float; None where it says that there is none. −0 becomes 0.

    Raises:
        MalformedInputError: it is neither a finite number nor a way to say "none".
    """
    if value is None:
        return None
    if isinstance(value, str):
        if value in _MISSING:
            return None
        # float() alone also takes 1_0, " 1 " and the digits of every script.
        if not value.isascii() or "_" in value or value[0] <= " " or value[-1] <= " ":
            raise MalformedInputError(f"{field} is not a number: {value!r:.60}")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedInputError(f"{field} is not a number: {value!r:.60}")
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        raise MalformedInputError(f"{field} is not a number: {value!r:.60}") from None
    if not math.isfinite(parsed):
        raise MalformedInputError(f"{field} is not finite: {value!r:.60}")
    return parsed + 0.0


def optional(
    read: Callable[[Number, str], Read], value: Number, field: str, faults: list[str]
) -> Read | None:
    """Return `read(value, field)`; None where that cannot be, and why is added to `faults`.

    For a field beside which others are good: one bad field must not cost the whole row.
    """
    try:
        return read(value, field)
    except MalformedInputError as error:
        faults.append(str(error))
        return None


def price(value: Number, field: str) -> float | None:
    """Return a price; None where there is none. Exchanges send 0 for "no price"."""
    parsed = number(value, field)
    return parsed or None


def time_us(value: Time, field: str) -> int:
    """Return a time in µs; its unit (ms, µs, ns) is told by magnitude.

    Raises:
        MalformedInputError: in no unit does it lie between 2001 and 2286.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    whole: int = value if is_whole else _whole(value, field)  # type: ignore[assignment]
    if _MIN_MS <= whole < _MAX_MS:
        return whole * 1_000
    if _MIN_US <= whole < _MAX_US:
        return whole
    if _MIN_NS <= whole < _MAX_NS:
        return whole // 1_000
    raise MalformedInputError(f"{field} is no time in ms, us or ns: {value!s:.60}")


def _whole(value: Time, field: str) -> int:
    """Return a time's text or JSON float as an integer, of plain digits without a double between.

    Raises:
        MalformedInputError: it is no number.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        return int(value)
    parsed = number(value, field)
    if parsed is None:
        raise MalformedInputError(f"{field} is missing")
    return int(parsed)


def past_time_us(value: Time, field: str) -> int | None:
    """Return a time in µs; None where there is none (0 included).

    Raises:
        MalformedInputError: in no unit does it lie between 2001 and 2286.
    """
    return time_us(value, field) if value and value != "0" else None


def hours(value: Number, field: str) -> float | None:
    """Return an interval given in hours; None where there is none (0 included).

    Raises:
        MalformedInputError: not within a minute and a day: rates are divided by it.
    """
    parsed = number(value, field)
    if not parsed:
        return None
    if not _MIN_INTERVAL_HOURS < parsed <= MAX_INTERVAL_HOURS:
        raise MalformedInputError(f"{field} is no interval in hours: {value!s:.60}")
    return parsed


def next_time_us(value: Time | None, event_us: int) -> int | None:
    """Return a next funding time in µs; None where there is none or it is not near the event.

    A wrong next time does not spoil the rate beside it, so it is dropped rather than refused.
    """
    if not value:
        return None
    try:
        at = time_us(value, "next funding time")
    except MalformedInputError:
        return None
    return at if -MAX_NEXT_BEHIND_US <= at - event_us <= MAX_NEXT_AHEAD_US else None


def interval_hours_of_ms(value: Number, field: str) -> float | None:
    """Return an interval given in ms as hours; None where there is none (0 included).

    Raises:
        MalformedInputError: not within a minute and a day, so in another unit: rates are divided
            by it.
    """
    parsed = number(value, field)
    if not parsed:
        return None
    in_hours = parsed / _MS_PER_HOUR
    if not _MIN_INTERVAL_HOURS < in_hours <= MAX_INTERVAL_HOURS:
        raise MalformedInputError(f"{field} is no interval in ms: {value!s:.60}")
    return in_hours
