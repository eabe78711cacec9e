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
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, FEED_EVENT, TICK, UNREADABLE
from schemas.errors import MalformedInputError
from schemas.feeds import spec
from schemas.rates import rate_8h
from schemas.records import HourlyBar, RawBatch, RawItem
from schemas.symbols import symbol_fault
from schemas.times import US_PER_HOUR, US_PER_S, minute_round
from stream_app.core.monitoring.reconciliation import remember_estimate
from stream_app.core.monitoring.stream_monitor import Watch
from stream_app.core.output.alarms import Alarms
from stream_app.core.output.collector import Journal
from stream_app.core.output.emission import Emission, zscore_of
from stream_app.core.output.outputs import Output, Outputs, RateRows
from stream_app.core.output.records import Interval, Position, RateRow, bar_row, settlement_row
from stream_app.core.scoring.statistics import z_of
from stream_app.core.scoring.zones import flush_boundary
from stream_app.core.state.bars import ClosedBar, Held
from stream_app.core.state.clock_skew import SKEW_US, standing_time
from stream_app.core.state.contract_state import DEFAULT_INTERVAL_HOURS, Contract
from stream_app.core.state.contract_store import Cell, Store
from stream_app.core.state.pushes import is_copy
from stream_app.core.updates.admission import Gate
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
    ContractReading,
    NoRate,
    Normaliser,
    RateReading,
    Reading,
    ReadItem,
    SettlementReading,
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
        self.store = Store(feed, blocks, stored_baseline)
        self.journal = Journal(feed, self.topic, partition, self.store)
        self.counts = self.journal.counts
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
        self._watch = Watch(self.journal, self.store, known, self._skew_us)
        self._gate = Gate(self.journal, self.store, known)
        self._alarms = Alarms(self.journal)
        self._normalise = normalise

    @property
    def contracts(self) -> Iterator[Contract]:
        """All contracts, in the order in which they were met."""
        return self.store.contracts()

    def apply(self, batch: RawBatch, offset: int, now_us: int) -> None:
        """Apply one raw record. What it leads to is for `take_outputs`."""
        boundary = flush_boundary(batch["received_at"])
        self.flush(boundary, now_us)
        at = Position(self.topic, self.partition, offset, batch, boundary, now_us)
        is_new = offset > self.store.applied_offset
        journal = self.journal
        rows = self._rows = []
        items = batch["items"]
        if at.is_stream and items and items[0]["symbol"] is not None:
            self._watch.stream_goes_on(items[0]["received_at"], offset)
        self._gate.expire(at)
        letters = len(journal.dead_letters)
        read = self._normalise.frame(batch["purpose"], batch["channel"], items)
        for index, item in enumerate(items):
            at.item, at.received_at = index, item["received_at"]
            self._apply_guarded(item, at, read[index] if read else None, is_new=is_new)
        if rows:
            self.rates.append(RateRows(at, rows))
        self._watch.end_of_record(at, is_new=is_new)
        if batch["channel"] != TICK:
            journal.count_letters(at, len(journal.dead_letters) - letters, len(items))

    def _apply_guarded(
        self, item: RawItem, at: Position, read: ReadItem | None, *, is_new: bool
    ) -> None:
        """Apply one item. A bug of ours that it meets must not stop the others."""
        journal, rows = self.journal, self._rows
        published, accepted = len(journal.outputs), len(rows)
        closed, updated = len(self.closed_bars), len(self.rates)
        try:
            if item["symbol"] is None:
                self._apply_nameless(item, at, is_new=is_new)
            else:
                self._apply_item(item, item["symbol"], at, read)
        except Exception as error:  # noqa: BLE001 - the item is kept, with what went wrong
            del journal.outputs[published:], rows[accepted:]
            del self.closed_bars[closed:], self.rates[updated:]
            self._rows = rows
            self.counts["failed"] += 1
            journal.dead_letter(item, at, repr(error), "core")

    def flush(self, boundary: int, now_us: int) -> None:
        """Emit what is owed at a flush boundary (µs of received_at), once for each boundary."""
        for shard in self.store.all_shards:
            if boundary <= shard.block.flushed_at:
                continue
            shard.block.flushed_at = boundary
            for cell in shard.cells:
                if cell.contract.owes:
                    self._emit(Emission.flush(cell), now_us)
                    shard.dirty = True
                self._settle_bars(cell)
                for bar in cell.contract.bars.close_silent(boundary, self._stale_us):
                    self._publish_bar(cell, bar)
                if boundary - cell.contract.stream.received_at >= self._stale_us:
                    self._watch.silence(cell, boundary)
            self.journal.publish_due(shard, boundary)

    def take_outputs(self) -> Outputs:
        """Return and forget what is to be published."""
        journal = self.journal
        taken = Outputs(self.rates, journal.outputs, journal.dead_letters)
        self.rates, journal.outputs, journal.dead_letters = [], [], []
        return taken

    def take_closed_bars(self) -> list[HourlyBar]:
        """Return and forget the bars that were closed."""
        taken, self.closed_bars = self.closed_bars, []
        return taken

    def _apply_item(self, item: RawItem, symbol: str, at: Position, read: ReadItem | None) -> None:
        cell = self.store.cells.get(symbol)
        if cell is None:
            self._apply_unlisted(item, symbol, at, read)
            return
        if at.applied_by <= cell.shard.block.applied_offset:
            if at.place <= cell.contract.listed_by:
                self._apply_unlisted(item, symbol, at, read)
            else:
                self.counts["redelivered"] += 1
            return
        if at.channel in (BACKFILL_BEGIN, BACKFILL_END):
            cell.contract.backfilling = at.channel == BACKFILL_BEGIN
            cell.shard.dirty = True
            cell.changed()
            return
        for reading in self._read(item, symbol, at, read):
            self._apply_reading(cell, reading, at)

    def _apply_reading(self, cell: Cell, reading: Reading, at: Position) -> None:
        if isinstance(reading, RateReading):
            if at.purpose == "reconcile":
                self._watch.reconcile(cell, reading, at)
            else:
                self._apply_rate(cell, reading, at)
        elif isinstance(reading, SettlementReading):
            self._apply_settlement(cell, reading, at)
        elif isinstance(reading, ContractReading):
            self._apply_facts(cell, reading, at)
            if reading.lists:
                self._watch.listed(cell, at)
        else:
            self._audit(reading.symbol, "no_rate", at.received_at, at, reading.reason)

    def _apply_unlisted(
        self, item: RawItem, symbol: str, at: Position, read: ReadItem | None
    ) -> None:
        """Apply an item of a symbol that is no contract: unless it is listed here, it waits.

        Or that was none when this item came first: then only what is kept of unlisted symbols may
        not have it.
        """
        fault = symbol_fault(symbol)
        if fault is not None:
            self._gate.refuse(item, at, fault)
            return
        if self._gate.has_applied(at):
            self.counts["redelivered"] += 1
            return
        if at.channel in (BACKFILL_BEGIN, BACKFILL_END):
            self._gate.keep(item, at)
            return
        for reading in self._read(item, symbol, at, read):
            if isinstance(reading, NoRate):
                self._audit(symbol, "no_rate", at.received_at, at, reading.reason)
            elif isinstance(reading, ContractReading) and reading.lists:
                self._list(reading, at)
            elif isinstance(reading, RateReading) and at.purpose == "reconcile":
                self._watch.reconcile(None, reading, at)
            else:
                # All that it says is read again when it is listed.
                self._gate.keep(item, at)
                return

    def _list(self, facts: ContractReading, at: Position) -> None:
        """Create a contract that the exchange lists, and apply what has waited for it."""
        cell, waited = self._gate.admit(facts.symbol, at)
        if cell is None:
            return
        self._apply_facts(cell, facts, at)
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
        self._watch.listed(cell, at)

    def _read(
        self, item: RawItem, symbol: str, at: Position, read: ReadItem | None
    ) -> Sequence[Reading]:
        """Return what an item means; nothing if it goes to the dead letters."""
        try:
            if read is None:
                read = self._normalise(
                    at.purpose, at.channel, symbol, item["payload"], at.received_at
                )
            elif isinstance(read, MalformedInputError):
                raise read
            for reading in read:
                check_plausible(reading, at.received_at, self._max_ahead_us)
        except MalformedInputError as error:
            self._audit(symbol, "dead_letter", at.received_at, at, str(error))
            self.journal.dead_letter(item, at, str(error), "normalise")
            return ()
        return read

    def _apply_nameless(self, item: RawItem, at: Position, *, is_new: bool) -> None:
        """Apply an item that is about no contract. `is_new`: no stored block has its record yet."""
        channel = at.channel
        if channel == UNREADABLE:
            self.counts["dead_letter"] += 1
            self.journal.dead_letter(item, at, "not a message of this exchange", "slice")
        elif channel == TICK:
            # It carries time alone, and that has led to the flush already.
            self.counts["tick"] += 1
        elif channel != FEED_EVENT:
            self.counts["control"] += 1
        elif is_new:
            self._watch.feed_event(item, at)
        else:
            self.counts["redelivered"] += 1

    def _audit(
        self, symbol: str, kind: str, event_time: int, at: Position, detail: str = ""
    ) -> None:
        self.journal.note(symbol, kind, event_time, at, detail)

    def _apply_facts(self, cell: Cell, facts: ContractReading, at: Position) -> None:
        cell.shard.dirty = True
        contract = cell.contract
        if facts.status is not None and facts.status != contract.status:
            change = f"{contract.status or 'unknown'} -> {facts.status}"
            self._audit(facts.symbol, "status_change", at.received_at, at, change)
            self._watch.status_changed(cell, facts.status, at)
        for field in ("base", "quote", "multiplier", "status", "rate_cap", "rate_floor"):
            value = getattr(facts, field)
            if value is not None:
                setattr(contract, field, value)
        if facts.interval_hours is not None:
            contract.listed_interval_hours = facts.interval_hours
        cell.changed()
        self.counts["facts"] += 1

    def _apply_settlement(self, cell: Cell, reading: SettlementReading, at: Position) -> None:
        cell.shard.dirty = True
        funding_time = minute_round(reading.funding_time_raw)
        before = cell.baseline.known(funding_time)
        new = cell.baseline.add(
            funding_time,
            reading.rate,
            reading.interval_hours,
            cell.contract.listed_interval_hours or DEFAULT_INTERVAL_HOURS,
            at.applied_by,
            reading.source,
        )
        self.counts["settlement" if new else "settlement_known"] += 1
        if before is not None and before.rate != reading.rate:
            change = f"{before.source} {before.rate!r}, {reading.source} {reading.rate!r}"
            self._audit(reading.symbol, "settlement_differs", funding_time, at, change)
        if reading.source != "derived" and (before is None or before.source == "derived"):
            self._watch.settled(cell.contract, funding_time, reading.rate, at)
        if new or (before is not None and cell.baseline.known(funding_time) != before):
            self.store.baseline_changed(cell)
        for entry in new:
            raw = reading.funding_time_raw if entry.funding_time == funding_time else None
            row = settlement_row(cell.contract, entry, raw, at)
            self.journal.outputs.append(Output(topics.SETTLEMENTS, row["contract_id"], row))

    def _apply_rate(self, cell: Cell, reading: RateReading, at: Position) -> None:
        contract = cell.contract
        event_time = reading.event_time
        if event_time is None:
            event_time = unnamed_time(contract, at)
        if event_time > at.received_at + self._skew_us or contract.skewed:
            reading, event_time = self._timed(contract, reading, event_time, at)
        if at.is_stream and event_time > contract.stream.event_time:
            self._watch.streamed(cell, event_time, at)
        if self._settling_us and is_settling(contract, reading, event_time, self._settling_us):
            self._audit(reading.symbol, "settling", event_time, at, f"rate {reading.rate!r}")
            return
        verdict = self._judge(contract, reading, event_time, at)
        if verdict == "duplicate":
            return
        cell.shard.dirty = True
        if settled := derived_settlement(contract, event_time, self._spec):
            self._apply_settlement(cell, settled, at)
        cell.refresh(event_time)
        interval = interval_of(cell, reading)
        late, beyond = verdict == "late", beyond_cap(contract, reading.rate)
        if beyond:
            self._audit(reading.symbol, "out_of_range", event_time, at, f"rate {reading.rate!r}")
        self._rows.append(
            RateRow(contract, reading, event_time, interval, at.item, at.received_at, late, beyond)
        )
        if late:
            contract.bars.late_updates += 1
        # What the exchange itself says it cannot charge is recorded, and not traded on.
        if not late and not beyond:
            self._hold(cell, reading, event_time, interval, verdict, at)

    def _hold(
        self,
        cell: Cell,
        reading: RateReading,
        event_time: int,
        interval: Interval,
        verdict: Verdict,
        at: Position,
    ) -> None:
        """Put an update into the bar; unless it is an older one, it becomes the current one."""
        contract = cell.contract
        z = z_of(rate_8h(reading.rate, interval.hours), cell.stats)
        held = Held(event_time, reading.rate, z, reading.mark_price, at.transport, interval.hours)
        contract.bars.add(held)
        if at.transport == "rest":
            self._watch.filled(contract, event_time)
        if contract.bars.full:
            self._settle_bars(cell)
        if verdict != "out_of_order":
            self._advance(cell, reading, event_time, interval, z, at)

    def _timed(
        self, contract: Contract, reading: RateReading, event_time: int, at: Position
    ) -> tuple[RateReading, int]:
        """Return an update and its time: its receipt, if the exchange's is not to be believed."""
        if reading.event_time is None:
            return reading, event_time
        received_at = at.received_at
        ahead_us = event_time - received_at
        stands_at = standing_time(contract.skewed, event_time, received_at, self._skew_us)
        if ahead_us > self._skew_us:
            # One fact about the feed: our clock, or its own.
            detail = f"{reading.symbol}: {ahead_us / US_PER_S:.1f} s ahead of its receipt"
            self.journal.note_feed(reading.symbol, "clock_skew", stands_at, at, detail)
        if stands_at == event_time:
            return reading, event_time
        return msgspec.structs.replace(reading, event_time=None), stands_at

    def _advance(
        self,
        cell: Cell,
        reading: RateReading,
        event_time: int,
        interval: Interval,
        z: float | None,
        at: Position,
    ) -> None:
        """Make an update the contract's current one, and tell what cannot wait for the flush."""
        contract = cell.contract
        if event_time // US_PER_HOUR != contract.event_time // US_PER_HOUR:
            remember_estimate(contract, event_time, self._stale_us)
        first = contract.updates == 0
        rate_changed = reading.rate != contract.rate
        # The same rate and z as before: what they call for was emitted then.
        as_before = not first and not rate_changed and z == cell.judged_z
        if not first and (change := interval_change(contract, interval)):
            self._audit(contract.symbol, "interval_change", event_time, at, change)
        make_current(contract, reading, event_time, interval, at)
        cell.judged_z = z
        if not as_before or contract.alerts.awaits:
            self._alarms.judge(contract, z, at)
        if as_before:
            return
        emission = Emission.at_once(cell, z, rate_changed=rate_changed and not first)
        if emission is not None:
            self._emit(emission, at.now_us)

    def _judge(
        self, contract: Contract, reading: RateReading, event_time: int, at: Position
    ) -> Verdict:
        """Place an update by its time, and count what is not the plain path."""
        rate = reading.rate
        if (
            self._spec.timeless
            and at.is_stream
            and is_copy(contract.pushes, reading, at.connection, at.received_at)
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
            self._audit(contract.symbol, verdict, event_time, at, f"rate {rate!r}")
        return verdict

    def _settle_bars(self, cell: Cell) -> None:
        for bar in cell.contract.bars.settle(self._stale_us):
            self._publish_bar(cell, bar)

    def _publish_bar(self, cell: Cell, bar: ClosedBar) -> None:
        self.counts["bar"] += 1
        cell.shard.dirty = True
        row = bar_row(cell.contract, self.feed, bar)
        self.journal.outputs.append(Output(topics.BARS, row["contract_id"], row))
        self.closed_bars.append(row)

    def _emit(self, emission: Emission, now_us: int) -> None:
        contract = emission.cell.contract
        record = zscore_of(emission, self.feed, self.topic, self.partition, now_us)
        self.journal.outputs.append(Output(topics.ZSCORES, contract.contract_id, record))
        self.counts["emitted"] += 1
        contract.emitted_updates = contract.updates
        contract.emitted_rate = contract.rate
        contract.emitted_z = emission.z
