"""Runs of settlements that are added to a baseline together, since each goes on as those before it.

A page of history is hundreds of settlements of one contract, an interval apart. What each of them
changes when it is added alone (`Baseline.add`) is known beforehand where the plain case holds: its
interval is that of the settlement before it, and no interval around it changes. Here it is decided
for how many of them that is so; the others are added one by one. Pure: nothing is changed here.

Why the plain case gives what `settled_interval` would: no statement is about any of the times, and
the settlements before them are all one interval apart, up to twice NEIGHBOURS of them. So the times
on the side before agree, with each other and with what lies after the older ones, whatever the time
to the next settlement is. Only the intervals of those that follow may change with that time; they
are judged here with each settlement of the run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from schemas.times import US_PER_DAY, US_PER_HOUR
from stream_app.core.scoring.interval_evidence import GRID_HOURS, MAX_STATEMENTS, IntervalEvidence
from stream_app.core.scoring.settled_intervals import NEIGHBOURS, Interval, settled_interval
from stream_app.core.scoring.settlement import (
    FROM_HISTORY,
    OBSERVED_IN_HISTORY,
    SOURCE_BITS,
    Hole,
    Settled,
)
from stream_app.core.scoring.settlement_times import hole_between, spacing_at

KEPT_US = 34 * US_PER_DAY
"""Longer than the window: the interval of its oldest settlement follows from those before it, a
settlement that is delivered again is recognised, and a replay may reach back over its edge."""


class Columns(Protocol):
    """A baseline, as far as runs have to know it."""

    life_since: int

    @property
    def columns(
        self,
    ) -> tuple[Sequence[int], Sequence[float], Sequence[float], Sequence[int], Sequence[int]]:
        """Funding times, rates, hours, raw offsets, and codes, oldest first."""
        ...

    def settled_at(self, index: int) -> Settled:
        """Return the settlement at a position."""
        ...


class Filled(NamedTuple):
    """The hole that a settlement of a run comes into, and how many are missing there after it."""

    hole: Hole | None
    """None: it comes into none."""
    left: int


class Run(NamedTuple):
    """New settlements that can be added together."""

    at: int
    """The position of the first of them."""
    settlements: int
    interval_hours: float
    """Of each of them: observed, and not in doubt."""
    filled: Sequence[Filled]
    """For each of them, if there are settlements after the run; else empty."""


def new_run(
    baseline: Columns, evidence: IntervalEvidence, times: Sequence[int], before: int
) -> Run | None:
    """Return how many of ascending funding times (µs) can be added together, from the first on.

    They are those of settlements from the history whose payload states no interval. `before`: none
    from this time on can be. None: the first must be added alone.
    """
    known, _, all_hours, _, codes = baseline.columns
    first = times[0]
    at = len(known) if known and first > known[-1] else bisect_left(known, first)
    if at < NEIGHBOURS or codes[at - 1] != OBSERVED_IN_HISTORY:
        return None
    hours = all_hours[at - 1]
    if hours not in GRID_HOURS or known[at - NEIGHBOURS] < baseline.life_since:
        return None
    step_us = int(hours * US_PER_HOUR)
    until = min(before, evidence.begins_at)
    if at < len(known):
        until = min(until, known[at])
    if first != known[at - 1] + step_us or not _is_regular(baseline, at, step_us):
        return None
    count = _agreeing(times, range(first, until, step_us))
    filled: list[Filled] = []
    if count and at < len(known):
        filled = _filled(baseline, evidence, at, times[:count], hours)
        count = len(filled)
    return Run(at, count, hours, filled) if count else None


def known_run(baseline: Columns, times: Sequence[int], rates: Sequence[float]) -> int:
    """Return how many settlements of the history are known as such already, from the first on.

    Adding them again changes nothing. They have ascending funding times (µs).
    """
    known, known_rates, _, _, codes = baseline.columns
    at = bisect_left(known, times[0])
    count = min(
        _agreeing(times, known[at : at + len(times)]),
        _agreeing(rates, known_rates[at : at + len(times)]),
    )
    codes = codes[at : at + count]
    return next((i for i, code in enumerate(codes) if code & SOURCE_BITS != FROM_HISTORY), count)


def judged_anew(known: Settled, interval: Interval, evidence: IntervalEvidence) -> bool:
    """Tell whether a settlement gets another interval than the known one, by better evidence.

    It keeps the known one where the other differs only because a statement is forgotten: only the
    newest statements are kept.
    """
    if interval == known.interval:
        return False
    if known.interval_source == "payload":
        return interval.source == "payload"
    if known.interval_source != "exchange_info" or interval.source in ("payload", "exchange_info"):
        return True
    full = len(evidence.listed) >= MAX_STATEMENTS
    return not (full and evidence.listed_at(known.funding_time) is None)


def _agreeing(left: Sequence[float], right: Sequence[float]) -> int:
    """Return how many elements at the begin of two sequences are equal."""
    count = min(len(left), len(right))
    if count == 1:
        return int(left[0] == right[0])
    if list(left[:count]) == list(right[:count]):
        return count
    return next(i for i in range(count) if left[i] != right[i])


def _is_regular(baseline: Columns, at: int, step_us: int) -> bool:
    """Tell whether the settlements before a position are one interval apart, and known so."""
    times, _, hours, _, codes = baseline.columns
    last = times[at - 1]
    if at == len(times):
        # As `Baseline.add` judges one that comes after all others.
        is_even = times[at - 2] == last - step_us and times[at - 3] == last - 2 * step_us
        return is_even and at > NEIGHBOURS
    reach = min(at, 2 * NEIGHBOURS)
    expected = range(last - (reach - 1) * step_us, last + 1, step_us)
    is_known = range(at - NEIGHBOURS, at)
    return list(times[at - reach : at]) == list(expected) and all(
        codes[i] == OBSERVED_IN_HISTORY and hours[i] == hours[at - 1] for i in is_known
    )


def _filled(
    baseline: Columns,
    evidence: IntervalEvidence,
    at: int,
    times: Sequence[int],
    hours: float,
) -> list[Filled]:
    """Return the hole that each of some times comes into, as long as no interval changes by it."""
    known, _, all_hours, _, _ = baseline.columns
    life_since = baseline.life_since
    line = [*known[at - NEIGHBOURS + 1 : at], *times]
    following = known[at : at + 2 * NEIGHBOURS]
    followers = [baseline.settled_at(i) for i in range(at, min(at + NEIGHBOURS, len(known)))]
    longest_hours = max(hours, all_hours[at])
    hole = hole_between(known[at - 1], known[at], longest_hours, life_since)
    filled: list[Filled] = []
    for index, time_us in enumerate(times):
        near = [*line[index : index + NEIGHBOURS], *following]
        for position, known_one in enumerate(followers, NEIGHBOURS):
            spacing = spacing_at(near, position, life_since)
            interval = settled_interval(known_one.funding_time, None, evidence, spacing)
            if judged_anew(known_one, interval, evidence):
                return filled
        left = hole_between(time_us, known[at], longest_hours, life_since)
        filled.append(Filled(hole, left.missing if left else 0))
        hole = left
    return filled
