"""Watches a partition's contracts: silence, reconciliation with REST, settled rates, feed events.

What it finds becomes audit events and alerts in the collector; nothing here moves a rate, a bar or
a z-score. What a gap is says core/state/gaps.py, what a mismatch is reconciliation.py. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.audit_facts import AuditCause, AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.contract_status import ContractStatus
from schemas.control_items import FeedEvent
from schemas.errors import MalformedInputError
from schemas.feed_spec import FeedSpec
from schemas.records import RawItem
from schemas.symbols import symbol_fault
from schemas.times import US_PER_S
from stream_app.core.monitoring.reconciliation import (
    Comparison,
    compare,
    estimate_of,
    not_compared,
    settled_differs,
)
from stream_app.core.output.alerts import (
    FEED_ALERTS,
    feed_alert,
    mismatch_alert,
    mismatch_severity,
)
from stream_app.core.output.collector import OutputCollector
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.contract_store import ContractEntry, ContractStore
from stream_app.core.state.gaps import Pace, Step, StreamState
from stream_app.core.state.item_context import ItemContext
from stream_app.core.updates.plausibility import beyond_cap, is_settling
from stream_app.model import RateUpdate


class Compared(NamedTuple):
    """How many rates of a snapshot were compared with the stream's, and did not match."""

    rates: int = 0
    mismatched: int = 0


