"""How an update of a rate is applied: placed in time, put into a bar, made the current one.

Order and duplicates are judged per contract by event time. Updates that are accepted are collected
as rows for the topic of rates; those in force also move the bar, and the newest moves the current
rate, its z-score and its alerts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from schemas.audit_facts import AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.feed_spec import FeedSpec
from schemas.rates import rate_8h
from schemas.times import US_PER_HOUR, US_PER_S
from stream_app.core.monitoring.reconciliation import estimates_after
from stream_app.core.monitoring.stream_monitor import StreamMonitor
from stream_app.core.output.collector import OutputCollector
from stream_app.core.output.emission import Emitter
from stream_app.core.output.outputs import Accepted, EncodedRecords, Output, rate_output
from stream_app.core.reference_data import ReferenceData, derived_settlement
from stream_app.core.scoring.settled_intervals import Interval
from stream_app.core.scoring.statistics import z_of
from stream_app.core.state.bars import LATENESS_US, Held
from stream_app.core.state.clock_skew import standing_time
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.contract_store import ContractEntry
from stream_app.core.state.item_context import ItemContext
from stream_app.core.state.pushes import is_copy
from stream_app.core.updates.estimate_interval import doubt_after, estimate_interval, listed_then
from stream_app.core.updates.plausibility import beyond_cap, is_settling
from stream_app.model import RateUpdate

Verdict = Literal["accepted", "conflict", "duplicate", "out_of_order", "late"]
"""accepted: moves the current rate. conflict: same time, other rate; moves it as well.
duplicate: the pair was accepted before; dropped, so that a second socket or a redelivery cannot
undo a conflict. out_of_order: older, within the lateness. late: older than that. Neither of the
two moves the current rate."""
_KINDS: Mapping[Verdict, AuditKind] = {
    "conflict": AuditKind.CONFLICT,
    "duplicate": AuditKind.DUPLICATE,
    "out_of_order": AuditKind.OUT_OF_ORDER,
    "late": AuditKind.LATE,
}


ASKED_FOR_US = US_PER_HOUR // 2
"""How long a contradiction has the exchange's list asked for: longer than any list was seen to
lag."""


class RateUpdates:
    """Applies updates of rates to one partition's contracts."""

    def __init__(
        self,
        feed: FeedSpec,
        collector: OutputCollector,
        monitor: StreamMonitor,
        reference_data: ReferenceData,
        emitter: Emitter,
        skew_us: int,
    ) -> None:
        """`skew_us`: how far ahead of its receipt (µs) an event is still believed to be."""
        self._feed = feed
        self._collector = collector
        self._monitor = monitor
        self._reference_data = reference_data
        self._emitter = emitter
        self._skew_us = skew_us
        self._stale_us = int(feed.stale_s * US_PER_S)
        self._settling_us = int(feed.settling_s * US_PER_S)
        self.contradicted_at = 0
        """Receipt (µs) of the newest update that the exchange's list contradicts."""

    def apply(
        self,
        entry: ContractEntry,
        update: RateUpdate,
        at: ItemContext,
        rates: list[Output | EncodedRecords],
    ) -> None:
        """Apply one update of a listed contract; append it to `rates` if it is accepted."""
        contract = entry.contract
        event_time = update.event_time
        if event_time is None:
            event_time = _time_of_receipt(contract, at)
        if event_time > at.received_at + self._skew_us or contract.skewed:
            update, event_time = self._corrected(contract, update, event_time, at)
        if at.is_stream and event_time > contract.stream.event_time:
            self._monitor.streamed(entry, event_time, at)
        if self._settling_us and is_settling(contract, update, event_time, self._settling_us):
            self._audit(AuditKind.SETTLING, update, event_time, at)
            return
        verdict = self._placed(contract, update, event_time, at)
        if verdict == "duplicate":
            return
        entry.shard.dirty = True
        if self._feed.derive_settlements and (
            settled := derived_settlement(contract, event_time, self._feed)
        ):
            self._reference_data.apply_settlement(entry, settled, at)
        interval = self._interval(entry, update, event_time, at, verdict)
        late = verdict == "late"
        beyond = self._beyond_cap(contract, update, at)
        if beyond:
            self._audit(AuditKind.OUT_OF_RANGE, update, event_time, at)
        accepted = Accepted(update, event_time, interval, late, beyond)
        rates.append(rate_output(contract, accepted, self._collector.rate_kind, at))
        if late:
            contract.bars.late_updates += 1
        # A rate beyond the exchange's own cap is recorded, but enters no bar and no z-score.
        if not late and not beyond:
            self._hold(entry, update, event_time, interval, verdict, at)

    def _interval(
        self,
        entry: ContractEntry,
        update: RateUpdate,
        event_time: int,
        at: ItemContext,
        verdict: Verdict,
    ) -> Interval:
        """Return the interval of an update, with all that it means for the contract's state."""
        contract, coming = entry.contract, update.next_funding_time
        if contract.halted:
            self._resume(entry, at)
        if update.interval_hours is not None:
            self._reference_data.state_interval(entry, update, event_time, at)
        entry.refresh(event_time)
        known, agreed = entry.interval, entry.agreed
        if verdict not in ("accepted", "conflict"):
            known = listed_then(contract, known, event_time)
            settled_at = entry.baseline.newest_time()
            return estimate_interval(contract, known, settled_at, update, event_time)
        if agreed is not None and agreed[0] is known and agreed[1] == coming:
            return known
        return self._current_interval(entry, update, event_time, at)

    def _current_interval(
        self, entry: ContractEntry, update: RateUpdate, event_time: int, at: ItemContext
    ) -> Interval:
        """Return the interval of an update that is the newest, and note what it is held against."""
        contract, known, coming = entry.contract, entry.interval, update.next_funding_time
        settled_at = entry.baseline.newest_time()
        interval = estimate_interval(contract, known, settled_at, update, event_time)
        entry.agreed = None
        if at.is_stream:
            times = (event_time, at.received_at)
            contract.doubt = doubt_after(contract, interval, known, settled_at, update, times)
            if interval is known and not known.doubtful and coming is not None:
                entry.agreed = (known, coming)
        if contract.doubt is not None and interval.doubtful:
            self._contradicted(contract.doubt.since, at)
        return interval

    def _beyond_cap(self, contract: ContractState, update: RateUpdate, at: ItemContext) -> bool:
        """Tell whether a rate is beyond what the list says of the contract, and note since when."""
        beyond = beyond_cap(contract, update.rate, self._feed.max_settled_rate)
        if beyond:
            contract.beyond_since = contract.beyond_since or at.received_at
            self._contradicted(contract.beyond_since, at)
        elif contract.beyond_since and at.is_stream:
            contract.beyond_since = 0
        return beyond

    def _contradicted(self, since: int, at: ItemContext) -> None:
        """Have the exchange's list asked for again, as it was contradicted `since` (receipt, µs).

        Not without end: a contradiction that a list does not answer is no news of the list.
        """
        if at.received_at - since < ASKED_FOR_US:
            self.contradicted_at = at.received_at

    def _resume(self, entry: ContractEntry, at: ItemContext) -> None:
        """Take note that a contract whose trading was suspended has a rate again."""
        was = entry.contract.state
        entry.contract.halted = False
        self._reference_data.tell_state(entry, was, at)

    def halt(self, entry: ContractEntry, at: ItemContext) -> None:
        """Take note that the stream shows a contract's trading to be suspended."""
        was = entry.contract.state
        if was.streams:
            entry.contract.halted = True
            self._reference_data.tell_state(entry, was, at)

    def _audit(self, kind: AuditKind, update: RateUpdate, event_time: int, at: ItemContext) -> None:
        """Count an audit event about the rate of an update."""
        rate = update.rate
        self._collector.note(
            update.symbol, kind, event_time, at, f"rate {rate!r}", AuditFacts(rate=rate)
        )

    def _corrected(
        self, contract: ContractState, update: RateUpdate, event_time: int, at: ItemContext
    ) -> tuple[RateUpdate, int]:
        """Return an update and its time: its receipt, where the exchange's time runs ahead."""
        if update.event_time is None:
            return update, event_time
        received_at = at.received_at
        ahead_us = event_time - received_at
        stands_at = standing_time(contract.skewed, event_time, received_at, self._skew_us)
        if ahead_us > self._skew_us:
            # Audited of the feed, not of the contract: it is our clock that is off, or the feed's.
            detail = f"{update.symbol}: {ahead_us / US_PER_S:.1f} s ahead of its receipt"
            facts = AuditFacts(shift_s=ahead_us / US_PER_S)
            kind = AuditKind.CLOCK_SKEW
            self._collector.note_feed(update.symbol, kind, stands_at, at, detail, facts)
        if stands_at == event_time:
            return update, event_time
        return msgspec.structs.replace(update, event_time=None), stands_at

    def _placed(
        self, contract: ContractState, update: RateUpdate, event_time: int, at: ItemContext
    ) -> Verdict:
        """Place an update by its time, count it, and audit it unless it is simply the newest."""
        rate, counts = update.rate, self._collector.counts
        if (
            self._feed.timeless
            and at.is_stream
            and is_copy(contract.pushes, update, at.connection, at.received_at)
        ):
            verdict: Verdict = "duplicate"
        elif event_time > contract.event_time:
            counts["accepted"] += 1
            return "accepted"
        else:
            verdict = judge(contract, event_time, rate)
        if verdict == "accepted":
            counts[verdict] += 1
        else:
            self._audit(_KINDS[verdict], update, event_time, at)
        return verdict

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
        z = None
        if not interval.doubtful:
            z = z_of(rate_8h(update.rate, interval.hours), entry.stats)
        held = Held(event_time, update.rate, z, update.mark_price, at.transport, interval.hours)
        contract.bars.add(held)
        if at.transport == "rest":
            self._monitor.filled(contract, event_time)
        if contract.bars.full:
            self._emitter.settle_bars(entry)
        if verdict != "out_of_order":
            self._advance(entry, update, event_time, interval, z, at)

    def _advance(
        self,
        entry: ContractEntry,
        update: RateUpdate,
        event_time: int,
        interval: Interval,
        z: float | None,
        at: ItemContext,
    ) -> None:
        """Make an update the contract's current one, and publish what cannot wait for the flush."""
        contract = entry.contract
        contract.estimates = estimates_after(contract, event_time, self._stale_us)
        first = contract.updates == 0
        # A rate of another scale is another rate.
        is_rescaled = (
            interval.hours != contract.interval_hours
            or interval.doubtful != contract.interval_doubtful
        )
        rate_changed = is_rescaled or update.rate != contract.rate
        # With the same rate and z as before, what they call for was emitted then.
        as_before = not first and not rate_changed and z == entry.judged_z
        if is_rescaled and not first:
            self._tell_interval(contract, interval, event_time, at)
        _make_current(contract, update, event_time, interval, at)
        entry.judged_z = z
        if not as_before or contract.alerts.awaits:
            self._emitter.alert(contract, z, at)
        if not as_before:
            self._emitter.emit_if_due(entry, z, at.now_us, rate_changed=rate_changed and not first)

    def _tell_interval(
        self, contract: ContractState, interval: Interval, event_time: int, at: ItemContext
    ) -> None:
        """Tell that the interval of the current rate changes, or comes into doubt."""
        known = contract.interval
        if interval.doubtful and not known.doubtful:
            kind = AuditKind.INTERVAL_DOUBTFUL
        elif interval.hours != known.hours and not interval.doubtful:
            kind = AuditKind.INTERVAL_CHANGE
        else:
            return
        facts = AuditFacts(from_interval_hours=known.hours, to_interval_hours=interval.hours)
        change = f"{known.hours:g} h -> {interval.hours:g} h ({interval.source})"
        self._collector.note(contract.symbol, kind, event_time, at, change, facts)


