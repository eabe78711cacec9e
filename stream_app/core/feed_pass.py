"""Applies a batch of raw records to all partitions of one feed that a process has.

Records of the stream are taken together, over partitions, as far as that changes nothing: up to a
flush boundary of their partition, and up to a record of another purpose. The plain updates in them
(columns/updates.py) are stepped by columns. All other items are applied one by one, in the order of
the log. Contracts do not depend on each other, and of one contract each update is applied before
the next. So each key's records are those that `FeedPartition.apply` makes record by record.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from schemas import topics
from schemas.audit_facts import AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.serde.columns import origin_of
from schemas.serde.raw_frames import RawFrame
from stream_app.core.columns.funding_times import funding_steps
from stream_app.core.columns.hot import Flags, Longs
from stream_app.core.columns.judging import FeedColumns, is_regular
from stream_app.core.columns.stepping import Decision, commit, decide
from stream_app.core.columns.updates import Updates, plain, plain_copies, ranks, turning
from stream_app.core.output.outputs import EncodedRecords
from stream_app.core.partition import FeedPartition, RunBounds
from stream_app.core.state.audit_counts import Noted
from stream_app.model import StreamColumns, StreamReader

log = logging.getLogger(__name__)

MIN_UPDATES = 6
"""Fewer than this are as quick to apply one by one: numpy costs the same for few and for many."""


class Placed(NamedTuple):
    """A raw record of a partition."""

    offset: int
    frame: RawFrame


class RunRecord(NamedTuple):
    """A raw record of a run, with its partition."""

    partition: FeedPartition
    offset: int
    frame: RawFrame


def apply_records(
    columns: FeedColumns, records: Mapping[FeedPartition, Sequence[Placed]], now_us: int
) -> None:
    """Apply raw records of one feed, each partition's in the order of its log.

    `columns` are those that the partitions share. What it leads to is for
    `FeedPartition.take_outputs`.
    """
    waiting = {partition: deque(placed) for partition, placed in records.items()}
    while any(waiting.values()):
        run: list[RunRecord] = []
        reader: StreamReader | None = None
        for partition, queue in waiting.items():
            reader = _take(partition, queue, run, reader, now_us)
        if run and reader is not None:
            _apply_run(columns, run, reader, now_us)


def _take(
    partition: FeedPartition,
    queue: deque[Placed],
    run: list[RunRecord],
    reader: StreamReader | None,
    now_us: int,
) -> StreamReader | None:
    """Move the records that a partition can add to a run; or apply the one that it cannot.

    Returns what reads the run.
    """
    if not queue:
        return reader
    offset, frame = queue[0]
    bounds = partition.run_bounds() if partition.steps_by_columns and frame.is_stream else None
    if bounds is None or _reader_of(partition, frame, offset, bounds) is None:
        queue.popleft()
        partition.apply_frame(frame, offset, now_us)
        return reader
    boundary = partition.boundary_of(frame.received_at)
    partition.flush(boundary, now_us)
    items = 0
    while queue:
        offset, frame = queue[0]
        items += len(frame.payloads)
        its_reader = _reader_of(partition, frame, offset, bounds)
        if (
            its_reader is None
            or (reader is not None and its_reader is not reader)
            or partition.boundary_of(frame.received_at) > boundary
            or items > bounds.items
        ):
            break
        reader = its_reader
        run.append(RunRecord(partition, offset, frame))
        queue.popleft()
    return reader


def _reader_of(
    partition: FeedPartition, frame: RawFrame, offset: int, bounds: RunBounds
) -> StreamReader | None:
    """Return what reads a record's items into columns; None: they are applied one by one."""
    symbols = frame.symbols
    if (
        offset <= bounds.after_offset
        or frame.received_at >= bounds.before_us
        or not 0 < len(symbols) <= bounds.items
        or not frame.is_stream
        or None in symbols
    ):
        return None
    return partition.normalise.column_reader(frame.channel)


def _apply_run(
    columns: FeedColumns, run: Sequence[RunRecord], reader: StreamReader, now_us: int
) -> None:
    """Step the plain updates of a run by columns, then apply all its other items one by one."""
    starts = np.cumsum([0, *(len(record.frame.payloads) for record in run)])
    done = np.zeros(starts[-1], dtype=np.bool_)
    if len(done) >= MIN_UPDATES:
        try:
            _step_run(_Steps(columns, run, starts, done, now_us), reader)
        except Exception:
            # A bug. What is not committed is applied one by one, and an item that is to blame
            # becomes a dead letter there.
            counts = run[0].partition.counts
            counts["column_failures"] += 1
            if counts["column_failures"] == 1:
                log.exception("%s: updates could not be stepped by columns", columns.feed)
    _apply_left(run, starts, np.nonzero(~done)[0], now_us)