class StreamMonitor:
    """What is noticed about the contracts of one partition, beside their numbers."""

    def __init__(
        self,
        collector: OutputCollector,
        store: ContractStore,
        feed: FeedSpec,
        skew_us: int,
        flush_phase_us: int = 0,
    ) -> None:
        """`skew_us`: how far ahead of its receipt an event is still believed to be.

        `flush_phase_us`: as of `flush_boundary`.
        """
        self._collector = collector
        self._awaited = [c for c in store.entries.values() if c.contract.stream.awaited]
        self._max_rate = feed.max_settled_rate
        self._skew_us = skew_us
        self._pace = Pace.of(feed, skew_us, flush_phase_us)
        self._settling_us = int(feed.settling_s * US_PER_S)
        self.compared = Compared()
        """Of the record at hand."""

    def streamed(self, entry: ContractEntry, event_time: int, at: ItemContext) -> None:
        """Take note of a newer stream update: it may end a gap, and show what did not come."""
        contract = entry.contract
        if not entry.streams:
            # An update that was under way when trading ended begins no stream: its end is no gap.
            return
        step = contract.stream.advance(event_time, at.received_at, at.offset, at.item, self._pace)
        entry.shard.dirty = True
        if step is None:
            return
        if step.shifted_us:
            detail = f"{contract.symbol}: {step.shifted_us / US_PER_S:+.1f} s between two updates"
            kind, facts = AuditKind.CLOCK_SKEW, AuditFacts(shift_s=step.shifted_us / US_PER_S)
            self._collector.note_feed(contract.symbol, kind, event_time, at, detail, facts)
        if step.missed:
            detail = f"{step.seconds:.1f} s between updates"
            self._collector.note(
                contract.symbol, AuditKind.MISSED, event_time, at, detail,
                count=step.missed, since=step.since,
            )  # fmt: skip
        if step.is_gap:
            self._close(contract, step, at)

    def listed(self, entry: ContractEntry, at: ItemContext) -> None:
        """Take note of what the exchange says of a contract: if it trades, a stream is awaited."""
        contract = entry.contract
        if contract.state.streams and contract.stream.expect(at.received_at, at.offset, at.item):
            self._awaited.append(entry)
            entry.shard.dirty = True

    @property
    def awaited_count(self) -> int:
        """How many contracts are awaited."""
        return len(self._awaited)

    def forget_awaited(self, known: int) -> None:
        """Forget the contracts that are awaited since there were `known`."""
        del self._awaited[known:]

    @property
    def awaits_streams(self) -> bool:
        """True while contracts are awaited that have not streamed yet."""
        return bool(self._awaited)

    def stream_goes_on(self, received_at: int, offset: int) -> None:
        """Take note of a record of the stream: contracts that were awaited are due from it on.

        They are not due from their listing on: how long the first connections take, and whether a
        feed is only polled, concerns the whole feed, and its producer reports that.
        """
        if not self._awaited:
            return
        kept = []
        for entry in self._awaited:
            if offset <= entry.shard.block.applied_offset:
                # What is stored has it; another shard may not.
                kept.append(entry)
            elif entry.contract.stream.awaited:
                entry.contract.stream.become_due(received_at)
                entry.shard.dirty = True
        self._awaited = kept

    def _close(self, contract: ContractState, step: Step, at: ItemContext) -> None:
        raw, times = (at.offset, at.item), (step.since, step.until)
        if not step.was_opened:
            # No flush boundary saw it: the worker or the producer was away, or the updates waited.
            self._open(contract, (step.since, step.opened_at), raw, first=step.is_first)
        facts = AuditFacts(
            cause=AuditCause.STREAMED,
            rest_updates=step.fills,
            rest_filled_s=step.filled_us / US_PER_S,
        )
        subject, kind = contract.contract_id, AuditKind.GAP_CLOSED
        self._collector.tell(subject, kind, times, step.missed, step.describe(), raw, facts)

    def _open(
        self,
        contract: ContractState,
        times: tuple[int, int],
        raw: tuple[int, int],
        *,
        first: bool,
    ) -> None:
        """Tell of a gap. `first`: the stream has never brought the contract since it was listed."""
        detail = f"no stream update for {self._pace.stale_us / US_PER_S:g} s"
        facts = AuditFacts(cause=AuditCause.NEVER_STREAMED if first else AuditCause.SILENT)
        subject, kind = contract.contract_id, AuditKind.GAP_OPENED
        self._collector.tell(subject, kind, times, 1, detail, raw, facts)

    def filled(self, contract: ContractState, event_time: int) -> None:
        """Take note of a rate that REST brought and that is in force."""
        contract.stream.fill(event_time, self._pace.stale_us)

    def silence(self, entry: ContractEntry, boundary: int) -> None:
        """Open a gap at a flush boundary, if one is due."""
        contract = entry.contract
        stream = contract.stream
        if not stream.silent_at(boundary, self._pace) or not contract.state.streams:
            return
        stream.opened = entry.shard.dirty = True
        # Not `boundary`: while a producer is down boundaries are passed over, or the wall clock's.
        times = (stream.since, stream.silent_from(self._pace))
        raw = (stream.raw_offset, stream.raw_item)
        self._open(contract, times, raw, first=stream.event_time == 0)

    def state_changed(self, entry: ContractEntry, was: ContractStatus, at: ItemContext) -> None:
        """Tell that a contract with rates streams no longer, which ends its gap, or streams again.

        `was`: its state before.
        """
        contract, now, raw = entry.contract, at.received_at, (at.offset, at.item)
        state = contract.state
        if state.streams == was.streams:
            return
        if contract.updates:
            change = f"{was} -> {state}"
            kind = AuditKind.TRADING_BEGAN if state.streams else AuditKind.TRADING_ENDED
            facts = AuditFacts(from_state=was, to_state=state)
            self._collector.tell(contract.contract_id, kind, (now, now), 1, change, raw, facts)
        if contract.stream.opened:
            times = (contract.stream.since, max(contract.stream.since, now))
            facts = AuditFacts(cause=AuditCause.TRADING_ENDED)
            subject, kind = contract.contract_id, AuditKind.GAP_CLOSED
            self._collector.tell(subject, kind, times, 0, state, raw, facts)
        # The time in which it does not trade is no gap.
        contract.stream = StreamState.ended(now)
        self.listed(entry, at)

    def reconcile(self, entry: ContractEntry | None, update: RateUpdate, at: ItemContext) -> None:
        """Compare a row of a REST snapshot with what the stream has told."""
        time_us = at.received_at
        if update.event_time is None:
            if entry is not None:
                time_us = entry.contract.stream.time_of_receipt(time_us)
        elif update.event_time <= time_us + self._skew_us:
            time_us = update.event_time
        found = self._comparison(entry, update, time_us)
        collector = self._collector
        if found.kind is AuditKind.NOT_COMPARED:
            collector.note_feed(update.symbol, found.kind, time_us, at, found.detail, found.facts)
            return
        is_mismatch = found.kind is AuditKind.MISMATCH and entry is not None
        rates, mismatched = self.compared
        self.compared = Compared(rates + 1, mismatched + is_mismatch)
        detail = ""
        if is_mismatch and entry is not None:
            detail = entry.contract.contract_id
            collector.note(update.symbol, found.kind, time_us, at, found.detail, found.facts)
        collector.note_feed(update.symbol, found.kind, time_us, at, detail, found.facts)

    def _comparison(
        self, entry: ContractEntry | None, update: RateUpdate, time_us: int
    ) -> Comparison:
        if entry is None or entry.contract.updates == 0:
            return not_compared(AuditCause.NO_RATE, "no rate yet")
        contract = entry.contract
        if not contract.state.streams:
            return not_compared(AuditCause.NOT_TRADING, "not trading")
        if self._settling_us and is_settling(contract, update, time_us, self._settling_us):
            return not_compared(AuditCause.SETTLING, "settling")
        if beyond_cap(contract, update.rate, self._max_rate):
            # The stream's own rate of that kind is not held either: there is nothing beside it.
            return not_compared(AuditCause.BEYOND_CAP, "beyond the cap")
        return compare(contract, update.rate, time_us, self._pace.stale_us)

    def end_of_record(self, at: ItemContext, *, is_new: bool) -> None:
        """Raise an alert if too much of the record's snapshot did not match: one an hour."""
        (compared, mismatched), self.compared = self.compared, Compared()
        severity = mismatch_severity(compared, mismatched) if compared and is_new else None
        if severity is not None and self._collector.begins_hour_of_mismatch(at):
            self._collector.alert(mismatch_alert(severity, mismatched, compared, at))

    def settled(
        self, contract: ContractState, funding_time: int, rate: float, at: ItemContext
    ) -> None:
        """Compare the exchange's settled rate with the last estimate before it."""
        estimate = estimate_of(contract, funding_time, self._pace.stale_us)
        if estimate is None:
            return
        difference = settled_differs(estimate, rate)
        symbol, collector = contract.symbol, self._collector
        if difference is not None:
            collector.note(symbol, AuditKind.SETTLED_DIFFERS, funding_time, at, *difference)
        else:
            collector.note_feed(symbol, AuditKind.SETTLED_MATCHED, funding_time, at)

    @staticmethod
    def _check_subject(subject: str, at: ItemContext) -> None:
        """Refuse an event that is about neither the feed nor what can be one of its contracts."""
        if subject == at.feed:
            return
        feed, _, symbol = subject.partition(":")
        fault = symbol_fault(symbol) if feed == at.feed else "another feed's subject"
        if fault is not None:
            raise MalformedInputError(f"an event of {fault}")

    def feed_event(self, item: RawItem, at: ItemContext) -> None:
        """Make an audit event of what a producer tells, and an alert where it is one."""
        try:
            event = FeedEvent.unpack(item["payload"])
            self._check_subject(event.subject, at)
        except MalformedInputError as error:
            self._collector.counts[AuditKind.DEAD_LETTER] += 1
            self._collector.dead_letter(item, at, str(error), "event")
            return
        self._collector.counts["feed_event"] += 1
        times = (event.first_event_time, event.last_event_time)
        raw = (at.offset, at.item)
        self._collector.tell(
            event.subject, event.kind, times, event.count, event.detail, raw, event.facts
        )
        alert_kind = FEED_ALERTS.get(event.kind)
        if alert_kind is not None:
            self._collector.alert(feed_alert(event, alert_kind, at))
