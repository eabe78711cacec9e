"""What an exchange has said about a contract's funding interval, and when. Pure.

Two kinds of statements are kept: about a certain funding time (a payload that names both the coming
funding time and the interval), and about the contract (the exchange's list). The order in which
they count is in docs/decisions/intervals-and-units.md; settled_intervals.py and
updates/estimate_interval.py apply it. Statements may come in any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.times import US_PER_HOUR

MAX_STATEMENTS = 8
"""Of each kind, the newest: one is kept for each change of the interval."""
GRID_HOURS: Sequence[float] = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 24.0)
"""The intervals that exchanges use."""
AHEAD_SLACK_US = US_PER_HOUR // 30
"""By how much a coming funding time may be further ahead than the interval: clocks differ."""


class Listed(msgspec.Struct, array_like=True, gc=False):
    """The list said `hours` at `since`, and at `until` still, as far as is known (UTC µs)."""

    since: int
    until: int
    hours: float


class Stated(msgspec.Struct, array_like=True, gc=False):
    """Payloads said `hours` about each funding time from `first` to `last`, `hours` apart."""

    first: int
    last: int
    """Both UTC µs."""
    hours: float
    said_at: int
    """Event time of the newest of these payloads (UTC µs)."""


class IntervalEvidence(msgspec.Struct, array_like=True, gc=False):
    """The statements about one contract, ascending in time. Fields are only ever appended."""

    listed: list[Listed] = []
    stated: list[Stated] = []

    def note_listed(self, hours: float, at: int) -> bool:
        """Take what the list said at `at` (receipt, µs); True if that changes what was in force."""
        listed = self.listed
        index = _after([entry.since for entry in listed], at)
        before = listed[index - 1] if index else None
        following = listed[index] if index < len(listed) else None
        if before is not None and before.hours == hours:
            before.until = max(before.until, at)
            return False
        if before is not None and before.until > at:
            # It said the earlier value again after `at`.
            listed.insert(index, Listed(before.until, before.until, before.hours))
            before.until = at
        elif following is not None and following.hours == hours:
            following.since = at
            return True
        listed.insert(index, Listed(at, at, hours))
        del listed[:-MAX_STATEMENTS]
        return True

    def note_stated(self, hours: float, funding_time: int, said_at: int) -> bool:
        """Take what a payload of event time `said_at` says about a funding time (µs).

        True if it was not known. Of two payloads about one funding time the later one counts.
        """
        stated = self.stated
        if stated:
            newest = stated[-1]
            if newest.hours == hours and newest.first <= funding_time <= newest.last:
                newest.said_at = max(newest.said_at, said_at)
                return False
        index = _after([entry.first for entry in stated], funding_time)
        if index and funding_time <= stated[index - 1].last:
            known = stated[index - 1]
            if known.hours == hours or funding_time < known.last or said_at <= known.said_at:
                return False
            known.last -= int(known.hours * US_PER_HOUR)
            if known.last < known.first:
                index -= 1
                del stated[index]
        before = stated[index - 1] if index else None
        following = stated[index] if index < len(stated) else None
        step_us = int(hours * US_PER_HOUR)
        if before and (before.hours, before.last) == (hours, funding_time - step_us):
            before.last, before.said_at = funding_time, max(before.said_at, said_at)
        elif following and (following.hours, following.first) == (hours, funding_time + step_us):
            following.first = funding_time
        else:
            stated.insert(index, Stated(funding_time, funding_time, hours, said_at))
            del stated[:-MAX_STATEMENTS]
        return True

    def listed_at(self, at: int) -> Listed | None:
        """Return what the list said last at or before a time (µs); None: nothing is known."""
        index = _after([entry.since for entry in self.listed], at)
        return self.listed[index - 1] if index else None

    def stated_for(self, funding_time: int) -> float | None:
        """Return the interval that a payload stated for a funding time (µs), in hours."""
        for entry in reversed(self.stated):
            if entry.first <= funding_time <= entry.last:
                is_one = (funding_time - entry.first) % int(entry.hours * US_PER_HOUR) == 0
                return entry.hours if is_one else None
        return None


def _after(times: Sequence[int], at: int) -> int:
    """Return how many of some ascending times are at or before a time. There are only a few."""
    return sum(time <= at for time in times)


def on_grid(funding_time: int, hours: float) -> bool:
    """Tell whether a funding time (µs) is a multiple of the interval, counted from 00:00 UTC."""
    return funding_time % int(hours * US_PER_HOUR) == 0
