"""What a partition publishes at a flush boundary: owed z-scores, bars, gaps, audit events."""

from __future__ import annotations

import numpy as np

from schemas import topics
from stream_app.core.columns.flushing import emit_owed, settle_bars
from stream_app.core.columns.hot import Longs
from stream_app.core.columns.judging import FeedColumns
from stream_app.core.monitoring.stream_monitor import StreamMonitor
from stream_app.core.output.collector import OutputCollector
from stream_app.core.output.emission import Emitter
from stream_app.core.output.outputs import EncodedRecords
from stream_app.core.state.contract_store import ContractEntry, ContractStore, Shard


class Boundaries:
    """Flushes the contracts of one partition, each at a boundary once."""

    def __init__(
        self,
        store: ContractStore,
        collector: OutputCollector,
        emitter: Emitter,
        monitor: StreamMonitor,
        columns: FeedColumns,
        place: bytes,
        stale_us: int,
    ) -> None:
        """`place`: the raw log, as `place_of` gives it. `stale_us`: how long a rate holds."""
        self._store = store
        self._collector = collector
        self._emitter = emitter
        self._monitor = monitor
        self._columns = columns
        self._stale_us = stale_us
        self._place = place

    def flush(self, boundary: int, now_us: int) -> None:
        """Publish what is owed at a boundary (µs of received_at)."""
        for shard in self._store.all_shards:
            if boundary <= shard.block.flushed_at:
                continue
            shard.block.flushed_at = boundary
            # Stored with each block: of records that are received in another order than they were
            # sent, none must lead to a boundary again after a restart.
            shard.dirty = shard.dirty or bool(shard.entries)
            self._flush_rows(shard, boundary, now_us)
            for entry in shard.entries:
                if not entry.resident:
                    self._flush_entry(entry, boundary, now_us)
            self._collector.publish_due(shard, boundary)

    def _flush_rows(self, shard: Shard, boundary: int, now_us: int) -> None:
        """Flush the contracts that are in their rows, or take them out to be flushed alone."""
        columns, collector = self._columns, self._collector
        rows = np.array([e.row for e in shard.entries if e.resident], dtype=np.int64)
        if not len(rows):
            return
        is_ahead = columns.hour[rows] > columns.event_time[rows]
        if is_ahead.any():
            # They were to be judged by the next hour, and the update of it was none of theirs.
            self._take_out(rows[is_ahead])
            rows = rows[~is_ahead]
        emitted = emit_owed(columns, rows, self._place, now_us)
        if emitted:
            keys = [columns.keys[row] for row, _ in emitted]
            records = [record for _, record in emitted]
            collector.outputs.append(EncodedRecords(topics.ZSCORES, keys, records))
            collector.counts["emitted"] += len(keys)
        self._take_out(settle_bars(columns, rows, boundary, self._stale_us))

    def _take_out(self, rows: Longs) -> None:
        for row in rows.tolist():
            entry = self._columns.entries[row]
            assert entry is not None, "a row in use"
            self._columns.take_out(entry)

    def _flush_entry(self, entry: ContractEntry, boundary: int, now_us: int) -> None:
        emitter = self._emitter
        emitter.flush(entry, now_us)
        emitter.settle_bars(entry)
        emitter.close_silent_bars(entry, boundary)
        if boundary - entry.contract.stream.received_at >= self._stale_us:
            self._monitor.silence(entry, boundary)
