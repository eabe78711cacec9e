"""Fields as exchanges write them: numbers as strings, with exponents, empty for "none"; times in
ms, µs or ns; texts and flags.

Also what is plausible: a next funding time near its event, an interval that can be divided by.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TypeAlias, TypeVar

from schemas.errors import MalformedInputError
from schemas.times import US_PER_DAY, US_PER_HOUR
from stream_app.model import MAX_AMOUNT

Number: TypeAlias = object
"""A field for `number` or `price`: text, a JSON number, or null. Whatever else an exchange puts
there must not spoil the rest of the row, so decoders take anything."""
Time: TypeAlias = object
"""A field for `time_us`. An integer stays one: nanoseconds exceed 2^53
(docs/exchanges/README.md §3 rule 16)."""
Text: TypeAlias = object
"""A field for `text`."""
Flag: TypeAlias = object
"""A field for `flag`."""
Read = TypeVar("Read")

_MISSING = frozenset({"", "null", "n/a", "N/A", "nan", "NaN"})
# The windows 2001-2286 in each unit do not overlap, so magnitude tells the unit.
MIN_S, MAX_S = 10**9, 10**10
MIN_MS, MAX_MS = 10**12, 10**13
MIN_US, MAX_US = 10**15, 10**16
_MIN_NS, _MAX_NS = 10**18, 10**19
_MAX_DIGITS = 19
_SHOWN = 60

MAX_NEXT_BEHIND_US = US_PER_HOUR
"""Around a settlement a payload may still name the one that has just passed."""
MAX_NEXT_AHEAD_US = 8 * US_PER_DAY
"""No exchange settles more rarely than daily; beyond this the unit or the meaning is another."""
_MS_PER_HOUR = 3_600_000
_MIN_INTERVAL_HOURS = 0.25
MAX_INTERVAL_HOURS = 24.0


def number(value: Number, field: str) -> float | None:
    """Return `value` as a float; None where it says that there is none. −0 becomes 0.

    Raises:
        MalformedInputError: it is neither a finite number nor a way to say "none".
    """
    if isinstance(value, str):
        if value in _MISSING:
            return None
        # float() alone also takes 1_0, " 1 " and the digits of every script.
        if not value.isascii() or "_" in value or value[0] <= " " or value[-1] <= " ":
            raise MalformedInputError(f"{field} is not a number: {_shown(value)}")
    elif value is None:
        return None
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedInputError(f"{field} is not a number: {_shown(value)}")
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        raise MalformedInputError(f"{field} is not a number: {_shown(value)}") from None
    if not isfinite(parsed):
        raise MalformedInputError(f"{field} is not finite: {_shown(value)}")
    return parsed + 0.0


def _shown(value: object) -> str:
    """Return a value for an error message, in a few words however large or deep it is."""
    if isinstance(value, str):
        return repr(value[:_SHOWN])[:_SHOWN]
    if isinstance(value, list | dict):
        # Its own text could be as long as the payload, or nested too deeply for repr().
        return "a list" if isinstance(value, list) else "an object"
    return repr(value)[:_SHOWN]


def text(value: Text, field: str) -> str | None:
    """Return a text; None where there is none (empty included).

    Raises:
        MalformedInputError: it is something else.
    """
    if value is None or isinstance(value, str):
        return value or None
    raise MalformedInputError(f"{field} is no text: {_shown(value)}")


def flag(value: Flag, field: str) -> bool:
    """Return a flag, which is false where there is none.

    Raises:
        MalformedInputError: it is neither true nor false.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    raise MalformedInputError(f"{field} is no flag: {_shown(value)}")


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


def amount(value: Number, field: str) -> float | None:
    """Return an amount of what is traded or held, 0 included; None where there is none.

    Raises:
        MalformedInputError: it is less than nothing, or more than there can be of anything.
    """
    parsed = number(value, field)
    if parsed is not None and not 0 <= parsed <= MAX_AMOUNT:
        raise MalformedInputError(f"{field} is no amount: {_shown(value)}")
    return parsed


def product(*factors: float | None) -> float | None:
    """Return what amounts, sizes and prices make together.

    None: one of them is missing, or the product is no amount, which must not cost a good one beside
    it.
    """
    found = 1.0
    for factor in factors:
        if factor is None:
            return None
        found *= factor
    return found if 0 <= found <= MAX_AMOUNT else None


def time_us(value: Time, field: str) -> int:
    """Return a time in µs; its unit (ms, µs, ns) is told by magnitude.

    Raises:
        MalformedInputError: in no unit does it lie between 2001 and 2286.
    """
    # A bool is no time, though it is an int to isinstance().
    whole = value if type(value) is int else _whole(value, field)
    if MIN_MS <= whole < MAX_MS:
        return whole * 1_000
    if MIN_US <= whole < MAX_US:
        return whole
    if _MIN_NS <= whole < _MAX_NS:
        return whole // 1_000
    raise MalformedInputError(f"{field} is no time in ms, us or ns: {_shown(value)}")


def settled_us(value: Time, field: str) -> int:
    """Return when something settled, in µs: given in s, or as for `time_us`.

    Raises:
        MalformedInputError: in no unit does it lie between 2001 and 2286.
    """
    whole = value if type(value) is int else _whole(value, field)
    return time_us(whole * 1_000 if MIN_S <= whole < MAX_S else whole, field)


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
    return time_us(value, field) if number(value, field) else None


def hours(value: Number, field: str) -> float | None:
    """Return an interval given in hours; None where there is none (0 included).

    Raises:
        MalformedInputError: not within a quarter of an hour and a day: rates are divided by it.
    """
    parsed = number(value, field)
    if not parsed:
        return None
    if not _MIN_INTERVAL_HOURS <= parsed <= MAX_INTERVAL_HOURS:
        raise MalformedInputError(f"{field} is no interval in hours: {_shown(value)}")
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
        MalformedInputError: not within a quarter of an hour and a day, so in another unit; rates
            are divided by it.
    """
    parsed = number(value, field)
    if not parsed:
        return None
    in_hours = parsed / _MS_PER_HOUR
    if not _MIN_INTERVAL_HOURS <= in_hours <= MAX_INTERVAL_HOURS:
        raise MalformedInputError(f"{field} is no interval in ms: {_shown(value)}")
    return in_hours
