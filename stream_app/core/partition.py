"""One partition of one feed's raw topic: applies raw records in order and collects what follows.

A pure function of the records, their offsets and the stored state: no I/O, no clock (`now_us` only
stamps `computed_at` and `created_at`). Everything that a contract needs lives in its partition.
Here each item of a record is read and handed to what its meaning calls for: rates.py,
reference_data.py, updates/admission.py for symbols that are not listed, monitoring/ for snapshots
and feed events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from schemas import topics
from schemas.audit_kinds import AuditKind
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, FEED_EVENT, TICK, UNREADABLE
from schemas.errors import MalformedInputError
from schemas.feeds import spec
from schemas.records import HourlyBar, RawBatch, RawItem
from schemas.symbols import symbol_fault
from schemas.times import US_PER_S
from stream_app.core.monitoring.stream_monitor import StreamMonitor
from stream_app.core.output.collector import OutputCollector
from stream_app.core.output.emission import Emitter
from stream_app.core.output.outputs import Outputs, RateRow, RateRows
from stream_app.core.rates import RateUpdates
from stream_app.core.reference_data import ReferenceData
from stream_app.core.scoring.zones import flush_boundary
from stream_app.core.state.clock_skew import SKEW_US
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.contract_store import ContractEntry, ContractStore
from stream_app.core.state.item_context import ItemContext
from stream_app.core.updates.admission import Admission
from stream_app.core.updates.plausibility import MAX_AHEAD_US, check_plausible
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    Normaliser,
    RateUpdate,
    ReadItem,
    SettlementUpdate,
    Update,
)


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
    ) -> None:
        """`blocks`: the stored state in the order of its shards. `stored_baseline` is asked for
        each contract id. `max_ahead_us`: how far ahead of its receipt an event may be.
        """
        self.feed = feed
        self.partition = partition
        self.topic = topics.raw_topic(feed)
        self.store = ContractStore(feed, blocks, stored_baseline)
        self.collector = OutputCollector(feed, self.topic, partition, self.store)
        self.counts = self.collector.counts
        known = spec(feed)
        self._normalise = normalise
        self._max_ahead_us = max_ahead_us
        self._max_settled_rate = known.max_settled_rate
        # Whoever allows times further ahead than by default expects clocks that run on their own.
        skew_us = SKEW_US if max_ahead_us <= MAX_AHEAD_US else max_ahead_us
        self._stale_us = int(known.stale_s * US_PER_S)
        self._monitor = StreamMonitor(self.collector, self.store, known, skew_us)
        self._admission = Admission(self.collector, self.store, known)
        self._emitter = Emitter(self.collector, self._stale_us)
        self._reference_data = ReferenceData(self.collector, self.store, self._monitor)
        self._rates = RateUpdates(
            known, self.collector, self._monitor, self._reference_data, self._emitter, skew_us
        )
        self._accepted: list[RateRows] = []
        self._rows: list[RateRow] = []
        """Accepted updates of the record at hand."""

    @property
    def contracts(self) -> Iterator[ContractState]:
        """All contracts, in the order in which they were first listed."""
        return self.store.contracts()

    @property
    def contradicted_at(self) -> int:
        """Receipt (µs) of the newest update that the exchange's list contradicts; 0: none."""
        return self._rates.contradicted_at

    def apply(self, batch: RawBatch, offset: int, now_us: int) -> None:
        """Apply one raw record. What it leads to is for `take_outputs`."""
        boundary = flush_boundary(batch["received_at"])
        self.flush(boundary, now_us)
        at = ItemContext(self.topic, self.partition, offset, batch, boundary, now_us)
        is_new = offset > self.store.applied_offset
        collector = self.collector
        rows = self._rows = []
        items = batch["items"]
        if at.is_stream and items and items[0]["symbol"] is not None:
            self._monitor.stream_goes_on(items[0]["received_at"], offset)
        if self.store.unlisted.waiting.by_symbol:
            self._admission.expire(at)
        letters = len(collector.dead_letters)
        read = self._normalise.frame(batch["purpose"], batch["channel"], items)
        for index, item in enumerate(items):
            at.item, at.received_at = index, item["received_at"]
            self._apply_guarded(item, at, read[index] if read else None, is_new=is_new)
        if rows:
            self._accepted.append(RateRows(at, rows))
        self._monitor.end_of_record(at, is_new=is_new)
        if batch["channel"] != TICK:
            collector.count_letters(at, len(collector.dead_letters) - letters, len(items))

    def _apply_guarded(
        self, item: RawItem, at: ItemContext, read: ReadItem | None, *, is_new: bool
    ) -> None:
        """Apply one item. If that fails by a bug, it is a dead letter and publishes nothing else.

        The other items of the record are applied all the same.
        """
        collector, rows, bars = self.collector, self._rows, self._emitter.closed_bars
        published, accepted = len(collector.outputs), len(rows)
        closed, updated = len(bars), len(self._accepted)
        try:
            if item["symbol"] is None:
                self._apply_nameless(item, at, is_new=is_new)
            else:
                self._apply_item(item, item["symbol"], at, read)
        except Exception as error:  # noqa: BLE001 - the item is kept, with what went wrong
            del collector.outputs[published:], rows[accepted:]
            del bars[closed:], self._accepted[updated:]
            self._rows = rows
            self.counts["failed"] += 1
            collector.dead_letter(item, at, repr(error), "core")

    def flush(self, boundary: int, now_us: int) -> None:
        """Publish what is owed at a flush boundary (µs of received_at), once for each boundary."""
        emitter = self._emitter
        for shard in self.store.all_shards:
            if boundary <= shard.block.flushed_at:
                continue
            shard.block.flushed_at = boundary
            for entry in shard.entries:
                emitter.flush(entry, now_us)
                emitter.settle_bars(entry)
                emitter.close_silent_bars(entry, boundary)
                if boundary - entry.contract.stream.received_at >= self._stale_us:
                    self._monitor.silence(entry, boundary)
            self.collector.publish_due(shard, boundary)

    def take_outputs(self) -> Outputs:
        """Return and forget what is to be published."""
        collector = self.collector
        taken = Outputs(self._accepted, collector.outputs, collector.dead_letters)
        self._accepted, collector.outputs, collector.dead_letters = [], [], []
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
        for update in self._read(item, symbol, at, read):
            self._apply_update(entry, update, at)

    def _apply_update(self, entry: ContractEntry, update: Update, at: ItemContext) -> None:
        if isinstance(update, RateUpdate):
            if at.purpose == "reconcile":
                self._monitor.reconcile(entry, update, at)
            else:
                self._rates.apply(entry, update, at, self._rows)
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
        for update in self._read(item, symbol, at, read):
            if isinstance(update, NoRate):
                kind = AuditKind.NO_RATE
                self.collector.note(symbol, kind, at.received_at, at, update.reason)
            elif isinstance(update, InstrumentUpdate) and update.lists:
                self._list(update, at)
            elif isinstance(update, RateUpdate) and at.purpose == "reconcile":
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
        outer = self._rows
        for waiting in waited:
            position = at.of_waiting(waiting)
            item: RawItem = {
                "symbol": waiting.symbol,
                "payload": waiting.payload,
                "received_at": waiting.received_at,
            }
            self._rows = []
            self._apply_guarded(item, position, None, is_new=True)
            if self._rows:
                self._accepted.append(RateRows(position, self._rows))
        self._rows = outer
        self._monitor.listed(entry, at)

    def _read(
        self, item: RawItem, symbol: str, at: ItemContext, read: ReadItem | None
    ) -> Sequence[Update]:
        """Return the updates in an item that can be read and can be true.

        What of it cannot goes to the dead letters, with the whole item; the rest counts.
        """
        try:
            if read is None:
                read = self._normalise(
                    at.purpose, at.channel, symbol, item["payload"], at.received_at
                )
            elif isinstance(read, MalformedInputError):
                raise read
        except MalformedInputError as error:
            self._refuse(item, symbol, at, str(error))
            return ()
        try:
            for update in read:
                self._check(update, at.received_at)
        except MalformedInputError:
            return self._without_faults(read, item, symbol, at)
        return read

    def _check(self, update: Update, received_at: int) -> None:
        check_plausible(update, received_at, self._max_ahead_us, self._max_settled_rate)

    def _without_faults(
        self, read: Sequence[Update], item: RawItem, symbol: str, at: ItemContext
    ) -> Sequence[Update]:
        """Return the good ones of an item's updates; the item goes to the dead letters."""
        good, faults = [], []
        for update in read:
            try:
                self._check(update, at.received_at)
                good.append(update)
            except MalformedInputError as error:
                faults.append(str(error))
        self._refuse(item, symbol, at, "; ".join(faults))
        return good

    def _refuse(self, item: RawItem, symbol: str, at: ItemContext, why: str) -> None:
        """Send an item to the dead letters."""
        self.collector.note(symbol, AuditKind.DEAD_LETTER, at.received_at, at, why)
        self.collector.dead_letter(item, at, why, "normalise")

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
