"""What rates are scored by: settled rates, which make the baseline, and facts about instruments.

Both change how later rates of a contract are judged, so its entry is marked as changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from schemas import topics
from schemas.audit_facts import AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_S, minute_round
from stream_app.core.monitoring.stream_monitor import StreamMonitor
from stream_app.core.output.collector import OutputCollector
from stream_app.core.output.outputs import Output, contract_row, settlement_row, special_row
from stream_app.core.scoring.settlement import Change, Hole, Settled
from stream_app.core.scoring.zones import AlertState
from stream_app.core.state.contract_state import MAX_LIVES, ContractState
from stream_app.core.state.contract_store import ContractEntry, ContractStore
from stream_app.core.state.item_context import ItemContext
from stream_app.model import InstrumentUpdate, RateUpdate, SettlementUpdate

_LISTED_FIELDS = ("base", "quote", "multiplier", "rate_cap", "rate_floor")
"""Facts that an update changes and whose change is published at once."""
_FIELDS = (*_LISTED_FIELDS, "mark_price")
MIN_DELISTED_US = US_PER_HOUR
"""For how long a contract is delisted before its ticker is that of another contract: a status that
changes back sooner was a mistake of the list."""

MAX_LISTED_AHEAD_US = 30 * US_PER_DAY
"""How far ahead trading of a contract may be announced: a date beyond that is a mistake, and would
keep the contract from being scored until then."""


class ReferenceData:
    """Applies settlements and instrument facts to one partition's contracts."""

    def __init__(
        self, collector: OutputCollector, store: ContractStore, monitor: StreamMonitor
    ) -> None:
        self._collector = collector
        self._store = store
        self._monitor = monitor

    def apply_instrument(
        self, entry: ContractEntry, facts: InstrumentUpdate, at: ItemContext
    ) -> None:
        """Note what the exchange says of a contract; what it does not say stays as it is."""
        entry.shard.dirty = True
        contract = entry.contract
        was, known = contract.state, _published(contract)
        begun_at = _new_life(contract, facts, entry.baseline.newest_time(), at.received_at)
        if begun_at is not None and len(contract.lives) < MAX_LIVES:
            self._begin_life(entry, begun_at, at)
        if facts.status is not None and facts.status != contract.status:
            contract.status, contract.status_since = facts.status, at.received_at
        self._tell_state(entry, was, at, facts.status_word)
        for field in _FIELDS:
            value = getattr(facts, field)
            if value is not None:
                setattr(contract, field, value)
        if facts.listed_at is not None and facts.listed_at <= at.received_at + MAX_LISTED_AHEAD_US:
            contract.listed_at = facts.listed_at
        if facts.interval_hours is not None:
            contract.listed_interval_hours = facts.interval_hours
            if contract.evidence.note_listed(facts.interval_hours, at.received_at):
                self._revise(entry, at.received_at, at)
        contract.facts.note(facts, contract.mark_price, at.received_at)
        entry.changed()
        self._collector.counts["facts"] += 1
        changed = known is None or known != _published(contract)
        if changed or contract.facts.liquidity_due(at.received_at):
            self._publish_facts(contract, at)

    def _publish_facts(self, contract: ContractState, at: ItemContext) -> None:
        contract.facts.published_at = at.received_at
        row = contract_row(contract, self._collector.rate_kind, at)
        self._collector.outputs.append(Output(topics.CONTRACTS, row["contract_id"], row))

    def tell_state(self, entry: ContractEntry, was: ContractStatus, at: ItemContext) -> None:
        """Tell of a contract's state by the stream, if it is another one than `was`."""
        self._tell_state(entry, was, at)
        if entry.contract.state is not was:
            self._publish_facts(entry.contract, at)

    def _tell_state(
        self, entry: ContractEntry, was: ContractStatus, at: ItemContext, word: str | None = None
    ) -> None:
        """Tell of a contract's state, if it is another one than `was`. `word`: the exchange's."""
        contract, now = entry.contract, entry.contract.state
        if now is was:
            return
        entry.shard.dirty = True
        entry.changed()
        change = f"{was} -> {now}{f' ({word})' if word else ''}"
        states = AuditFacts(from_state=was, to_state=now)
        kind = AuditKind.STATUS_CHANGE
        self._collector.note(contract.symbol, kind, at.received_at, at, change, states)
        self._monitor.state_changed(entry, was, at)

    def _begin_life(self, entry: ContractEntry, begun_at: int, at: ItemContext) -> None:
        """Let a ticker be another contract's from a time (µs) on."""
        contract = entry.contract
        # A date that is moved before it has come moves the begin of the same life.
        begun = [life for life in contract.lives if life <= at.received_at]
        contract.lives = [*begun, begun_at]
        contract.estimates, contract.alerts, contract.sign = [], AlertState(), 0
        contract.facts.forget_liquidity()
        entry.keep_baseline()
        baseline = entry.baseline
        baseline.begin_life(begun_at)
        changed = {
            c.settled.funding_time: c
            for c in baseline.revise(contract.evidence, begun_at, at.applied_by)
        }
        # Those that came before the list said so were published as the earlier contract's.
        its_own = [
            changed.get(settled.funding_time, Change(settled, settled))
            for settled in baseline.since(begun_at)
        ]
        self._store.baseline_changed(entry)
        self._publish(entry, its_own, None, at)
        detail = f"generation {contract.generation}"
        times, raw = (begun_at, begun_at), (at.offset, at.item)
        kind = AuditKind.RELISTED
        self._collector.tell(contract.contract_id, kind, times, 1, detail, raw)

    def state_interval(
        self, entry: ContractEntry, update: RateUpdate, event_time: int, at: ItemContext
    ) -> None:
        """Note the interval that a payload states for the coming funding time."""
        coming, hours = update.next_funding_time, update.interval_hours
        if coming is None or hours is None:
            return
        funding_time = minute_round(coming)
        if entry.contract.evidence.note_stated(hours, funding_time, event_time):
            entry.shard.dirty = True
            if funding_time <= entry.baseline.newest_time():
                self._revise(entry, funding_time, at)

    def _revise(self, entry: ContractEntry, since: int, at: ItemContext) -> None:
        """Judge the settlements from a funding time on anew, and publish what changes."""
        entry.keep_baseline()
        changes = entry.baseline.revise(entry.contract.evidence, since, at.applied_by)
        if changes:
            self._store.baseline_changed(entry)
            self._publish(entry, changes, None, at)

    def apply_settlement(
        self, entry: ContractEntry, update: SettlementUpdate, at: ItemContext
    ) -> None:
        """Add a settled rate to the baseline, and publish what is new or better known by it."""
        entry.shard.dirty = True
        if update.kind == "special":
            self._apply_special(entry, update, at)
            return
        collector, baseline, contract = self._collector, entry.baseline, entry.contract
        funding_time = minute_round(update.funding_time_raw)
        before = baseline.known(funding_time)
        hole = baseline.hole_over(funding_time)
        entry.keep_baseline()
        changes = baseline.add(
            funding_time,
            update.rate,
            update.interval_hours,
            contract.evidence,
            at.applied_by,
            update.source,
        )
        collector.counts["settlement" if changes else "settlement_known"] += 1
        if before is not None and before.rate != update.rate:
            change = f"{before.source} {before.rate!r}, {update.source} {update.rate!r}"
            rates = AuditFacts(rate=update.rate, other_rate=before.rate)
            kind = AuditKind.SETTLEMENT_DIFFERS
            collector.note(update.symbol, kind, funding_time, at, change, rates)
        if update.source != "derived" and (before is None or before.source == "derived"):
            self._monitor.settled(contract, funding_time, update.rate, at)
        if changes or (before is not None and baseline.known(funding_time) != before):
            self._store.baseline_changed(entry)
        if before is None and changes:
            self._tell_holes(entry, funding_time, hole, at)
        self._publish(entry, changes, update, at)

    def _apply_special(
        self, entry: ContractEntry, update: SettlementUpdate, at: ItemContext
    ) -> None:
        """Publish extra funding; it changes no statistics."""
        stamp = update.funding_time_raw
        entry.keep_baseline()
        special = entry.baseline.add_special(stamp, minute_round(stamp), update.rate, at.applied_by)
        self._collector.counts["settlement" if special else "settlement_known"] += 1
        if special is not None:
            self._store.baseline_changed(entry)
            row = special_row(entry.contract, special.funding_time, update, at)
            self._collector.outputs.append(Output(topics.SETTLEMENTS, row["contract_id"], row))

    def publish_corrections(self, entry: ContractEntry, at: ItemContext) -> None:
        """Publish the settlements of stored state that this version judges otherwise."""
        corrections, entry.corrections = entry.corrections, []
        entry.shard.dirty = True
        self._store.baseline_changed(entry)
        self._publish(entry, corrections, None, at)

    def _publish(
        self,
        entry: ContractEntry,
        changes: Iterable[Change],
        update: SettlementUpdate | None,
        at: ItemContext,
    ) -> None:
        """Publish settlements, and count those whose interval was corrected.

        `update`: what the item at hand says; the others follow from it.
        """
        contract, collector = entry.contract, self._collector
        named = None if update is None else minute_round(update.funding_time_raw)
        for settled, before in changes:
            is_named = update is not None and settled.funding_time == named
            raw = update.funding_time_raw if update is not None and is_named else None
            row = settlement_row(contract, settled, raw, at)
            collector.outputs.append(Output(topics.SETTLEMENTS, row["contract_id"], row))
            if before is not None and _is_corrected(settled, before):
                facts = AuditFacts(
                    rate=settled.rate,
                    from_interval_hours=before.interval_hours,
                    to_interval_hours=settled.interval_hours,
                )
                detail = f"{_interval_text(before)} -> {_interval_text(settled)}"
                kind, time_us = AuditKind.SETTLEMENT_CORRECTED, settled.funding_time
                collector.note(contract.symbol, kind, time_us, at, detail, facts)

    def _tell_holes(
        self, entry: ContractEntry, funding_time: int, filled: Hole | None, at: ItemContext
    ) -> None:
        """Tell which settlements are missing around a new one. `filled`: the hole it came into."""
        subject, raw = entry.contract.contract_id, (at.offset, at.item)
        around = entry.baseline.holes_around(funding_time)
        if filled is not None:
            left = sum(hole.missing for hole in around)
            kind, times = AuditKind.SETTLEMENT_FOUND, (filled.since, filled.until)
            self._collector.tell(subject, kind, times, left, "", raw)
            return
        for hole in around:
            kind, times = AuditKind.SETTLEMENT_MISSING, (hole.since, hole.until)
            self._collector.tell(subject, kind, times, hole.missing, "", raw)


