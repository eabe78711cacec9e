"""Settles the held updates of many contracts into their bars at once, as state/bars.py does one.

Only where nothing ends: all time that is final lies within the open bar's hour. The sums are the
same to the last bit, as each contract's updates are added in the same order by the same formulas.
"""

from __future__ import annotations

import numpy as np

from schemas.times import US_PER_HOUR
from stream_app.core.columns.hot import (
    HELD_HOURS,
    HELD_MARK,
    HELD_RATE,
    HELD_REST,
    HELD_TIME,
    HELD_Z,
    Flags,
    Floats,
    HotColumns,
    Longs,
)
from stream_app.core.state.bars import LATENESS_US, SILENT_CLOSE_US


def settle(columns: HotColumns, row: Longs, stale_us: int) -> Longs:
    """Put all time that is final into the bars of contracts in their rows.

    `stale_us`: how long a rate holds at most. Returns the rows to be settled by state/bars.py
    instead, because a bar begins or ends; those are as they were.
    """
    count = columns.held_count[row]
    row, count = row[count > 0], count[count > 0]
    if not len(row):
        return row
    slots = int(count.max())
    held = columns.held[row, :slots]
    times = held[:, :, HELD_TIME]
    counted_from = columns.counted_from[row]
    limit = times[np.arange(len(row)), count - 1] - LATENESS_US
    following = np.full_like(times, np.inf)
    following[:, :-1] = times[:, 1:]
    # Slots are ordered by time, so those that are final come first.
    is_final = (np.arange(1, slots + 1) < count[:, None]) & (following < limit[:, None])
    final = is_final.sum(axis=1)
    begins = times.copy()
    begins[:, 0] = counted_from
    ends = np.minimum(times + stale_us, following)
    left_from = np.where(final > 0, times[np.arange(len(row)), final], counted_from)
    is_within = _within(columns, row, begins, ends, times, is_final)
    # The rest must not reach beyond an hour that is over.
    is_within &= left_from - left_from % US_PER_HOUR + US_PER_HOUR > limit
    some = is_within & (final > 0)
    _add(columns, row[some], held[some], (ends - begins)[some], is_final[some])
    _shift(columns, row[some], final[some], count[some])
    columns.counted_from[row[some]] = left_from[some].astype(np.int64)
    return row[~is_within]


def _within(
    columns: HotColumns, row: Longs, begins: Floats, ends: Floats, times: Floats, is_final: Flags
) -> Flags:
    """Tell of which contracts all that is final lies within the open bar, and takes some time."""
    hour = columns.bar_hour[row][:, None]
    fits = (begins == times) & (hour <= begins) & (begins < ends) & (ends <= hour + US_PER_HOUR)
    within: Flags = (fits & (hour >= 0) | ~is_final).all(axis=1)
    return within


def _add(
    columns: HotColumns, row: Longs, held: Floats, duration_us: Floats, is_final: Flags
) -> None:
    """Add the final updates to the bars, the first of each contract, then the second."""
    bars = _Bars(columns, row)
    for slot in range(int(is_final.sum(axis=1).max()) if len(row) else 0):
        bars.add(held[:, slot], duration_us[:, slot], is_final[:, slot])
    bars.write(columns, row)


class _Bars:
    """The bars of some contracts, taken out of their columns while updates are added."""

    def __init__(self, columns: HotColumns, row: Longs) -> None:
        self.updates = columns.bar_updates[row]
        self.covered_us = columns.bar_covered_us[row]
        self.rest_us = columns.bar_rest_us[row]
        self.open, self.high = columns.bar_open[row], columns.bar_high[row]
        self.low, self.close = columns.bar_low[row], columns.bar_close[row]
        self.mean, self.m2 = columns.bar_mean[row], columns.bar_m2[row]
        self.z_min, self.z_max = columns.bar_z_min[row], columns.bar_z_max[row]
        self.z_close, self.mark_close = columns.bar_z_close[row], columns.bar_mark_close[row]
        self.interval_hours = columns.bar_interval_hours[row]

    def add(self, held: Floats, duration_us: Floats, which: Flags) -> None:
        """Count an update of each contract, or of `which`, and add the time that its rate was held.

        As `OpenBar.count` and `OpenBar.hold` do.
        """
        rate, z, mark = held[:, HELD_RATE], held[:, HELD_Z], held[:, HELD_MARK]
        self.updates += which
        has_z = which & (z == z)  # noqa: PLR0124 - NaN: there is none
        self.mark_close = np.where(which & (mark == mark), mark, self.mark_close)  # noqa: PLR0124
        self.z_close = np.where(has_z, z, self.z_close)
        self.z_min = np.where(has_z, np.fmin(self.z_min, z), self.z_min)
        self.z_max = np.where(has_z, np.fmax(self.z_max, z), self.z_max)
        is_first = which & (self.covered_us == 0)
        goes_on = which & ~is_first
        self.open = np.where(is_first, rate, self.open)
        self.high = np.where(goes_on, np.maximum(self.high, rate), self.high)
        self.low = np.where(goes_on, np.minimum(self.low, rate), self.low)
        self.high = np.where(is_first, rate, self.high)
        self.low = np.where(is_first, rate, self.low)
        self.close = np.where(which, rate, self.close)
        self.interval_hours = np.where(which, held[:, HELD_HOURS], self.interval_hours)
        duration_us = np.where(which, duration_us, 0.0)
        self.covered_us += duration_us.astype(np.int64)
        before = np.where(is_first, rate, self.mean)
        delta = rate - before
        covered_us = np.where(which, self.covered_us, 1)
        mean = before + delta * duration_us / covered_us
        self.mean = np.where(which, mean, self.mean)
        self.m2 += duration_us * delta * (rate - mean)
        self.rest_us += np.where(held[:, HELD_REST] != 0.0, duration_us, 0.0).astype(np.int64)

    def write(self, columns: HotColumns, row: Longs) -> None:
        """Put the bars back."""
        columns.bar_updates[row] = self.updates
        columns.bar_covered_us[row] = self.covered_us
        columns.bar_rest_us[row] = self.rest_us
        columns.bar_open[row], columns.bar_high[row] = self.open, self.high
        columns.bar_low[row], columns.bar_close[row] = self.low, self.close
        columns.bar_mean[row], columns.bar_m2[row] = self.mean, self.m2
        columns.bar_z_min[row], columns.bar_z_max[row] = self.z_min, self.z_max
        columns.bar_z_close[row], columns.bar_mark_close[row] = self.z_close, self.mark_close
        columns.bar_interval_hours[row] = self.interval_hours


def _shift(columns: HotColumns, row: Longs, final: Longs, count: Longs) -> None:
    """Remove the first `final` held updates of each row."""
    if not len(row):
        return
    slots = int(count.max())
    source = np.minimum(np.arange(slots) + final[:, None], slots - 1)
    columns.held[row, :slots] = columns.held[row[:, None], source]
    columns.held_count[row] = count - final


def ends_silently(columns: HotColumns, row: Longs, boundary: int) -> Flags:
    """Tell which contracts have a bar that a flush boundary (µs) ends though no update has come."""
    ended = boundary - SILENT_CLOSE_US
    limit = ended - ended % US_PER_HOUR
    has_held = (columns.held_count[row] > 0) & (columns.counted_from[row] < limit)
    has_bar = (columns.bar_hour[row] >= 0) & (columns.bar_hour[row] < limit)
    silent: Flags = (limit > columns.closed_to[row]) & (has_held | has_bar)
    return silent
