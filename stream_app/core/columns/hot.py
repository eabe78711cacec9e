"""The part of contracts' state that each update changes, in columns: one row for each contract.

A contract's hot state is either in its ContractState or in its row here; `ContractEntry.resident`
says where. `put_in` moves it to the row, `take_out` moves it back. Rows are shared by all
partitions of a feed that this process has, so that a frame of the exchange is one pass over arrays.

What is missing (None) is NaN in a column of numbers, 0 in one of times, −1 as the hour of a bar.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from stream_app.core.state.bars import MAX_HELD, Held, OpenBar
from stream_app.core.state.contract_store import ContractEntry
from stream_app.core.state.hot_rows import HELD_FIELDS, held_update

_FIRST_ROWS = 256
_FIRST_SLOTS = 16
NAN = float("nan")

HELD_TIME, HELD_RATE, HELD_Z, HELD_MARK, HELD_HOURS, HELD_REST = range(6)
"""Positions in `HotColumns.held`; HELD_REST is 1.0 for an update that REST brought."""

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class HotColumns:
    """The columns. Times are µs; the names are those of the fields that they stand for."""

    def __init__(self) -> None:
        self.size = 0
        """Rows that are or were in use; others are spare."""
        self.free: list[int] = []
        self.entries: list[ContractEntry | None] = []
        self.resident = np.zeros(0, np.bool_)

        self.event_time = np.zeros(0, np.int64)
        self.received_at = np.zeros(0, np.int64)
        self.next_funding_time = np.zeros(0, np.int64)
        self.raw_offset = np.zeros(0, np.int64)
        self.raw_item = np.zeros(0, np.int64)
        self.updates = np.zeros(0, np.int64)
        self.emitted_updates = np.zeros(0, np.int64)
        self.rate = np.zeros(0)
        self.mark_price = np.zeros(0)
        self.index_price = np.zeros(0)
        self.emitted_rate = np.zeros(0)
        self.emitted_z = np.zeros(0)
        self.judged_z = np.zeros(0)

        self.stream_event_time = np.zeros(0, np.int64)
        self.stream_received_at = np.zeros(0, np.int64)
        self.stream_raw_offset = np.zeros(0, np.int64)
        self.stream_raw_item = np.zeros(0, np.int64)
        self.stream_lag_us = np.zeros(0, np.int64)

        self.counted_from = np.zeros(0, np.int64)
        self.closed_to = np.zeros(0, np.int64)
        self.held_count = np.zeros(0, np.int64)
        self.held = np.zeros((0, _FIRST_SLOTS, HELD_FIELDS))
        """The updates whose holding time is not final, as HELD_TIME and the following."""
        self.bar_hour = np.zeros(0, np.int64)
        self.bar_covered_us = np.zeros(0, np.int64)
        self.bar_rest_us = np.zeros(0, np.int64)
        self.bar_updates = np.zeros(0, np.int64)
        self.bar_open = np.zeros(0)
        self.bar_high = np.zeros(0)
        self.bar_low = np.zeros(0)
        self.bar_close = np.zeros(0)
        self.bar_mean = np.zeros(0)
        self.bar_m2 = np.zeros(0)
        self.bar_z_min = np.zeros(0)
        self.bar_z_max = np.zeros(0)
        self.bar_z_close = np.zeros(0)
        self.bar_mark_close = np.zeros(0)
        self.bar_interval_hours = np.zeros(0)

    def add(self, entry: ContractEntry) -> int:
        """Give a contract a row, and return it."""
        if self.free:
            row = self.free.pop()
        else:
            row = self.size
            self.size += 1
            if row >= len(self.resident):
                self._grow(max(_FIRST_ROWS, 2 * len(self.resident)))
        self.entries[row] = entry
        entry.row = row
        return row

    def release(self, entries: Iterable[ContractEntry]) -> None:
        """Take the rows of contracts back, whose partition goes to another worker."""
        for entry in entries:
            if entry.row >= 0:
                self.resident[entry.row] = False
                self.entries[entry.row] = None
                self.free.append(entry.row)
                entry.row, entry.resident = -1, False

    def _grow(self, rows: int) -> None:
        added = rows - len(self.resident)
        for name, column in vars(self).items():
            if isinstance(column, np.ndarray):
                spare = np.zeros((added, *column.shape[1:]), column.dtype)
                setattr(self, name, np.concatenate([column, spare]))
        self.entries += [None] * added

    def _widen(self, slots: int) -> None:
        """Make room for so many held updates of each contract."""
        while self.held.shape[1] < slots:
            self.held = np.concatenate([self.held, np.zeros_like(self.held)], axis=1)

    def room_for_held(self, rows: Longs) -> None:
        """Make room for one more held update of each of some rows, MAX_HELD at most."""
        if len(rows):
            self._widen(min(MAX_HELD, int(self.held_count[rows].max()) + 1))

    def put_in(self, entry: ContractEntry) -> None:
        """Move a contract's hot state into its row, which it is given if it has none."""
        row = entry.row if entry.row >= 0 else self.add(entry)
        contract = entry.contract
        self.event_time[row] = contract.event_time
        self.received_at[row] = contract.received_at
        self.next_funding_time[row] = contract.next_funding_time or 0
        self.raw_offset[row] = contract.raw_offset
        self.raw_item[row] = contract.raw_item
        self.updates[row] = contract.updates
        self.emitted_updates[row] = contract.emitted_updates
        self.rate[row] = contract.rate
        self.mark_price[row] = _or_nan(contract.mark_price)
        self.index_price[row] = _or_nan(contract.index_price)
        self.emitted_rate[row] = contract.emitted_rate
        self.emitted_z[row] = _or_nan(contract.emitted_z)
        self.judged_z[row] = _or_nan(entry.judged_z)
        stream = contract.stream
        self.stream_event_time[row] = stream.event_time
        self.stream_received_at[row] = stream.received_at
        self.stream_raw_offset[row] = stream.raw_offset
        self.stream_raw_item[row] = stream.raw_item
        self.stream_lag_us[row] = stream.lag_us
        self._put_bars(entry, row)
        self.resident[row] = entry.resident = True
        # Not stored twice.
        contract.bars.held, contract.bars.bar = [], None

    def _put_bars(self, entry: ContractEntry, row: int) -> None:
        bars = entry.contract.bars
        self.counted_from[row] = bars.counted_from
        self.closed_to[row] = bars.closed_to
        held = bars.held
        self.held_count[row] = len(held)
        if held:
            self._widen(len(held))
            self.held[row, : len(held)] = [
                (
                    h.event_time,
                    h.rate,
                    _or_nan(h.z),
                    _or_nan(h.mark_price),
                    h.interval_hours,
                    h.transport == "rest",
                )
                for h in held
            ]
        bar = bars.bar
        if bar is None:
            self.bar_hour[row] = -1
            return
        self.bar_hour[row] = bar.hour
        self.bar_covered_us[row] = bar.covered_us
        self.bar_rest_us[row] = bar.rest_us
        self.bar_updates[row] = bar.updates
        self.bar_open[row] = bar.open
        self.bar_high[row] = bar.high
        self.bar_low[row] = bar.low
        self.bar_close[row] = bar.close
        self.bar_mean[row] = bar.mean
        self.bar_m2[row] = bar.m2
        self.bar_z_min[row] = _or_nan(bar.z_min)
        self.bar_z_max[row] = _or_nan(bar.z_max)
        self.bar_z_close[row] = _or_nan(bar.z_close)
        self.bar_mark_close[row] = _or_nan(bar.mark_close)
        self.bar_interval_hours[row] = bar.interval_hours

    def take_out(self, entry: ContractEntry) -> None:
        """Move a contract's hot state back into its ContractState, if it is in its row."""
        if entry.resident:
            self.sync((entry,))
            self.resident[entry.row] = entry.resident = False
            entry.cold = None

    def sync(self, entries: Sequence[ContractEntry]) -> None:
        """Copy the hot state of contracts that are in their rows into their ContractStates."""
        for entry in entries:
            if entry.resident:
                self._copy(entry, entry.row)

    def sync_current(self, entry: ContractEntry) -> None:
        """Copy the current rate of a contract, and what stands beside it, into its ContractState.

        Nothing is copied of its bars; this is for readers.
        """
        if entry.resident:
            self._copy_current(entry, entry.row)

    def _copy(self, entry: ContractEntry, row: int) -> None:
        self._copy_current(entry, row)
        contract = entry.contract
        stream = contract.stream
        stream.event_time = self.stream_event_time.item(row)
        stream.received_at = self.stream_received_at.item(row)
        stream.raw_offset = self.stream_raw_offset.item(row)
        stream.raw_item = self.stream_raw_item.item(row)
        stream.lag_us = self.stream_lag_us.item(row)
        bars = contract.bars
        bars.counted_from = self.counted_from.item(row)
        bars.held = self.held_of(row)
        bars.bar = self._bar_of(row)

    def _copy_current(self, entry: ContractEntry, row: int) -> None:
        contract = entry.contract
        contract.event_time = self.event_time.item(row)
        contract.received_at = self.received_at.item(row)
        contract.next_funding_time = self.next_funding_time.item(row) or None
        contract.raw_offset = self.raw_offset.item(row)
        contract.raw_item = self.raw_item.item(row)
        contract.updates = self.updates.item(row)
        contract.emitted_updates = self.emitted_updates.item(row)
        contract.rate = self.rate.item(row)
        contract.mark_price = _or_none(self.mark_price.item(row))
        contract.index_price = _or_none(self.index_price.item(row))
        contract.emitted_rate = self.emitted_rate.item(row)
        contract.emitted_z = _or_none(self.emitted_z.item(row))
        entry.judged_z = _or_none(self.judged_z.item(row))

    def held_of(self, row: int) -> list[Held]:
        """Return the held updates of a row."""
        held = self.held[row, : self.held_count.item(row)].tolist()
        return [held_update(*fields) for fields in held]

    def _bar_of(self, row: int) -> OpenBar | None:
        hour = self.bar_hour.item(row)
        if hour < 0:
            return None
        return OpenBar(
            hour,
            self.bar_open.item(row),
            self.bar_high.item(row),
            self.bar_low.item(row),
            self.bar_close.item(row),
            self.bar_mean.item(row),
            self.bar_m2.item(row),
            self.bar_covered_us.item(row),
            self.bar_rest_us.item(row),
            self.bar_updates.item(row),
            _or_none(self.bar_z_min.item(row)),
            _or_none(self.bar_z_max.item(row)),
            _or_none(self.bar_z_close.item(row)),
            _or_none(self.bar_mark_close.item(row)),
            self.bar_interval_hours.item(row),
        )


def _or_nan(value: float | None) -> float:
    return NAN if value is None else value


def _or_none(value: float) -> float | None:
    return value if value == value else None  # noqa: PLR0124 - NaN is the value unlike itself