def _published(contract: ContractState) -> tuple[object, ...] | None:
    """Return the facts whose change is published at once; None: they never were published.

    Of liquidity only whether it is known: how it is published by itself says `MarketFacts`.
    """
    facts = contract.facts
    if not facts.published_at:
        return None
    return (
        contract.state,
        facts.status_word,
        *(getattr(contract, field) for field in _LISTED_FIELDS),
        contract.listed_interval_hours,
        contract.listed_at,
        facts.turnover_24h is None,
        facts.open_interest is None,
    )


def _interval_text(settled: Settled) -> str:
    """Return the interval of a settlement for people: `8 h (observed, in doubt)`."""
    doubt = ", in doubt" if settled.doubtful else ""
    return f"{settled.interval_hours:g} h ({settled.interval_source}{doubt})"


def _is_corrected(settled: Settled, before: Settled) -> bool:
    """Tell whether better evidence changed what was believed; an assumption was not."""
    if before.interval_source == "assumed":
        return False
    hours_differ = settled.interval_hours != before.interval_hours
    return hours_differ or settled.doubtful != before.doubtful


def _new_life(
    contract: ContractState, facts: InstrumentUpdate, settled_until: int, received_at: int
) -> int | None:
    """Return since when (µs) a ticker is another contract's, by new facts; None: it is not.

    Either the exchange says that its trading began after all that is known of the contract, or it
    had been delisted and is listed again.
    """
    listed_at = facts.listed_at
    if listed_at is not None and listed_at > received_at + MAX_LISTED_AHEAD_US:
        return None
    if listed_at is not None and _is_another(contract, listed_at, settled_until):
        return listed_at
    if contract.status != ContractStatus.DELISTED or not contract.status_since:
        return None
    if facts.status in (None, ContractStatus.DELISTED):
        return None
    lasted_us = received_at - contract.status_since
    return received_at if lasted_us >= MIN_DELISTED_US else None


