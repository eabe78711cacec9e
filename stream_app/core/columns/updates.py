"""The updates of a run of stream records, in columns, and which of them are plain.

A plain update is the newest of a contract that is in its row and in which nothing out of the
ordinary happens: see `plain`. All others go, one by one, through rates.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from schemas.times import US_PER_HOUR, US_PER_MINUTE
from stream_app.core.columns.hot import Flags, Floats, Longs
from stream_app.core.columns.judging import FeedColumns
from stream_app.core.state.bars import MAX_HELD


class Updates(NamedTuple):
    """Updates in the order of the log, a column for each field. Times are µs."""

    row: Longs
    """Of the contract in the columns of its feed; −1: it is not there."""
    event_time: Longs
    rate: Floats
    mark_price: Floats
    index_price: Floats
    next_funding_time: Longs
    received_at: Longs
    frame: Longs
    """Which record of the run."""
    item: Longs
    """Which item of it."""

    def chosen(self, which: Flags | Longs) -> Updates:
        """Return some of them, by a mask or by positions."""
        return Updates(*[column[which] for column in self])  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.row)


class Limits(NamedTuple):
    """What is plain on a feed, in µs."""

    missed_us: int
    """Longest time between two updates of a stream after which none is missing."""
    ahead_us: int
    """How far ahead of its receipt an event may be."""
    derives_settlements: bool
    """The first update after a funding time shows a settlement (feed_spec.py)."""
    stale_us: int
    """How long a rate holds."""


def plain(columns: FeedColumns, updates: Updates, limits: Limits, follow: Flags) -> Flags:
    """Tell which updates are plain; of several of one contract, the first is to be the next one.

    A plain update is the newest of its stream and its contract. What it is judged by is that of its
    hour, its rate is within the caps, its prices are there, and it is for the same funding time, or
    for the next one (`follow`: see funding_times.py).
    """
    row, at = updates.row, updates.event_time
    since, known_at = columns.stream_event_time[row], columns.event_time[row]
    coming = columns.next_funding_time[row]
    mark, index, rate = updates.mark_price, updates.index_price, updates.rate
    hour = at - at % US_PER_HOUR
    # With a funding time that has passed within the hour before, that hour's estimate is kept.
    goes_on = (known_at >= hour) | (coming - hour >= US_PER_MINUTE)
    is_plain: Flags = (
        columns.resident[row]
        & (follow | (goes_on & (updates.next_funding_time == coming)))
        & (at > known_at)
        & (at > since)
        & (at - since <= limits.missed_us)
        & (at - updates.received_at <= limits.ahead_us)
        & (hour == columns.hour[row])
        & (rate >= columns.lowest[row])
        & (rate <= columns.highest[row])
        & np.isfinite(mark)
        & (mark != 0.0)
        & np.isfinite(index)
        & (index != 0.0)
        & (at >= columns.closed_to[row])
        & (columns.held_count[row] < MAX_HELD)
    )
    if limits.derives_settlements:
        is_plain &= at < coming
    return is_plain


def turning(columns: FeedColumns, updates: Updates, limits: Limits) -> Flags:
    """Tell which updates may be the first of the hour after the one that their row is judged by."""
    row, at = updates.row, updates.event_time
    turns: Flags = (
        columns.resident[row]
        & (at - at % US_PER_HOUR == columns.hour[row] + US_PER_HOUR)
        & (at > columns.event_time[row])
        & (at - updates.received_at <= limits.ahead_us)
    )
    return turns


def plain_copies(columns: FeedColumns, updates: Updates, limits: Limits) -> Flags:
    """Tell which updates are the newest of their contract, delivered again."""
    row, at = updates.row, updates.event_time
    is_readable = np.isfinite(updates.mark_price) & np.isfinite(updates.index_price)
    copies: Flags = (
        is_readable
        & columns.resident[row]
        & (at == columns.event_time[row])
        & (updates.rate == columns.rate[row])
        & (at <= columns.stream_event_time[row])
        & (at - updates.received_at <= limits.ahead_us)
    )
    return copies


def ranks(row: Longs) -> Longs:
    """Return of each update how many before it are of the same contract."""
    order = np.argsort(row, kind="stable")
    ordered = row[order]
    positions = np.arange(len(row))
    begins = np.ones(len(row), dtype=np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    first = np.maximum.accumulate(np.where(begins, positions, 0))
    found = np.empty(len(row), dtype=np.int64)
    found[order] = positions - first
    return found
