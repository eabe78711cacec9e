"""The baseline of a contract: its settlements of 30 days, and what is known of each.

Special settlements are kept beside it, so that each is published once; they are in no statistics.
See docs/decisions/baseline-and-z.md and docs/decisions/intervals-and-units.md.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from schemas.records import SettlementSource
from schemas.times import US_PER_HOUR
from stream_app.core.scoring.interval_evidence import IntervalEvidence
from stream_app.core.scoring.settled_intervals import (
    DEFAULT_INTERVAL_HOURS,
    NEIGHBOURS,
    Interval,
    Spacing,
    settled_interval,
)
from stream_app.core.scoring.settled_runs import KEPT_US, judged_anew
from stream_app.core.scoring.settlement import (
    OBSERVED_IN_HISTORY,
    SOURCES,
    Change,
    Hole,
    Settled,
    Special,
    code_of,
    decoded,
)
from stream_app.core.scoring.settlement_times import hole_between, spacing_at
from stream_app.core.scoring.statistics import (
    UNRATED,
    Score,
    Statistics,
    percentile_of,
    robust_z_of,
    z_of,
)
from stream_app.core.scoring.window import (
    NOTHING,
    Columns,
    Computed,
    Floats,
    rates_8h,
    statistics_in,
)


class Baseline:
    """The regular settlements of one contract, ordered by funding time, at most KEPT_US back.

    Held in columns: 33 bytes a settlement, where 1,900 contracts have up to 816 each.
    """

    __slots__ = (
        "_codes",
        "_computed",
        "_hours",
        "_is_stale",
        "_offsets",
        "_other_hour",
        "_rates",
        "_times",
        "life_since",
        "specials",
        "superseded",
    )

    def __init__(self, settled: Iterable[Settled] = (), specials: Iterable[Special] = ()) -> None:
        ordered = sorted(settled)
        self._times = array("q", [s.funding_time for s in ordered])
        self._rates = array("d", [s.rate for s in ordered])
        self._hours = array("d", [s.interval_hours for s in ordered])
        self._offsets = array("q", [s.raw_offset for s in ordered])
        self._codes = array("b", [code_of(s) for s in ordered])
        self.specials = sorted(specials)
        """Extra funding beside the regular one."""
        self.superseded: list[Settled] = []
        """Settlements that were replaced by a better version since the last pack."""
        self.life_since = 0
        """Settlements before this time (µs) are of another contract that had the same ticker."""
        self._computed = NOTHING
        """What the newest call of `statistics` returned."""
        self._other_hour: Computed | None = None
        """That of another hour, over the same settlements: prepared, or of the hour before."""
        self._is_stale = True
        """True if settlements have changed since `_computed`."""

    @classmethod
    def of_columns(cls, columns: Sequence[array[Any]], specials: Iterable[Special]) -> Baseline:
        """Return a baseline with these columns, which are as in `columns`."""
        baseline = cls((), specials)
        (
            baseline._times,
            baseline._rates,
            baseline._hours,
            baseline._offsets,
            baseline._codes,
        ) = columns
        return baseline

    def copied(self) -> Baseline:
        """Return a baseline that is as this one is now."""
        twin = Baseline.__new__(Baseline)
        for name in self.__slots__:
            value = getattr(self, name)
            setattr(twin, name, value[:] if isinstance(value, array | list) else value)
        return twin

    def __len__(self) -> int:
        return len(self._times)

    @property
    def settled(self) -> list[Settled]:
        """All regular settlements, oldest first."""
        return [self.settled_at(index) for index in range(len(self))]

    @property
    def columns(self) -> Columns:
        """Funding times, rates, hours, raw offsets, and codes (`code_of`), oldest first."""
        return self._times, self._rates, self._hours, self._offsets, self._codes

    def settled_at(self, index: int) -> Settled:
        """Return the settlement at a position, of which the oldest has 0."""
        source, interval_source, doubtful = decoded(self._codes[index])
        return Settled(
            self._times[index],
            self._rates[index],
            self._hours[index],
            self._offsets[index],
            source,
            interval_source,
            doubtful,
        )

    def known(self, funding_time: int) -> Settled | None:
        """Return the regular settlement of a funding time."""
        at = bisect_left(self._times, funding_time)
        return self.settled_at(at) if at < len(self) and self._times[at] == funding_time else None

    def newest_time(self) -> int:
        """Return the funding time (µs) of the newest settlement; 0: there is none."""
        return self._times[-1] if self._times else 0

    def add(
        self,
        funding_time: int,
        rate: float,
        stated_hours: float | None,
        evidence: IntervalEvidence,
        raw_offset: int,
        source: SettlementSource = "history",
    ) -> list[Change]:
        """Add a regular settlement; return what is new or changed by it, itself first.

        Nothing if its funding time is too old, or if it tells nothing new. Of two for the same time
        the more trusted source counts (history, stream, derived), of two in the history the one
        that came later. `stated_hours`: the interval that its own payload names.
        """
        times = self._times
        if times and funding_time <= times[-1] - KEPT_US:
            return []
        at = bisect_left(times, funding_time)
        if at == len(times) and stated_hours is None and self._goes_on(funding_time, evidence):
            goes_on = Settled(funding_time, rate, self._hours[-1], raw_offset, source, "observed")
            self._insert(at, goes_on)
            self._forget_old()
            return [Change(goes_on)]
        before = self.settled_at(at) if at < len(times) and times[at] == funding_time else None
        if before is not None and not _is_better(source, rate, before):
            return self._stated(at, before, stated_hours, raw_offset)
        if before is None:
            interval = Interval(stated_hours or DEFAULT_INTERVAL_HOURS, "payload")
            self._insert(at, Settled(funding_time, rate, interval.hours, raw_offset, source))
            if stated_hours is None:
                interval = settled_interval(funding_time, None, evidence, self._spacing(at))
        else:
            interval = before.interval
            if stated_hours is not None:
                interval = Interval(stated_hours, "payload")
        entry = Settled(funding_time, rate, interval.hours, raw_offset, source, *interval[1:])
        if before is not None:
            self.superseded.append(before)
        self._set(at, entry)
        confirmed = before is not None and before == entry._replace(
            raw_offset=before.raw_offset, source="stream"
        )
        changes = [] if confirmed else [Change(entry, before)]
        if before is None:
            around = range(at - NEIGHBOURS, at + NEIGHBOURS + 1)
            changes += self._revised((i for i in around if i != at), evidence, raw_offset)
            self._forget_old()
        return changes

    def _stated(
        self, at: int, known: Settled, stated_hours: float | None, raw_offset: int
    ) -> list[Change]:
        """Take the interval that a copy of a settlement states, though its rate does not count."""
        if stated_hours is None or known.interval_source == "payload":
            return []
        entry = known._replace(
            interval_hours=stated_hours,
            interval_source="payload",
            doubtful=False,
            raw_offset=raw_offset,
        )
        self.superseded.append(known)
        self._set(at, entry)
        return [Change(entry, known)]

    def _goes_on(self, funding_time: int, evidence: IntervalEvidence) -> bool:
        """Tell whether a new settlement follows the last three at the interval observed of them.

        Then it changes nothing of theirs, and has the same. Histories are made of such ones: this
        spares them the long way.
        """
        times = self._times
        if len(times) <= NEIGHBOURS or self._codes[-1] != OBSERVED_IN_HISTORY:
            return False
        step_us = funding_time - times[-1]
        return (
            step_us == times[-1] - times[-2] == times[-2] - times[-3]
            and step_us == self._hours[-1] * US_PER_HOUR
            and times[-3] >= self.life_since
            and funding_time < evidence.begins_at
        )

    def _forget_old(self) -> None:
        self._delete(slice(0, bisect_right(self._times, self._times[-1] - KEPT_US)))

    def add_special(
        self, stamp: int, funding_time: int, rate: float, raw_offset: int
    ) -> Special | None:
        """Add a special settlement; None if it is known already, or too old.

        It is known by the exchange's own stamp (µs): there may be several for one funding time,
        which the first of them gets as its own; the others have their stamps.
        """
        newest = max([self.newest_time(), *(special.funding_time for special in self.specials)])
        known = {special.stamp: special for special in self.specials}
        before = known.get(stamp)
        if funding_time <= newest - KEPT_US or (before is not None and before.rate == rate):
            return None
        taken = {special.funding_time for special in self.specials}
        if before is not None:
            funding_time = before.funding_time
        elif funding_time in taken:
            funding_time = stamp
        special = known[stamp] = Special(stamp, funding_time, rate, raw_offset)
        newest = max(newest, funding_time)
        self.specials = sorted(s for s in known.values() if s.funding_time > newest - KEPT_US)
        return special

    def revise(self, evidence: IntervalEvidence, since: int, raw_offset: int) -> list[Change]:
        """Judge the settlements from a funding time on anew, as the evidence has changed.

        Those just before it, too, which may follow from what comes after them.
        """
        first = bisect_left(self._times, since)
        return self._revised(range(first - NEIGHBOURS, len(self)), evidence, raw_offset)

    def _revised(
        self, positions: Iterable[int], evidence: IntervalEvidence, raw_offset: int
    ) -> list[Change]:
        changes = []
        for at in positions:
            if not 0 <= at < len(self):
                continue
            before = self.settled_at(at)
            interval = settled_interval(before.funding_time, None, evidence, self._spacing(at))
            if not judged_anew(before, interval, evidence):
                continue
            # Learnt from the record at hand: without that, a restart must not know it.
            entry = before._replace(
                interval_hours=interval.hours,
                interval_source=interval.source,
                doubtful=interval.doubtful,
                raw_offset=raw_offset,
            )
            self.superseded.append(before)
            self._set(at, entry)
            changes.append(Change(entry, before))
        return changes

    def _spacing(self, at: int) -> Spacing:
        return spacing_at(self._times, at, self.life_since)

    def hole_over(self, funding_time: int) -> Hole | None:
        """Return the hole that a funding time lies in, if no settlement of it is known."""
        at = bisect_left(self._times, funding_time)
        return self._hole(at) if self.known(funding_time) is None else None

    def holes_around(self, funding_time: int) -> list[Hole]:
        """Return the holes that end or begin with the settlement of a funding time."""
        at = bisect_left(self._times, funding_time)
        return [hole for hole in (self._hole(at), self._hole(at + 1)) if hole is not None]

    def _hole(self, at: int) -> Hole | None:
        """Return the hole before a position, if there is one."""
        if not 0 < at < len(self):
            return None
        longest_hours = max(self._hours[at - 1], self._hours[at])
        return hole_between(self._times[at - 1], self._times[at], longest_hours, self.life_since)

    def _insert(self, at: int, entry: Settled) -> None:
        self._times.insert(at, entry.funding_time)
        self._rates.insert(at, entry.rate)
        self._hours.insert(at, entry.interval_hours)
        self._offsets.insert(at, entry.raw_offset)
        self._codes.insert(at, code_of(entry))
        self.settlements_changed()

    def _set(self, at: int, entry: Settled) -> None:
        self._rates[at] = entry.rate
        self._hours[at] = entry.interval_hours
        self._offsets[at] = entry.raw_offset
        self._codes[at] = code_of(entry)
        self.settlements_changed()

    def _delete(self, which: slice) -> None:
        for column in self.columns:
            del column[which]

    def since(self, time_us: int) -> list[Settled]:
        """Return the settlements from a time (µs) on, oldest first."""
        return [self.settled_at(i) for i in range(bisect_left(self._times, time_us), len(self))]

    def begin_life(self, since: int) -> None:
        """Count only settlements from a time (µs) on from now on."""
        self.life_since = since
        self.settlements_changed()

    def settlements_changed(self) -> None:
        """Have `statistics` computed anew."""
        self._is_stale, self._other_hour = True, None

    def statistics(self, hour: int) -> Statistics:
        """Return the statistics over (hour − 30 d, hour], cached until a settlement arrives."""
        if self._is_stale or self._computed.stats.as_of != hour:
            other = self._other_hour
            if other is None or other.stats.as_of != hour:
                other = statistics_in(self.columns, self.life_since, hour)
            self._other_hour = None if self._is_stale else self._computed
            self._computed, self._is_stale = other, False
        return self._computed.stats

    def prepare(self, hour: int) -> None:
        """Compute the statistics of a coming hour ahead of `statistics(hour)`.

        They hold while no settlement changes; nothing that can be seen changes by it.
        """
        if not self._times:
            return
        other = self._other_hour
        is_known = not self._is_stale and self._computed.stats.as_of == hour
        if not is_known and (other is None or other.stats.as_of != hour):
            self._other_hour = statistics_in(self.columns, self.life_since, hour)

    def window(self) -> Floats:
        """Return the rate_8h that the newest statistics are over, oldest first."""
        return rates_8h(self.columns, self._computed)

    def score(self, value: float, stats: Statistics | None) -> Score:
        """Return z, robust z and percentile of a rate_8h against this baseline's `stats`.

        All None without a usable baseline.
        """
        z = z_of(value, stats)
        if z is None or stats is None:
            return UNRATED
        return Score(z, robust_z_of(value, stats), percentile_of(value, self.window()))

    def newest_interval(self) -> Interval | None:
        """Return the interval of the newest settlement of this life; None: there is none."""
        if not self._times or self._times[-1] < self.life_since:
            return None
        return self.settled_at(len(self) - 1).interval


def _is_better(source: SettlementSource, rate: float, before: Settled) -> bool:
    """Tell whether a settlement is to replace the one that is known for its time."""
    rank, known = SOURCES.index(source), SOURCES.index(before.source)
    return rank < known or (source == "history" and rate != before.rate)
