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
"""Of each kind, the newest. There is one for each change of the interval; of those about funding
times there is another one after the stream was away over a settlement."""
GRID_HOURS: Sequence[float] = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 24.0)
"""The intervals that exchanges use."""
FAR_AHEAD_US = 1 << 62
"""After every time that there can be."""
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

    def covers(self, funding_time: int) -> bool:
        """Tell whether it is about a funding time (µs)."""
        within = self.first <= funding_time <= self.last
        return within and (funding_time - self.first) % int(self.hours * US_PER_HOUR) == 0


class IntervalEvidence(msgspec.Struct, array_like=True, gc=False):
    """The statements about one contract, ascending in time. Fields are only ever appended."""

    listed: list[Listed] = []
    stated: list[Stated] = []

    @property
    def begins_at(self) -> int:
        """The first time (µs) that any statement is about; nothing is said of those before."""
        first = self.listed[0].since if self.listed else FAR_AHEAD_US
        return min([first, *(entry.first for entry in self.stated)])

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
        if stated and stated[-1].hours == hours and stated[-1].covers(funding_time):
            stated[-1].said_at = max(stated[-1].said_at, said_at)
            return False
        known = next((entry for entry in stated if entry.covers(funding_time)), None)
        if known is not None:
            if known.hours == hours or said_at <= known.said_at:
                return False
            self._take_out(known, funding_time)
        step_us = int(hours * US_PER_HOUR)
        for entry in stated:
            if entry.hours == hours and entry.last == funding_time - step_us:
                entry.last, entry.said_at = funding_time, max(entry.said_at, said_at)
                break
            if entry.hours == hours and entry.first == funding_time + step_us:
                entry.first = funding_time
                break
        else:
            stated.append(Stated(funding_time, funding_time, hours, said_at))
        stated.sort(key=lambda entry: (entry.last, entry.first))
        del stated[:-MAX_STATEMENTS]
        return True

    def _take_out(self, known: Stated, funding_time: int) -> None:
        """Take one funding time out of a statement that covers it and others."""
        step_us = int(known.hours * US_PER_HOUR)
        self.stated.remove(known)
        parts = ((known.first, funding_time - step_us), (funding_time + step_us, known.last))
        self.stated += [
            Stated(first, last, known.hours, known.said_at)
            for first, last in parts
            if first <= last
        ]

    def listed_at(self, at: int) -> Listed | None:
        """Return what the list said last at or before a time (µs); None: nothing is known."""
        index = _after([entry.since for entry in self.listed], at)
        return self.listed[index - 1] if index else None

    def listed_after(self, at: int) -> Listed | None:
        """Return the first other thing that the list said after a time (µs)."""
        index = _after([entry.since for entry in self.listed], at)
        return self.listed[index] if index < len(self.listed) else None

    def stated_for(self, funding_time: int) -> float | None:
        """Return the interval that a payload stated for a funding time (µs), in hours."""
        found = [entry for entry in self.stated if entry.covers(funding_time)]
        return max(found, key=lambda entry: entry.said_at).hours if found else None


def _after(times: Sequence[int], at: int) -> int:
    """Return how many of some ascending times are at or before a time. There are only a few."""
    return sum(time <= at for time in times)


def on_grid(funding_time: int, hours: float) -> bool:
    """Tell whether a funding time (µs) is a multiple of the interval, counted from 00:00 UTC."""
    return funding_time % int(hours * US_PER_HOUR) == 0
