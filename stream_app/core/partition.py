"""One partition of one feed's raw topic: applies raw batches, decides what is published.

A pure function of the batches, their offsets and the stored state: no I/O, no clock (`now_us` only
stamps `computed_at` and `created_at`). Everything that a contract needs lives in its partition.
Not responsible for: decoding payloads (normalise), what is noticed beside the numbers (watch.py),
Kafka and tables (worker.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from schemas import topics
from schemas.audit_facts import NO_FACTS, AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, FEED_EVENT, TICK, UNREADABLE
from schemas.errors import MalformedInputError
from schemas.feeds import spec
from schemas.rates import rate_8h
from schemas.records import HourlyBar, RawBatch, RawItem
from schemas.symbols import symbol_fault
from schemas.times import US_PER_HOUR, US_PER_S, minute_round
from stream_app.core.monitoring.reconciliation import remember_estimate
from stream_app.core.monitoring.stream_monitor import StreamMonitor
from stream_app.core.output.alarms import Alarms
from stream_app.core.output.collector import OutputCollector
from stream_app.core.output.emission import Emission, zscore_of
from stream_app.core.output.outputs import Output, Outputs, RateRows
from stream_app.core.output.records import RateRow, bar_row, settlement_row
from stream_app.core.scoring.statistics import z_of
from stream_app.core.scoring.zones import flush_boundary
from stream_app.core.state.bars import ClosedBar, Held
from stream_app.core.state.clock_skew import SKEW_US, standing_time
from stream_app.core.state.contract_state import DEFAULT_INTERVAL_HOURS, ContractState
from stream_app.core.state.contract_store import ContractEntry, ContractStore
from stream_app.core.state.item_context import Interval, ItemContext
from stream_app.core.state.pushes import is_copy
from stream_app.core.updates.admission import Admission
from stream_app.core.updates.current_rate import (
    interval_change,
    interval_of,
    make_current,
    unnamed_time,
)
from stream_app.core.updates.ordering import Verdict, judge
from stream_app.core.updates.plausibility import (
    MAX_AHEAD_US,
    beyond_cap,
    check_plausible,
    derived_settlement,
    is_settling,
)
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
        """`blocks` in the order of their shards; `stored_baseline` is asked per contract id."""
        self.feed = feed
        self.partition = partition
        self.topic = topics.raw_topic(feed)
        self.store = ContractStore(feed, blocks, stored_baseline)
        self.collector = OutputCollector(feed, self.topic, partition, self.store)
        self.counts = self.collector.counts
        self.rates: list[RateRows] = []
        self.closed_bars: list[HourlyBar] = []
        """Closed since they were last taken, for the table of bars."""
        self._rows: list[RateRow] = []
        """Accepted updates of the record at hand."""
        self._spec = known = spec(feed)
        self._stale_us = int(known.stale_s * US_PER_S)
        self._settling_us = int(known.settling_s * US_PER_S)
        self._max_ahead_us = max_ahead_us
        # Who allows times further ahead than that lets a clock run on its own: no skew to speak of.
        self._skew_us = SKEW_US if max_ahead_us <= MAX_AHEAD_US else max_ahead_us
        self._monitor = StreamMonitor(self.collector, self.store, known, self._skew_us)
        self._admission = Admission(self.collector, self.store, known)
        self._alarms = Alarms(self.collector)
        self._normalise = normalise

    @property
    def contracts(self) -> Iterator[ContractState]:
        """All contracts, in the order in which they were met."""
        return self.store.contracts()

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
        self._admission.expire(at)
        letters = len(collector.dead_letters)
        read = self._normalise.frame(batch["purpose"], batch["channel"], items)
        for index, item in enumerate(items):
            at.item, at.received_at = index, item["received_at"]
            self._apply_guarded(item, at, read[index] if read else None, is_new=is_new)
        if rows:
            self.rates.append(RateRows(at, rows))
        self._monitor.end_of_record(at, is_new=is_new)
        if batch["channel"] != TICK:
            collector.count_letters(at, len(collector.dead_letters) - letters, len(items))

    def _apply_guarded(
        self, item: RawItem, at: ItemContext, read: ReadItem | None, *, is_new: bool
    ) -> None:
        """Apply one item. A bug of ours that it meets must not stop the others."""
        collector, rows = self.collector, self._rows
        published, accepted = len(collector.outputs), len(rows)
        closed, updated = len(self.closed_bars), len(self.rates)
        try:
            if item["symbol"] is None:
                self._apply_nameless(item, at, is_new=is_new)
            else:
                self._apply_item(item, item["symbol"], at, read)
        except Exception as error:  # noqa: BLE001 - the item is kept, with what went wrong
            del collector.outputs[published:], rows[accepted:]
            del self.closed_bars[closed:], self.rates[updated:]
            self._rows = rows
            self.counts["failed"] += 1
            collector.dead_letter(item, at, repr(error), "core")

    def flush(self, boundary: int, now_us: int) -> None:
        """Emit what is owed at a flush boundary (µs of received_at), once for each boundary."""
        for shard in self.store.all_shards:
            if boundary <= shard.block.flushed_at:
                continue
            shard.block.flushed_at = boundary
            for entry in shard.cells:
                if entry.contract.owes:
                    self._emit(Emission.flush(entry), now_us)
                    shard.dirty = True
                self._settle_bars(entry)
                for bar in entry.contract.bars.close_silent(boundary, self._stale_us):
                    self._publish_bar(entry, bar)
                if boundary - entry.contract.stream.received_at >= self._stale_us:
                    self._monitor.silence(entry, boundary)
            self.collector.publish_due(shard, boundary)

    def take_outputs(self) -> Outputs:
        """Return and forget what is to be published."""
        collector = self.collector
        taken = Outputs(self.rates, collector.outputs, collector.dead_letters)
        self.rates, collector.outputs, collector.dead_letters = [], [], []
        return taken

    def take_closed_bars(self) -> list[HourlyBar]:
        """Return and forget the bars that were closed."""
        taken, self.closed_bars = self.closed_bars, []
        return taken

    def _apply_item(
        self, item: RawItem, symbol: str, at: ItemContext, read: ReadItem | None
    ) -> None:
        entry = self.store.cells.get(symbol)
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
        for update in self._read(item, symbol, at, read):
            self._apply_reading(entry, update, at)

    def _apply_reading(self, entry: ContractEntry, update: Update, at: ItemContext) -> None:
        if isinstance(update, RateUpdate):
            if at.purpose == "reconcile":
                self._monitor.reconcile(entry, update, at)
            else:
                self._apply_rate(entry, update, at)
        elif isinstance(update, SettlementUpdate):
            self._apply_settlement(entry, update, at)
        elif isinstance(update, InstrumentUpdate):
            self._apply_facts(entry, update, at)
            if update.lists:
                self._monitor.listed(entry, at)
        else:
            self._audit(update.symbol, AuditKind.NO_RATE, at.received_at, at, update.reason)

    def _apply_unlisted(
        self, item: RawItem, symbol: str, at: ItemContext, read: ReadItem | None
    ) -> None:
        """Apply an item of a symbol that is no contract: unless it is listed here, it waits.

        Or that was none when this item came first: then only what is kept of unlisted symbols may
        not have it.
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
                self._audit(symbol, AuditKind.NO_RATE, at.received_at, at, update.reason)
            elif isinstance(update, InstrumentUpdate) and update.lists:
                self._list(update, at)
            elif isinstance(update, RateUpdate) and at.purpose == "reconcile":
                self._monitor.reconcile(None, update, at)
            else:
                # All that it says is read again when it is listed.
                self._admission.keep(item, at)
                return

    def _list(self, facts: InstrumentUpdate, at: ItemContext) -> None:
        """Create a contract that the exchange lists, and apply what has waited for it."""
        entry, waited = self._admission.admit(facts.symbol, at)
        if entry is None:
            return
        self._apply_facts(entry, facts, at)
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
                self.rates.append(RateRows(position, self._rows))
        self._rows = outer
        self._monitor.listed(entry, at)

    def _read(
        self, item: RawItem, symbol: str, at: ItemContext, read: ReadItem | None
    ) -> Sequence[Update]:
        """Return what an item means; nothing if it goes to the dead letters."""
        try:
            if read is None:
                read = self._normalise(
                    at.purpose, at.channel, symbol, item["payload"], at.received_at
                )
            elif isinstance(read, MalformedInputError):
                raise read
            for update in read:
                check_plausible(update, at.received_at, self._max_ahead_us)
        except MalformedInputError as error:
            self._audit(symbol, AuditKind.DEAD_LETTER, at.received_at, at, str(error))
            self.collector.dead_letter(item, at, str(error), "normalise")
            return ()
        return read

    def _apply_nameless(self, item: RawItem, at: ItemContext, *, is_new: bool) -> None:
        """Apply an item that is about no contract. `is_new`: no stored block has its record yet."""
        channel = at.channel
        if channel == UNREADABLE:
            self.counts[AuditKind.DEAD_LETTER] += 1
            self.collector.dead_letter(item, at, "not a message of this exchange", "slice")
        elif channel == TICK:
            # It carries time alone, and that has led to the flush already.
            self.counts["tick"] += 1
        elif channel != FEED_EVENT:
            self.counts["control"] += 1
        elif is_new:
            self._monitor.feed_event(item, at)
        else:
            self.counts["redelivered"] += 1

    def _audit(
        self,
        symbol: str,
        kind: AuditKind,
        event_time: int,
        at: ItemContext,
        detail: str = "",
        facts: AuditFacts = NO_FACTS,
    ) -> None:
        self.collector.note(symbol, kind, event_time, at, detail, facts)

    def _audit_rate(
        self, kind: AuditKind, update: RateUpdate, event_time: int, at: ItemContext
    ) -> None:
        rate = update.rate
        self.collector.note(
            update.symbol, kind, event_time, at, f"rate {rate!r}", AuditFacts(rate=rate)
        )

    def _apply_facts(self, entry: ContractEntry, facts: InstrumentUpdate, at: ItemContext) -> None:
        entry.shard.dirty = True
        contract = entry.contract
        if facts.status is not None and facts.status != contract.status:
            change = f"{contract.status or 'unknown'} -> {facts.status}"
            states = AuditFacts(from_state=contract.status, to_state=facts.status)
            kind = AuditKind.STATUS_CHANGE
            self._audit(facts.symbol, kind, at.received_at, at, change, states)
            self._monitor.status_changed(entry, facts.status, at)
        for field in ("base", "quote", "multiplier", "status", "rate_cap", "rate_floor"):
            value = getattr(facts, field)
            if value is not None:
                setattr(contract, field, value)
        if facts.interval_hours is not None:
            contract.listed_interval_hours = facts.interval_hours
        entry.changed()
        self.counts["facts"] += 1

    def _apply_settlement(
        self, entry: ContractEntry, update: SettlementUpdate, at: ItemContext
    ) -> None:
        entry.shard.dirty = True
        funding_time = minute_round(update.funding_time_raw)
        before = entry.baseline.known(funding_time)
        new = entry.baseline.add(
            funding_time,
            update.rate,
            update.interval_hours,
            entry.contract.listed_interval_hours or DEFAULT_INTERVAL_HOURS,
            at.applied_by,
            update.source,
        )
        self.counts["settlement" if new else "settlement_known"] += 1
        if before is not None and before.rate != update.rate:
            change = f"{before.source} {before.rate!r}, {update.source} {update.rate!r}"
            rates = AuditFacts(rate=update.rate, other_rate=before.rate)
            kind = AuditKind.SETTLEMENT_DIFFERS
            self._audit(update.symbol, kind, funding_time, at, change, rates)
        if update.source != "derived" and (before is None or before.source == "derived"):
            self._monitor.settled(entry.contract, funding_time, update.rate, at)
        if new or (before is not None and entry.baseline.known(funding_time) != before):
            self.store.baseline_changed(entry)
        for settled in new:
            raw = update.funding_time_raw if settled.funding_time == funding_time else None
            row = settlement_row(entry.contract, settled, raw, at)
            self.collector.outputs.append(Output(topics.SETTLEMENTS, row["contract_id"], row))

    def _apply_rate(self, entry: ContractEntry, update: RateUpdate, at: ItemContext) -> None:
        contract = entry.contract
        event_time = update.event_time
        if event_time is None:
            event_time = unnamed_time(contract, at)
        if event_time > at.received_at + self._skew_us or contract.skewed:
            update, event_time = self._timed(contract, update, event_time, at)
        if at.is_stream and event_time > contract.stream.event_time:
            self._monitor.streamed(entry, event_time, at)
        if self._settling_us and is_settling(contract, update, event_time, self._settling_us):
            self._audit_rate(AuditKind.SETTLING, update, event_time, at)
            return
        verdict = self._judge(contract, update, event_time, at)
        if verdict == "duplicate":
            return
        entry.shard.dirty = True
        if settled := derived_settlement(contract, event_time, self._spec):
            self._apply_settlement(entry, settled, at)
        entry.refresh(event_time)
        interval = interval_of(entry, update)
        late, beyond = verdict == "late", beyond_cap(contract, update.rate)
        if beyond:
            self._audit_rate(AuditKind.OUT_OF_RANGE, update, event_time, at)
        self._rows.append(
            RateRow(contract, update, event_time, interval, at.item, at.received_at, late, beyond)
        )
        if late:
            contract.bars.late_updates += 1
        # What the exchange itself says it cannot charge is recorded, and not traded on.
        if not late and not beyond:
            self._hold(entry, update, event_time, interval, verdict, at)

    def _hold(
        self,
        entry: ContractEntry,
        update: RateUpdate,
        event_time: int,
        interval: Interval,
        verdict: Verdict,
        at: ItemContext,
    ) -> None:
        """Put an update into the bar; unless it is an older one, it becomes the current one."""
        contract = entry.contract
        z = z_of(rate_8h(update.rate, interval.hours), entry.stats)
        held = Held(event_time, update.rate, z, update.mark_price, at.transport, interval.hours)
        contract.bars.add(held)
        if at.transport == "rest":
            self._monitor.filled(contract, event_time)
        if contract.bars.full:
            self._settle_bars(entry)
        if verdict != "out_of_order":
            self._advance(entry, update, event_time, interval, z, at)

    def _timed(
        self, contract: ContractState, update: RateUpdate, event_time: int, at: ItemContext
    ) -> tuple[RateUpdate, int]:
        """Return an update and its time: its receipt, if the exchange's is not to be believed."""
        if update.event_time is None:
            return update, event_time
        received_at = at.received_at
        ahead_us = event_time - received_at
        stands_at = standing_time(contract.skewed, event_time, received_at, self._skew_us)
        if ahead_us > self._skew_us:
            # One fact about the feed: our clock, or its own.
            detail = f"{update.symbol}: {ahead_us / US_PER_S:.1f} s ahead of its receipt"
            facts = AuditFacts(shift_s=ahead_us / US_PER_S)
            kind = AuditKind.CLOCK_SKEW
            self.collector.note_feed(update.symbol, kind, stands_at, at, detail, facts)
        if stands_at == event_time:
            return update, event_time
        return msgspec.structs.replace(update, event_time=None), stands_at

    def _advance(
        self,
        entry: ContractEntry,
        update: RateUpdate,
        event_time: int,
        interval: Interval,
        z: float | None,
        at: ItemContext,
    ) -> None:
        """Make an update the contract's current one, and tell what cannot wait for the flush."""
        contract = entry.contract
        if event_time // US_PER_HOUR != contract.event_time // US_PER_HOUR:
            remember_estimate(contract, event_time, self._stale_us)
        first = contract.updates == 0
        rate_changed = update.rate != contract.rate
        # The same rate and z as before: what they call for was emitted then.
        as_before = not first and not rate_changed and z == entry.judged_z
        if not first and (change := interval_change(contract, interval)):
            facts = AuditFacts(
                from_interval_hours=contract.interval_hours, to_interval_hours=interval.hours
            )
            kind = AuditKind.INTERVAL_CHANGE
            self._audit(contract.symbol, kind, event_time, at, change, facts)
        make_current(contract, update, event_time, interval, at)
        entry.judged_z = z
        if not as_before or contract.alerts.awaits:
            self._alarms.judge(contract, z, at)
        if as_before:
            return
        emission = Emission.at_once(entry, z, rate_changed=rate_changed and not first)
        if emission is not None:
            self._emit(emission, at.now_us)

    def _judge(
        self, contract: ContractState, update: RateUpdate, event_time: int, at: ItemContext
    ) -> Verdict:
        """Place an update by its time, and count what is not the plain path."""
        rate = update.rate
        if (
            self._spec.timeless
            and at.is_stream
            and is_copy(contract.pushes, update, at.connection, at.received_at)
        ):
            verdict: Verdict = "duplicate"
        elif event_time > contract.event_time:
            self.counts["accepted"] += 1
            return "accepted"
        else:
            verdict = judge(contract, event_time, rate)
        if verdict == "accepted":
            self.counts[verdict] += 1
        else:
            self._audit_rate(AuditKind(verdict), update, event_time, at)
        return verdict

    def _settle_bars(self, entry: ContractEntry) -> None:
        for bar in entry.contract.bars.settle(self._stale_us):
            self._publish_bar(entry, bar)

    def _publish_bar(self, entry: ContractEntry, bar: ClosedBar) -> None:
        self.counts["bar"] += 1
        entry.shard.dirty = True
        row = bar_row(entry.contract, self.feed, bar)
        self.collector.outputs.append(Output(topics.BARS, row["contract_id"], row))
        self.closed_bars.append(row)

    def _emit(self, emission: Emission, now_us: int) -> None:
        contract = emission.entry.contract
        record = zscore_of(emission, self.feed, self.topic, self.partition, now_us)
        self.collector.outputs.append(Output(topics.ZSCORES, contract.contract_id, record))
        self.counts["emitted"] += 1
        contract.emitted_updates = contract.updates
        contract.emitted_rate = contract.rate
        contract.emitted_z = emission.z
