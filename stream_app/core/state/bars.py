"""Hourly bars of a contract's rates, weighted by the time that each rate was held.

A rate holds from its event time until the next event, at most for the feed's stale threshold. Time
is put into bars only when no event within the lateness can change it any more, and in event order.
So a bar is the same to the last bit, whatever the order of arrival within the lateness and whenever
`settle` is called. See docs/decisions/hourly-bars.md.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from math import sqrt
from operator import attrgetter
from typing import NamedTuple

import msgspec

from schemas.records import Transport
from schemas.times import US_PER_HOUR, US_PER_MINUTE, US_PER_S, hour_floor

LATENESS_US = 10 * US_PER_S
"""How much older than the newest update (µs) one may be and still change the bar."""
SILENT_CLOSE_US = 2 * US_PER_MINUTE
"""How long after its end (µs) a bar of a silent contract is closed by the time of receipt."""
MAX_HELD = 128
"""How many updates of one contract wait for `settle` at most, which takes 8 or more a second: a
block of contracts that all have so many still fits into a Kafka record."""


class Held(msgspec.Struct, array_like=True, gc=False):
    """What a bar needs of an update whose holding time is not final yet."""

    event_time: int
    rate: float
    z: float | None
    mark_price: float | None
    transport: Transport
    interval_hours: float = 0.0


class OpenBar(msgspec.Struct, array_like=True, gc=False):
    """The sums of a bar, over the time that is final. Mean and M2 as West (1979), weighted."""

    hour: int
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    mean: float = 0.0
    m2: float = 0.0
    covered_us: int = 0
    rest_us: int = 0
    updates: int = 0
    z_min: float | None = None
    z_max: float | None = None
    z_close: float | None = None
    mark_close: float | None = None
    interval_hours: float = 0.0
    """Interval of the rate that was held last; 0: not known."""

    def hold(self, held: Held, duration_us: int) -> None:
        """Add `duration_us` of an update's rate."""
        rate = held.rate
        if self.covered_us == 0:
            self.open = self.high = self.low = self.mean = rate
        elif rate > self.high:
            self.high = rate
        elif rate < self.low:
            self.low = rate
        self.close = rate
        self.interval_hours = held.interval_hours
        self.covered_us = covered_us = self.covered_us + duration_us
        mean = self.mean
        delta = rate - mean
        self.mean = mean = mean + delta * duration_us / covered_us
        self.m2 += duration_us * delta * (rate - mean)
        if held.transport == "rest":
            self.rest_us += duration_us

    def count(self, held: Held) -> None:
        """Count an update whose event time lies in the hour."""
        self.updates += 1
        if held.mark_price is not None:
            self.mark_close = held.mark_price
        z = held.z
        if z is not None:
            self.z_close = z
            if self.z_min is None or z < self.z_min:
                self.z_min = z
            if self.z_max is None or z > self.z_max:
                self.z_max = z


class ClosedBar(NamedTuple):
    """A bar that nothing changes any more. Durations in seconds."""

    hour: int
    open: float
    high: float
    low: float
    close: float
    mean: float
    std: float
    covered_s: float
    updates: int
    late_updates: int
    z_min: float | None
    z_max: float | None
    z_close: float | None
    mark_close: float | None
    ws_s: float
    rest_s: float
    interval_hours: float


