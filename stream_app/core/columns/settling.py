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
    for slot in range(int(is_final.sum(axis=1).max()) if len(row) else 0):
        which = is_final[:, slot]
        _count(columns, row[which], held[which, slot])
        _hold(columns, row[which], held[which, slot], duration_us[which, slot])


def _count(columns: HotColumns, row: Longs, held: Floats) -> None:
    """Count updates, as `OpenBar.count` does."""
    columns.bar_updates[row] += 1
    mark, z = held[:, HELD_MARK], held[:, HELD_Z]
    columns.bar_mark_close[row] = np.where(np.isnan(mark), columns.bar_mark_close[row], mark)
    columns.bar_z_close[row] = np.where(np.isnan(z), columns.bar_z_close[row], z)
    columns.bar_z_min[row] = np.fmin(columns.bar_z_min[row], z)
    columns.bar_z_max[row] = np.fmax(columns.bar_z_max[row], z)


def _hold(columns: HotColumns, row: Longs, held: Floats, duration_us: Floats) -> None:
    """Add the time for which rates were held, as `OpenBar.hold` does."""
    rate = held[:, HELD_RATE]
    is_first = columns.bar_covered_us[row] == 0
    columns.bar_open[row] = np.where(is_first, rate, columns.bar_open[row])
    columns.bar_high[row] = np.where(is_first, rate, np.maximum(columns.bar_high[row], rate))
    columns.bar_low[row] = np.where(is_first, rate, np.minimum(columns.bar_low[row], rate))
    columns.bar_close[row] = rate
    columns.bar_interval_hours[row] = held[:, HELD_HOURS]
    columns.bar_covered_us[row] += duration_us.astype(np.int64)
    before = np.where(is_first, rate, columns.bar_mean[row])
    delta = rate - before
    mean = before + delta * duration_us / columns.bar_covered_us[row]
    columns.bar_mean[row] = mean
    columns.bar_m2[row] += duration_us * delta * (rate - mean)
    rest_us = np.where(held[:, HELD_REST] != 0.0, duration_us, 0.0)
    columns.bar_rest_us[row] += rest_us.astype(np.int64)


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