def _apply_left(run: Sequence[RunRecord], starts: Longs, left: Longs, now_us: int) -> None:
    """Apply the items of a run that were not stepped by columns, in the order of the log.

    `left`: their positions, where record k's items begin at `starts[k]`.
    """
    oldest = min(record.frame.received_at for record in run)
    if not len(left) and not any(
        partition.counts_letters(oldest) for partition in {record.partition for record in run}
    ):
        return
    firsts = np.searchsorted(left, starts).tolist()
    for number, (partition, offset, frame) in enumerate(run):
        indexes = (left[firsts[number] : firsts[number + 1]] - starts[number]).tolist()
        if indexes or partition.counts_letters(frame.received_at):
            partition.apply_some(frame, offset, indexes, now_us)


def _step_run(steps: _Steps, reader: StreamReader) -> None:
    read, frames = _read(steps.run, reader)
    if read is not None:
        steps.step(_updates(steps.columns, steps.run, read, frames))


def _read(run: Sequence[RunRecord], reader: StreamReader) -> tuple[StreamColumns | None, list[int]]:
    """Read the records of a run that can be read, and return which those are."""
    numbers = list(range(len(run)))
    payloads = [payload for record in run for payload in record.frame.payloads]
    read = reader.read(payloads)
    if read is not None or len(run) == 1:
        return read, numbers
    # One odd payload must not cost the whole run.
    parts = [(number, reader.read(run[number].frame.payloads)) for number in numbers]
    good = [(number, part) for number, part in parts if part is not None]
    if not good:
        return None, []
    found = StreamColumns(
        [symbol for _, part in good for symbol in part.symbols],
        *(np.concatenate(column) for column in zip(*(part[1:] for _, part in good), strict=True)),
    )
    return found, [number for number, _ in good]


def _updates(
    columns: FeedColumns, run: Sequence[RunRecord], read: StreamColumns, frames: Sequence[int]
) -> Updates:
    """Return what was read with the rows of its contracts and its place in the run.

    Contracts that can be stepped in their rows are put there.
    """
    rows = {
        number: _rows(columns, record.partition, record.frame) for number, record in enumerate(run)
    }
    row = np.array([each for number in frames for each in rows[number]], dtype=np.int64)
    named = [symbol.encode() for symbol in read.symbols]
    symbols = [symbol for number in frames for symbol in run[number].frame.symbols]
    # Of a contract with an item that cannot be stepped, because its record cannot be read or the
    # payload is another contract's, nothing may be stepped before that item is applied.
    held_back = {each for number in rows.keys() - set(frames) for each in rows[number]}
    if named != symbols:
        pairs = zip(row.tolist(), named, symbols, strict=True)
        held_back |= {each for each, its_name, symbol in pairs if its_name != symbol}
    if held_back:
        row[np.isin(row, list(held_back))] = -1
    sizes = np.array([len(run[number].frame.payloads) for number in frames])
    ends = np.cumsum(sizes)
    return Updates(
        row,
        read.event_times,
        read.rates,
        read.mark_prices,
        read.index_prices,
        read.next_funding_times,
        np.array([time for number in frames for time in run[number].frame.times], dtype=np.int64),
        np.repeat(np.array(frames, dtype=np.int64), sizes),
        np.arange(ends[-1]) - np.repeat(ends - sizes, sizes),
    )


def _rows(columns: FeedColumns, partition: FeedPartition, frame: RawFrame) -> list[int]:
    """Return the row of each item's contract; −1: it is in none, and cannot be put there."""
    entry_of = partition.store.by_name.get
    rows = []
    for symbol in frame.symbols:
        entry = entry_of(symbol)
        if entry is None:
            rows.append(-1)
            continue
        if not entry.resident and is_regular(entry):
            columns.put_in(entry)
        rows.append(entry.row if entry.resident else -1)
    return rows


