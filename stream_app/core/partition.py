"""One partition of one feed's raw topic: applies raw records in order and collects what follows.

A pure function of the records, their offsets and the stored state: no I/O, no clock (`now_us` only
stamps `computed_at` and `created_at`). Everything that a contract needs lives in its partition.
Here each item of a record is read and handed to what its meaning calls for: rates.py,
reference_data.py, updates/admission.py for symbols that are not listed, monitoring/ for snapshots
and feed events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from schemas import topics
from schemas.audit_kinds import AuditKind
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, FEED_EVENT, TICK, UNREADABLE
from schemas.feeds import spec
from schemas.records import HourlyBar, RawBatch, RawItem
from schemas.serde.codec import wire_header
from schemas.serde.columns import place_of
from schemas.serde.raw_frames import RawFrame
from schemas.symbols import symbol_fault
from schemas.times import US_PER_S
from stream_app.core.boundaries import Boundaries
from stream_app.core.columns.judging import Encoders, FeedColumns
from stream_app.core.columns.storing import pack_shard
from stream_app.core.columns.updates import Limits
from stream_app.core.history import HistoryPages
from stream_app.core.monitoring.stream_monitor import StreamMonitor
from stream_app.core.output.collector import OutputCollector
from stream_app.core.output.emission import Emitter
from stream_app.core.output.outputs import EncodedRecords, Output, Outputs
from stream_app.core.rates import RateUpdates
from stream_app.core.reference_data import ReferenceData
from stream_app.core.savepoint import ItemSavepoint, Parts
from stream_app.core.scoring.zones import flush_boundary
from stream_app.core.state.clock_skew import SKEW_US
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.contract_store import ContractEntry, ContractStore
from stream_app.core.state.item_context import ItemContext
from stream_app.core.updates.admission import Admission
from stream_app.core.updates.plausibility import MAX_AHEAD_US
from stream_app.core.updates.reading import ItemReader
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    Normaliser,
    RateUpdate,
    ReadItem,
    SettlementUpdate,
    Update,
)


class RunBounds(NamedTuple):
    """Which records of the stream may be stepped by columns."""

    after_offset: int
    """Those after this offset, which no block has applied …"""
    before_us: float
    """… that were received before this time (µs) …"""
    items: int
    """… as long as they have no more items than this together."""


class FeedPartition:
    """State and behaviour of one (feed, partition)."""

    def __init__(
        self,
        feed: str,
        partition: int,
        normalise: Normaliser,
        blocks: Iterable[bytes] = (),
        stored_baseline: Callable[[str], bytes | None] = lambda _contract: None,
        max_ahead_us: int = MAX_AHEAD_US,
        columns: FeedColumns | None = None,
        flush_phase_us: int = 0,
    ) -> None:
        """`blocks`: the stored state in the order of its shards. `stored_baseline` is asked for
        each contract id. `max_ahead_us`: how far ahead of its receipt an event may be. `columns`:
        those that all partitions of the feed share in this process; by default its own.
        `flush_phase_us`: how far its flush boundaries lie after full multiples of FLUSH_US.
        """
        self.feed = feed
        self.partition = partition
        self.topic = topics.raw_topic(feed)
        self.store = ContractStore(feed, blocks, stored_baseline)
        self.collector = OutputCollector(feed, self.topic, partition, self.store)
        self.counts = self.collector.counts
        known = spec(feed)
        self.normalise = normalise
        # Whoever allows times further ahead than by default expects clocks that run on their own.
        skew_us = SKEW_US if max_ahead_us <= MAX_AHEAD_US else max_ahead_us
        self._stale_us = int(known.stale_s * US_PER_S)
        self._monitor = StreamMonitor(self.collector, self.store, known, skew_us, flush_phase_us)
        self._reader = ItemReader(normalise, self.collector, max_ahead_us, known.max_settled_rate)
        self._admission = Admission(self.collector, self.store, known)
        self._emitter = Emitter(self.collector, self._stale_us)
        self._reference_data = ReferenceData(self.collector, self.store, self._monitor)
        self._rates = RateUpdates(
            known, self.collector, self._monitor, self._reference_data, self._emitter, skew_us
        )
        self.columns = columns or new_columns(feed)
        self.limits = Limits(
            int(known.missed_after_s * US_PER_S),
            min(skew_us, max_ahead_us),
            known.derive_settlements,
            self._stale_us,
        )
        self.steps_by_columns = not (known.timeless or known.settling_s)
        """False where each update has to be looked at by itself: rates.py knows why."""
        self.place = place_of(self.topic, partition)
        self._history = HistoryPages(
            normalise,
            self.collector,
            self.store,
            self.columns,
            self.place,
            known.max_settled_rate,
        )
        self._flush_phase_us = flush_phase_us
        self._boundaries = Boundaries(
            self.store,
            self.collector,
            self._emitter,
            self._monitor,
            self.columns,
            self.place,
            self._stale_us,
        )
        self._parts = Parts(self.store, self.collector, self._emitter, self._monitor, self._rates)
        self.accepted: list[Output | EncodedRecords] = []
        """The rates to be published."""

    @property
    def contracts(self) -> Iterator[ContractState]:
        """All contracts, in the order in which they were first listed."""
        self.columns.sync(list(self.store.entries.values()))
        return self.store.contracts()

    @property
    def contradicted_at(self) -> int:
        """Receipt (µs) of the newest update that the exchange's list contradicts; 0: none."""
        return self._rates.contradicted_at

    def boundary_of(self, received_at: int) -> int:
        """Return the flush boundary (µs) at or before a time of receipt."""
        return flush_boundary(received_at, self._flush_phase_us)

    def apply(self, batch: RawBatch, offset: int, now_us: int) -> None:
        """Apply one raw record, item by item. What it leads to is for `take_outputs`."""
        self.apply_frame(RawFrame.of(batch), offset, now_us)

    def apply_frame(self, frame: RawFrame, offset: int, now_us: int) -> None:
        """Apply one raw record, item by item."""
        boundary = self.boundary_of(frame.received_at)
        self.flush(boundary, now_us)
        at = ItemContext(self.topic, self.partition, offset, frame, boundary, now_us)
        if at.is_stream and len(frame) and frame.symbols[0] is not None:
            self._monitor.stream_goes_on(frame.times[0], offset)
        if self.store.unlisted.waiting.by_symbol:
            self._admission.expire(at)
        self._apply_items(frame, range(len(frame)), at, is_new=offset > self.store.applied_offset)

    def apply_some(self, frame: RawFrame, offset: int, indexes: Sequence[int], now_us: int) -> None:
        """Apply those items of a new record of the stream that were not stepped by columns.

        Its boundary has been flushed.
        """
        boundary = self.boundary_of(frame.received_at)
        at = ItemContext(self.topic, self.partition, offset, frame, boundary, now_us)
        self._apply_items(frame, indexes, at, is_new=True)

    def _apply_items(
        self, frame: RawFrame, indexes: Sequence[int], at: ItemContext, *, is_new: bool
    ) -> None:
        collector = self.collector
        letters = len(collector.dead_letters)

        def one_by_one(indexes: Sequence[int]) -> None:
            items = [frame.item(index) for index in indexes]
            read = self.normalise.frame(frame.purpose, frame.channel, items)
            for position, (index, item) in enumerate(zip(indexes, items, strict=True)):
                at.item, at.received_at = index, item["received_at"]
                self._apply_guarded(item, at, read[position] if read else None, is_new=is_new)

        if not self._history.apply(frame, at, one_by_one):
            one_by_one(indexes)
        self._monitor.end_of_record(at, is_new=is_new)
        if frame.channel != TICK:
            collector.count_letters(at, len(collector.dead_letters) - letters, len(frame))

    def _apply_guarded(
        self, item: RawItem, at: ItemContext, read: ReadItem | None, *, is_new: bool
    ) -> None:
        """Apply one item, as a whole. If that fails by a bug, it is a dead letter and nothing else.

        The other items of the record are applied all the same.
        """
        symbol = item["symbol"]
        accepted, published = len(self.accepted), len(self.collector.outputs)
        entry = None if symbol is None else self.store.entries.get(symbol)
        if entry is not None:
            self.columns.take_out(entry)
        savepoint = ItemSavepoint(self._parts, entry)
        try:
            if symbol is None:
                self._apply_nameless(item, at, is_new=is_new)
            else:
                self._apply_item(item, symbol, at, read)
            self._encode(self.accepted, accepted)
            self._encode(self.collector.outputs, published)
        except Exception as error:  # noqa: BLE001 - the item is kept, with what went wrong
            savepoint.restore()
            del self.accepted[accepted:]
            self.counts["failed"] += 1
            self.collector.dead_letter(item, at, repr(error), "core")
        else:
            savepoint.keep()

    def _encode(self, outputs: list[Output | EncodedRecords], begin: int) -> None:
        """Encode what an item has led to while it can be undone: a schema may not hold it."""
        encode = self.columns.encoders.records
        if not encode:
            return
        for position in range(begin, len(outputs)):
            output = outputs[position]
            if isinstance(output, Output) and output.value is None:
                value = encode[output.topic.name](output.record)
                outputs[position] = output._replace(value=value)

    def counts_letters(self, received_at: int) -> bool:
        """Tell whether the items of a record are to be counted, as dead letters came lately."""
        return self.collector.concerns_letters(received_at)

    def run_bounds(self) -> RunBounds:
        """Return which records of the stream are of none but contracts' own concern now.

        That is as long as no contract awaits the stream, nothing that waits is to be dropped, and
        no block is near its bound of audit entries.
        """
        room = min(shard.audits.room for shard in self.store.all_shards)
        return RunBounds(
            self.store.applied_offset,
            self._admission.drops_at(),
            0 if self._monitor.awaits_streams else room,
        )

    def flush(self, boundary: int, now_us: int) -> None:
        """Publish what is owed at a flush boundary (µs of received_at), once for each boundary."""
        self._boundaries.flush(boundary, now_us)

    def take_dirty(self) -> tuple[list[tuple[int, bytes]], list[tuple[str, bytes]]]:
        """Return what has changed since the last call (`ContractStore.take_dirty`)."""
        return self.store.take_dirty(partial(pack_shard, self.columns))

    def release(self) -> None:
        """Give the rows of all contracts back: the partition goes to another worker."""
        self.columns.release(self.store.entries.values())

    def take_outputs(self) -> Outputs:
        """Return and forget what is to be published."""
        collector = self.collector
        taken = Outputs(self.accepted, collector.outputs, collector.dead_letters)
        self.accepted, collector.outputs, collector.dead_letters = [], [], []
        return taken

    def take_closed_bars(self) -> list[HourlyBar]:
        """Return and forget the bars that were closed, for the table of bars."""
        return self._emitter.take_closed_bars()

    def _apply_item(
        self, item: RawItem, symbol: str, at: ItemContext, read: ReadItem | None
    ) -> None:
        entry = self.store.entries.get(symbol)
        if entry is None:
            self._apply_unlisted(item, symbol, at, read)
            return
        if at.applied_by <= entry.shard.block.applied_offset:
            if at.place <= entry.contract.listed_by:
                self._apply_unlisted(item, symbol, at, read)
            else:
                self.counts["redelivered"] += 1
            return
        if at.channel in (BACKFILL_BEGIN, BACKFILL_END):
            entry.contract.backfilling = at.channel == BACKFILL_BEGIN
            entry.shard.dirty = True
            entry.changed()
            return
        if entry.corrections:
            self._reference_data.publish_corrections(entry, at)
        for update in self._reader.read(item, symbol, at, read):
            self._apply_update(entry, update, at)

    def _apply_update(self, entry: ContractEntry, update: Update, at: ItemContext) -> None:
        if isinstance(update, RateUpdate):
            if at.purpose == "reconcile":
                self._monitor.reconcile(entry, update, at)
            else:
                self._rates.apply(entry, update, at, self.accepted)
        elif isinstance(update, SettlementUpdate):
            self._reference_data.apply_settlement(entry, update, at)
        elif isinstance(update, InstrumentUpdate):
            self._reference_data.apply_instrument(entry, update, at)
            if update.lists:
                self._monitor.listed(entry, at)
        elif isinstance(update, NoRate):
            kind = AuditKind.NO_RATE
            self.collector.note(update.symbol, kind, at.received_at, at, update.reason)
            if update.halted and at.purpose != "reconcile":
                self._rates.halt(entry, at)

    def _apply_unlisted(
        self, item: RawItem, symbol: str, at: ItemContext, read: ReadItem | None
    ) -> None:
        """Apply an item of a symbol that is not listed: it lists the contract itself, or it waits.

        Also called for an item that came before its contract was listed and is delivered again: the
        state of unlisted symbols then tells whether it was applied.
        """
        fault = symbol_fault(symbol)
        if fault is not None:
            self._admission.refuse(item, at, fault)
            return
        if self._admission.has_applied(at):
            self.counts["redelivered"] += 1
            return
        if at.channel in (BACKFILL_BEGIN, BACKFILL_END):
            self._admission.keep(item, at)
            return
        for update in self._reader.read(item, symbol, at, read):
            if isinstance(update, NoRate):
                kind = AuditKind.NO_RATE
                self.collector.note(symbol, kind, at.received_at, at, update.reason)
            elif isinstance(update, InstrumentUpdate) and update.lists:
                self._list(update, at)
            elif at.purpose == "reconcile":
                if isinstance(update, RateUpdate):
                    self._monitor.reconcile(None, update, at)
            else:
                # The whole item is read again when its contract is listed.
                self._admission.keep(item, at)
                return

    def _list(self, facts: InstrumentUpdate, at: ItemContext) -> None:
        """Create a contract that the exchange lists, and apply what has waited for it."""
        entry, waited = self._admission.admit(facts.symbol, at)
        if entry is None:
            return
        self._reference_data.apply_instrument(entry, facts, at)
        for waiting in waited:
            position = at.of_waiting(waiting)
            item: RawItem = {
                "symbol": waiting.symbol,
                "payload": waiting.payload,
                "received_at": waiting.received_at,
            }
            self._apply_guarded(item, position, None, is_new=True)
        self._monitor.listed(entry, at)

    def _apply_nameless(self, item: RawItem, at: ItemContext, *, is_new: bool) -> None:
        """Apply an item without a symbol. `is_new`: no stored block has applied its record yet."""
        channel = at.channel
        if channel == UNREADABLE:
            self.counts[AuditKind.DEAD_LETTER] += 1
            self.collector.dead_letter(item, at, "not a message of this exchange", "slice")
        elif channel == TICK:
            # It only tells the time, which has led to the flush already.
            self.counts["tick"] += 1
        elif channel != FEED_EVENT:
            self.counts["control"] += 1
        elif is_new:
            self._monitor.feed_event(item, at)
        else:
            self.counts["redelivered"] += 1


def new_columns(feed: str, encoders: Encoders | None = None) -> FeedColumns:
    """Return empty columns for the contracts of a feed.

    Without `encoders` what they publish names schema 0, which no registry knows.
    """
    nameless = wire_header(0)
    return FeedColumns(
        feed,
        spec(feed).max_settled_rate,
        encoders or Encoders(nameless, nameless, nameless),
    )
