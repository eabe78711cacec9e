"""How many REST calls an hour has, from counts over a shorter span. Pure.

Some calls follow the clock: what settled at the full hour is asked for after it. They are counted
as they are in the minutes after a full hour that the span has; all others are scaled to the rest of
an hour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from schemas.times import US_PER_HOUR, US_PER_MINUTE

CLOCK_US = 10 * US_PER_MINUTE
"""The time after a full hour in which settlements and the reconciling snapshot are asked for."""

Sample = tuple[int, Counter[str]]
"""A time in µs, and the call counts up to it."""


class HourlyCalls(NamedTuple):
    """Calls of one path."""

    counted: int
    after_the_hour: int
    """Of these, within CLOCK_US after a full hour."""
    an_hour: float
    """Calls an hour: those after the full hour once, the others in proportion to the rest."""


def hourly(samples: Sequence[Sample], prefix: str) -> dict[str, HourlyCalls]:
    """Return the calls whose name begins with `prefix`, by what follows it."""
    steps = list(pairwise(samples))
    clock_us = sum(late - early for (early, _), (late, _) in steps if after_the_hour(late))
    other_us = samples[-1][0] - samples[0][0] - clock_us
    hours = full_hours(samples[0][0], samples[-1][0])
    names = {name for name in samples[-1][1] if name.startswith(prefix)}
    found = {}
    for name in sorted(names):
        clock = sum(
            after[name] - before[name]
            for (_, before), (late, after) in steps
            if after_the_hour(late)
        )
        counted = samples[-1][1][name] - samples[0][1][name]
        rest = counted - clock
        an_hour = clock / max(1, hours)
        if other_us > 0:
            an_hour += rest * (US_PER_HOUR - CLOCK_US * bool(hours)) / other_us
        if counted:
            found[name.removeprefix(prefix)] = HourlyCalls(counted, clock, an_hour)
    return found


def after_the_hour(at_us: int) -> bool:
    """Tell whether a time lies in the minutes after a full hour."""
    return at_us % US_PER_HOUR < CLOCK_US


def full_hours(from_us: int, until_us: int) -> int:
    """Count the full hours whose following CLOCK_US lie within a span."""
    first = -(-from_us // US_PER_HOUR)
    last = (until_us - CLOCK_US) // US_PER_HOUR
    return max(0, last - first + 1)