class BarState(msgspec.Struct, array_like=True, gc=False):
    """State of a contract's bars: the updates within the lateness and one open bar."""

    held: list[Held] = []
    """Ordered by event time, equal ones by arrival. The first may be older than the lateness."""
    counted_from: int = 0
    """Time (µs) up to which the first of `held` is in a bar already."""
    bar: OpenBar | None = None
    closed_to: int = 0
    """End of the newest closed hour."""
    late_updates: int = 0
    """Late updates since the newest bar was closed."""

    def knows(self, event_time: int, rate: float) -> bool:
        """Tell whether exactly this update is within the lateness, or was in force before that.

        The answer does not depend on what has been settled.
        """
        if not self.held:
            return False
        limit = self.held[-1].event_time - LATENESS_US
        for held in reversed(self.held):
            if held.event_time < event_time:
                return False
            if held.event_time == event_time and held.rate == rate:
                return True
            if held.event_time < limit:
                return False
        return False

    def add(self, update: Held) -> None:
        """Add an update within the lateness."""
        event_time = update.event_time
        if event_time < self.closed_to:
            self.late_updates += 1
            return
        held = self.held
        if not held or event_time >= held[-1].event_time:
            if not held:
                self.counted_from = event_time
            held.append(update)
            return
        insort(held, update, key=attrgetter("event_time"))
        if held[0] is update:
            self.counted_from = event_time

    @property
    def full(self) -> bool:
        """True when `settle` must not wait for the next flush boundary."""
        return len(self.held) > MAX_HELD

    def settle(self, stale_us: int) -> Sequence[ClosedBar]:
        """Put all time that is final into bars; return the bars that the newest update closes."""
        held = self.held
        if not held:
            return ()
        limit = held[-1].event_time - LATENESS_US
        if len(held) > MAX_HELD:
            # Beyond the bound the oldest are settled early. Nothing is lost, but an update that
            # belongs before them would be late.
            limit = max(limit, held[-MAX_HELD].event_time + 1)
        closed: list[ClosedBar] = []
        self._settle(limit, stale_us, closed)
        return closed

    def close_silent(self, wall_us: int, stale_us: int) -> Sequence[ClosedBar]:
        """Return the bars that are closed because `wall_us` is SILENT_CLOSE_US past their end."""
        limit = hour_floor(wall_us - SILENT_CLOSE_US)
        if limit <= self.closed_to or (not self.held and self.bar is None):
            return ()
        closed: list[ClosedBar] = []
        self._settle(limit, stale_us, closed)
        if self.bar is not None and self.bar.hour < limit:
            self._close(closed)
        return closed

    def _settle(self, limit: int, stale_us: int, closed: list[ClosedBar]) -> None:
        """Put all time before `limit` into bars: no update before it can come."""
        held = self.held
        final = 0
        while final + 1 < len(held) and (following := held[final + 1].event_time) < limit:
            first = held[final]
            end = first.event_time + stale_us
            self._take(first, min(end, following), closed)
            self.counted_from = following
            final += 1
        del held[:final]
        self._settle_hours(limit, stale_us, closed)

    def _settle_hours(self, limit: int, stale_us: int, closed: list[ClosedBar]) -> None:
        """Put the first update's whole hours before `limit` into bars."""
        held = self.held
        while held:
            first = held[0]
            end = first.event_time + stale_us
            following = held[1].event_time if len(held) > 1 else None
            hour_end = hour_floor(self.counted_from) + US_PER_HOUR
            if hour_end > limit:
                return
            self._take(first, min(end, hour_end), closed)
            if self.bar is not None and self.bar.hour < hour_end:
                self._close(closed)
            self.counted_from = hour_end
            if end <= hour_end and following is None:
                # Nothing of it reaches into the next hour.
                del held[0]

    def _take(self, first: Held, end: int, closed: list[ClosedBar]) -> None:
        """Put the time of `first` from `counted_from` to `end` into its bar, or two."""
        start, bar = self.counted_from, self.bar
        if (
            start == first.event_time
            and bar is not None
            and bar.hour <= start < end <= bar.hour + US_PER_HOUR
        ):
            bar.count(first)
            bar.hold(first, end - start)
            return
        if start == first.event_time:
            self._open(start, closed).count(first)
        while start < end:
            bar = self._open(start, closed)
            piece_end = min(end, bar.hour + US_PER_HOUR)
            bar.hold(first, piece_end - start)
            start = piece_end

    def _open(self, time_us: int, closed: list[ClosedBar]) -> OpenBar:
        """Make the bar of a time the open one, and return it; the one before it is closed."""
        bar = self.bar
        if bar is not None:
            if bar.hour <= time_us < bar.hour + US_PER_HOUR:
                return bar
            self._close(closed)
        self.bar = bar = OpenBar(hour_floor(time_us))
        return bar

    def _close(self, closed: list[ClosedBar]) -> None:
        bar = self.bar
        assert bar is not None
        self.bar = None
        self.closed_to = bar.hour + US_PER_HOUR
        late, self.late_updates = self.late_updates, 0
        covered = bar.covered_us
        closed.append(
            ClosedBar(
                bar.hour,
                bar.open,
                bar.high,
                bar.low,
                bar.close,
                bar.mean,
                sqrt(max(0.0, bar.m2 / covered)) if covered else 0.0,
                covered / US_PER_S,
                bar.updates,
                late,
                bar.z_min,
                bar.z_max,
                bar.z_close,
                bar.mark_close,
                (covered - bar.rest_us) / US_PER_S,
                bar.rest_us / US_PER_S,
                bar.interval_hours,
            )
        )
