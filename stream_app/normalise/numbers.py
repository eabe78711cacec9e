"""Numbers as exchanges write them: strings, exponents, empty for "none", times in ms, µs or ns.

Not responsible for: which field holds what.
"""

from __future__ import annotations

import math

from schemas.errors import MalformedInputError

_MISSING = frozenset({"", "null", "n/a", "N/A", "nan", "NaN"})
# The windows 2001-2286 in each unit do not overlap, so magnitude tells the unit.
_MIN_MS, _MAX_MS = 10**12, 10**13
_MIN_US, _MAX_US = 10**15, 10**16
_MIN_NS, _MAX_NS = 10**18, 10**19


def number(value: str | float | None, field: str) -> float | None:
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
    try:
        parsed = float(value)
    except ValueError:
        raise MalformedInputError(f"{field} is not a number: {value!r:.60}") from None
    if not math.isfinite(parsed):
        raise MalformedInputError(f"{field} is not finite: {value!r:.60}")
    return parsed + 0.0


def price(value: str | float | None, field: str) -> float | None:
    """Return a price; None where there is none. Exchanges send 0 for "no price"."""
    parsed = number(value, field)
    return parsed or None


def time_us(value: int, field: str) -> int:
    """Return a time in µs; its unit (ms, µs, ns) is told by magnitude.

    Raises:
        MalformedInputError: in no unit does it lie between 2001 and 2286.
    """
    if _MIN_MS <= value < _MAX_MS:
        return value * 1_000
    if _MIN_US <= value < _MAX_US:
        return value
    if _MIN_NS <= value < _MAX_NS:
        return value // 1_000
    raise MalformedInputError(f"{field} is no time in ms, us or ns: {value}")