def _is_another(contract: ContractState, listed_at: int, settled_until: int) -> bool:
    """Tell whether a date of listing (µs) can only be that of another contract."""
    before = contract.listed_at
    if listed_at == before:
        return False
    newest = max(contract.event_time, settled_until)
    if contract.status == ContractStatus.DELISTED and contract.status_since:
        # The stream may bring the next contract's rates before the list dates its begin.
        newest = min(newest, contract.status_since)
    if 0 < newest < listed_at:
        return True
    # The same, where the end of the earlier one was never listed.
    is_later = before is not None and before < listed_at
    return is_later and 0 < settled_until < listed_at - US_PER_DAY


def derived_settlement(
    contract: ContractState, event_time: int, feed: FeedSpec
) -> SettlementUpdate | None:
    """Return the settlement that an update shows to have happened since the one before it.

    For feeds whose settlements come late (`derive_settlements`): the last estimate before the
    funding time stands in for the settled rate, rounded as the exchange rounds
    (docs/decisions/estimates-and-settlements.md). None if no funding time lies between, or if the
    last estimate was stale by then: the exchange's history tells better what was charged.
    """
    funding_time = contract.next_funding_time
    if (
        contract.updates == 0
        or not contract.state.scored
        or funding_time is None
        or event_time < funding_time
    ):
        return None
    if not 0 <= funding_time - contract.event_time <= feed.stale_s * US_PER_S:
        return None
    decimals = feed.settled_decimals
    rate = contract.rate if decimals is None else rounded(contract.rate, decimals)
    return SettlementUpdate(contract.symbol, funding_time, rate, "derived")


def rounded(rate: float, decimals: int) -> float:
    """Return a rate rounded in decimal, as an exchange does, which has no binary fractions.

    Half goes to even; no source shows what an exchange does with a half.
    """
    exact = Decimal(repr(rate)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN)
    return float(exact) + 0.0  # turns a negative zero into zero