def judge(contract: ContractState, event_time: int, rate: float) -> Verdict:
    """Place an update among those that the contract has accepted."""
    if contract.updates == 0 or event_time > contract.event_time:
        return "accepted"
    same_time = event_time == contract.event_time
    if (same_time and rate == contract.rate) or contract.bars.knows(event_time, rate):
        return "duplicate"
    if same_time:
        return "conflict"
    return "out_of_order" if contract.event_time - event_time <= LATENESS_US else "late"


def _time_of_receipt(contract: ContractState, at: ItemContext) -> int:
    """Return the event time of an update that names none: its receipt.

    A REST row's receipt is put on the clock of the stream's event times, which may lie behind.
    """
    if at.transport == "rest":
        return contract.stream.time_of_receipt(at.received_at)
    return at.received_at


def _make_current(
    contract: ContractState,
    update: RateUpdate,
    event_time: int,
    interval: Interval,
    at: ItemContext,
) -> None:
    """Make an update the contract's current one."""
    contract.event_time = event_time
    contract.received_at = at.received_at
    contract.rate = update.rate
    contract.interval_hours, contract.interval_source, contract.interval_doubtful = interval
    # A second source of the same feed may not carry all fields: what is known stays.
    if update.mark_price is not None:
        contract.mark_price = update.mark_price
    if update.index_price is not None:
        contract.index_price = update.index_price
    coming = contract.next_funding_time
    if update.next_funding_time is not None and update.next_funding_time != coming:
        if coming is not None and coming <= event_time:
            contract.passed_funding_time = coming
        contract.next_funding_time = update.next_funding_time
    contract.transport = at.transport
    contract.raw_offset = at.offset
    contract.raw_item = at.item
    contract.updates += 1