class _Steps:
    """Steps the updates of a run in waves: the first of each contract, then the second."""

    def __init__(
        self,
        columns: FeedColumns,
        run: Sequence[RunRecord],
        starts: Longs,
        done: Flags,
        now_us: int,
    ) -> None:
        """`done`: of each item of the run whether it is applied, to be filled in; record k's items
        begin at `starts[k]`.
        """
        self.columns = columns
        self.run = run
        self._starts = starts
        self._done = done
        self._now_us = now_us
        self._offsets = np.array([record.offset for record in run], dtype=np.int64)
        self._origins = [origin_of(record.partition.place, record.offset) for record in run]
        self._limits = run[0].partition.limits

    def step(self, updates: Updates) -> None:
        """Apply what is plain. Of a contract, nothing is applied that comes after what is not."""
        rank = ranks(updates.row)
        is_open = updates.row >= 0
        for wave in range(int(rank.max(initial=0)) + 1):
            positions = np.nonzero(is_open & (rank == wave))[0]
            if not len(positions):
                break
            left = self._wave(updates.chosen(positions))
            if len(left):
                is_open &= ~np.isin(updates.row, left)

    def _wave(self, wave: Updates) -> Longs:
        """Step one update of each contract; return the rows of those that are left."""
        columns = self.columns
        turns = turning(columns, wave, self._limits)
        for position in np.nonzero(turns)[0].tolist():
            columns.turn_hour(wave.row.item(position), wave.event_time.item(position))
        steps = funding_steps(columns, wave, self._limits)
        follow = np.isin(wave.row, list(steps)) if steps else np.zeros(len(wave), dtype=np.bool_)
        is_plain = plain(columns, wave, self._limits, follow)
        is_copy = ~is_plain
        if is_copy.any():
            is_copy &= plain_copies(columns, wave, self._limits)
        left = wave.row[~(is_plain | is_copy)]
        if is_plain.any():
            chosen = wave.chosen(is_plain)
            columns.room_for_held(chosen.row)
            decision, odd = decide(
                columns, chosen, steps, self._origins, self._offsets, self._now_us
            )
            left = np.concatenate([left, chosen.row[odd]])
            if decision is not None:
                self._commit(decision)
        if is_copy.any():
            self._note_copies(wave.chosen(is_copy))
        return left

    def _commit(self, decision: Decision) -> None:
        """Write a decision, and hand its records to the partitions.

        All that might fail comes before the first write.
        """
        parts = list(self._parts(decision))
        places = self._starts[decision.updates.frame] + decision.updates.item
        commit(self.columns, decision)
        self._done[places] = True
        for partition, rates, zscores in parts:
            partition.accepted.append(rates)
            partition.counts["accepted"] += len(rates.values)
            if zscores.values:
                partition.collector.outputs.append(zscores)
                partition.counts["emitted"] += len(zscores.values)
            for shard in partition.store.shards:
                shard.dirty = True

    def _parts(
        self, decision: Decision
    ) -> Iterator[tuple[FeedPartition, EncodedRecords, EncodedRecords]]:
        """Return the records of each partition, whose updates stand in a row."""
        keys = [self.columns.keys[row] for row in decision.updates.row.tolist()]
        frames, emitted = decision.updates.frame.tolist(), decision.emitted
        emitted_keys = [keys[position] for position in emitted.tolist()]
        first = 0
        while first < len(frames):
            partition = self.run[frames[first]].partition
            end = first + 1
            while end < len(frames) and self.run[frames[end]].partition is partition:
                end += 1
            low, high = np.searchsorted(emitted, [first, end])
            yield (
                partition,
                EncodedRecords(topics.RATES, keys[first:end], decision.rates[first:end]),
                EncodedRecords(topics.ZSCORES, emitted_keys[low:high], decision.zscores[low:high]),
            )
            first = end

    def _note_copies(self, copies: Updates) -> None:
        """Count updates that were delivered again."""
        for row, frame_number, item, event_time, received_at, rate in zip(
            copies.row.tolist(),
            copies.frame.tolist(),
            copies.item.tolist(),
            copies.event_time.tolist(),
            copies.received_at.tolist(),
            copies.rate.tolist(),
            strict=True,
        ):
            partition, offset, _ = self.run[frame_number]
            entry = self.columns.entries[row]
            assert entry is not None, "a row in use"
            contract, kind, facts = (
                entry.contract.contract_id,
                AuditKind.DUPLICATE,
                AuditFacts(rate=rate),
            )
            place = (received_at, offset, item)
            book = entry.shard.audits
            book.begin()
            try:
                detail = f"rate {rate!r}"
                book.note(Noted(contract, kind, event_time, *place, detail, facts=facts))
                book.keep()
            except Exception:
                book.restore()
                raise
            partition.counts[kind] += 1
            self._done[self._starts[frame_number] + item] = entry.shard.dirty = True
