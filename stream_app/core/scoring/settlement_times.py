"""What the times of settlements tell: the spacing around one of them, and holes between two. Pure.

A ticker may have been another contract's before a time `life_since` (µs): what lies before is no
neighbour of what comes after.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from schemas.times import US_PER_HOUR
from stream_app.core.scoring.settled_intervals import NEIGHBOURS, Spacing
from stream_app.core.scoring.settlement import Hole

MAX_SPACING_HOURS = 24 * 40.0


def spacing_at(all_times: Sequence[int], at: int, life_since: int) -> Spacing:
    """Return the hours between a settlement and its neighbours of the same life.

    `all_times` are ascending; at least NEIGHBOURS of them are needed on each side, where there are
    as many.
    """
    times = all_times[max(0, at - NEIGHBOURS) : at + NEIGHBOURS + 1]
    center = min(at, NEIGHBOURS)
    gaps = [_hours_between(a, b) for a, b in pairwise(times)]
    if life_since and times[0] < life_since <= times[-1]:
        same = [(a >= life_since) == (b >= life_since) for a, b in pairwise(times)]
        gaps = [gap if kept else None for gap, kept in zip(gaps, same, strict=True)]
    return Spacing(_until_none(gaps[:center][::-1]), _until_none(gaps[center:]))


def hole_between(since: int, until: int, longest_hours: float, life_since: int) -> Hole | None:
    """Return the hole between two neighbouring settlements (µs), if others were due in between.

    `longest_hours`: the longer one of their intervals. The first settlement after a change of the
    interval may come at any time.
    """
    if since < life_since <= until:
        return None
    missing = -(-(until - since) // int(longest_hours * US_PER_HOUR)) - 1
    return Hole(since, until, missing) if missing > 0 else None


def _hours_between(a: int, b: int) -> float | None:
    """Return the hours between two funding times, to the minute; None: out of any proportion."""
    hours = round((b - a) / US_PER_HOUR, 2)
    return hours if 0 < hours <= MAX_SPACING_HOURS else None


def _until_none(gaps: Sequence[float | None]) -> list[float]:
    known: list[float] = []
    for gap in gaps:
        if gap is None:
            break
        known.append(gap)
    return known
