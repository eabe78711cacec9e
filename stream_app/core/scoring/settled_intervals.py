"""Which interval a settled rate was for, by the evidence about it. Pure.

The order of evidence and its reasons are in docs/decisions/intervals-and-units.md: what was stated
for that funding time; what the exchange's list said then; the times between settlements. A time
between two settlements that is longer than the interval is a hole, never a longer interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.records import IntervalSource
from schemas.times import US_PER_HOUR
from stream_app.core.scoring.interval_evidence import (
    GRID_HOURS,
    IntervalEvidence,
    Listed,
    on_grid,
)

NEIGHBOURS = 3
"""How many times between settlements, on each side, an interval is inferred from: two holes may lie
next to each other."""
LIST_LAG_US = US_PER_HOUR // 3
"""How long after a change the list may say it: it is asked for every 20 minutes at least."""
DEFAULT_INTERVAL_HOURS = 8.0
"""Assumed where nothing says an interval."""


class Interval(NamedTuple):
    """A funding interval, where it was learnt, and whether the evidence leaves it in doubt."""

    hours: float
    source: IntervalSource
    doubtful: bool = False


class Spacing(NamedTuple):
    """The hours between a settlement and its neighbours, the nearest first, up to NEIGHBOURS."""

    before: list[float]
    after: list[float]


def settled_interval(
    funding_time: int, stated_hours: float | None, evidence: IntervalEvidence, spacing: Spacing
) -> Interval:
    """Return the interval of a settlement.

    `stated_hours`: what a payload has said about this very settlement; None: nothing.
    """
    if stated_hours is None:
        stated_hours = evidence.stated_for(funding_time)
    if stated_hours is not None:
        return Interval(stated_hours, "payload")
    listed = evidence.listed_at(funding_time)
    if listed is not None:
        found = _by_list(funding_time, listed.hours, spacing)
        is_open = _changed_since(funding_time, found.hours, evidence.listed_after(funding_time))
        return found._replace(doubtful=True) if is_open else found
    first = evidence.listed[0] if evidence.listed else None
    if first is not None and not spacing.after and _comes_after(first, funding_time):
        # What the list said soon after is what the next settlement is for.
        if not spacing.before:
            return Interval(first.hours, "exchange_info")
        return by_spacing(Spacing(spacing.before, [first.hours, first.hours]))
    if not spacing.before and not spacing.after:
        return Interval(first.hours if first else DEFAULT_INTERVAL_HOURS, "assumed", doubtful=True)
    return by_spacing(spacing)


def _comes_after(listed: Listed, funding_time: int) -> bool:
    """Tell whether the settlement after this one was still to come when the list was read."""
    return funding_time + int((listed.hours + 1) * US_PER_HOUR) > listed.since


def _changed_since(funding_time: int, hours: float, following: Listed | None) -> bool:
    """Tell whether a longer interval that is listed soon after a settlement may have been its own.

    The list lags, and a change may be made between two settlements. The interval before would make
    the rate look larger than it is.
    """
    if following is None or following.hours <= hours:
        return False
    is_soon = following.since <= funding_time + LIST_LAG_US
    return is_soon and on_grid(funding_time, following.hours)


def _by_list(funding_time: int, hours: float, spacing: Spacing) -> Interval:
    """Return the listed interval, unless the times between settlements show that it is outdated."""
    before = spacing.before[0] if spacing.before else None
    after = spacing.after[0] if spacing.after else None
    if before is not None and before == after and before < hours:
        return Interval(before, "observed")
    # A settlement clock may move; what comes after the move follows the new clock.
    follows = before is None or before % hours == 0
    is_followed = after is not None and after % hours == 0
    if on_grid(funding_time, hours) or follows or is_followed:
        return Interval(hours, "exchange_info")
    found = by_spacing(spacing)
    return found._replace(doubtful=True) if after is None else found


def by_spacing(spacing: Spacing) -> Interval:
    """Return the interval that the times between settlements tell, of one neighbour at least."""
    before, after = spacing
    if not (before and after):
        return _of_newest(before) if before else _of_first(after)
    near, next_ = before[0], after[0]
    regular = _between_holes(before, after)
    if regular is not None:
        return Interval(regular, "observed", doubtful=True)
    if min(len(before), len(after)) > 1 and {*before, *after} == {near}:
        return Interval(near, "observed")
    if near in (next_, *before[1:2]):
        # In the middle, or the last one before a change or a hole.
        return _sure(near)
    if [next_] == after[1:2]:
        # The first one after a change, a hole or a move of the clock.
        return _after_odd_time(before, next_)
    return _beside_hole(before, after)


def _between_holes(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Return the shorter time that lies beyond several longer ones; None: it is not so.

    A settlement with a hole on each side, or with two before it, would else be one of a longer
    interval.
    """
    regular = min(*before, *after)
    if before[0] == regular or regular not in before:
        return None
    holes = list(before[: before.index(regular)])
    if after[0] != regular:
        if regular not in after:
            return None
        holes += after[: after.index(regular)]
    is_several = len(holes) > 1
    return regular if is_several and all(hole % regular == 0 for hole in holes) else None


def _after_odd_time(before: Sequence[float], next_: float) -> Interval:
    """Return the interval where the times after a settlement agree and those before do not."""
    near, earlier = before[0], before[1] if len(before) > 1 else None
    if earlier is None or near <= earlier or near % earlier:
        return _sure(next_)
    # A multiple of the interval before: a hole, unless a change between two settlements made it.
    if earlier > next_:
        return _sure(earlier)
    return _sure(next_)._replace(doubtful=earlier != next_ and near < next_)


def _beside_hole(before: Sequence[float], after: Sequence[float]) -> Interval:
    """Return the interval where neither side has two equal times.

    If what lies beyond one of the two times equals the other, that one time is the odd one: a hole,
    or a move of the clock.
    """
    near, next_ = before[0], after[0]
    if before[1:2] == [next_]:
        return _sure(next_)
    if after[1:2] == [near]:
        return _sure(near)
    shorter, longer = min(near, next_), max(near, next_)
    return Interval(shorter if shorter in GRID_HOURS else longer, "observed", doubtful=True)


def _of_first(after: Sequence[float]) -> Interval:
    """Return the interval of a settlement before which none is known."""
    next_ = after[0]
    if len(after) == 1 or next_ <= after[1]:
        return _sure(next_)
    # Before a change to a shorter interval, or before a hole.
    is_hole = next_ % after[1] == 0
    return Interval(after[1] if is_hole else next_, "observed", doubtful=True)


def _of_newest(before: Sequence[float]) -> Interval:
    """Return the interval of a settlement after which none is known."""
    near = before[0]
    if len(before) == 1 or before[1] == near or before[1] not in GRID_HOURS:
        return _sure(near)
    shorter = near < before[1]
    is_usual = shorter and near in GRID_HOURS
    return Interval(near if is_usual else before[1], "observed", doubtful=True)


def _sure(hours: float) -> Interval:
    """Return an interval that the evidence agrees on, unless no exchange has such a one.

    A time that is none has settlements missing in it: the longest interval that divides it is the
    likeliest, and stays in doubt.
    """
    if hours in GRID_HOURS:
        return Interval(hours, "observed")
    divisors = [usual for usual in GRID_HOURS if hours % usual == 0]
    return Interval(divisors[-1] if divisors else GRID_HOURS[0], "observed", doubtful=True)
