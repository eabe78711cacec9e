"""What rates are scored by: settled rates, which make the baseline, and facts about instruments.

Both change how later rates of a contract are judged, so its entry is marked as changed.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from schemas import topics
from schemas.feed_spec import FeedSpec
from schemas.times import US_PER_S, minute_round
from stream_app.core.monitoring.stream_monitor import StreamMonitor
from stream_app.core.output.collector import OutputCollector
from stream_app.core.output.outputs import Output, settlement_row
from stream_app.core.state.contract_state import DEFAULT_INTERVAL_HOURS, ContractState
from stream_app.core.state.contract_store import ContractEntry, ContractStore
from stream_app.core.state.item_context import ItemContext
from stream_app.model import InstrumentUpdate, SettlementUpdate

_FIELDS = ("base", "quote", "multiplier", "status", "rate_cap", "rate_floor")


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
        if facts.status is not None and facts.status != contract.status:
            change = f"{contract.status or 'unknown'} -> {facts.status}"
            self._collector.note(facts.symbol, "status_change", at.received_at, at, change)
            self._monitor.status_changed(entry, facts.status, at)
        for field in _FIELDS:
            value = getattr(facts, field)
            if value is not None:
                setattr(contract, field, value)
        if facts.interval_hours is not None:
            contract.listed_interval_hours = facts.interval_hours
        entry.changed()
        self._collector.counts["facts"] += 1

    def apply_settlement(
        self, entry: ContractEntry, update: SettlementUpdate, at: ItemContext
    ) -> None:
        """Add a settled rate to the baseline, and publish what is new or better known by it."""
        entry.shard.dirty = True
        collector, baseline = self._collector, entry.baseline
        funding_time = minute_round(update.funding_time_raw)
        before = baseline.known(funding_time)
        new = baseline.add(
            funding_time,
            update.rate,
            update.interval_hours,
            entry.contract.listed_interval_hours or DEFAULT_INTERVAL_HOURS,
            at.applied_by,
            update.source,
        )
        collector.counts["settlement" if new else "settlement_known"] += 1
        if before is not None and before.rate != update.rate:
            change = f"{before.source} {before.rate!r}, {update.source} {update.rate!r}"
            collector.note(update.symbol, "settlement_differs", funding_time, at, change)
        if update.source != "derived" and (before is None or before.source == "derived"):
            self._monitor.settled(entry.contract, funding_time, update.rate, at)
        if new or (before is not None and baseline.known(funding_time) != before):
            self._store.baseline_changed(entry)
        for settled in new:
            raw = update.funding_time_raw if settled.funding_time == funding_time else None
            row = settlement_row(entry.contract, settled, raw, at)
            collector.outputs.append(Output(topics.SETTLEMENTS, row["contract_id"], row))


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
    if contract.updates == 0 or funding_time is None or event_time < funding_time:
        return None
    if not 0 <= funding_time - contract.event_time <= feed.stale_s * US_PER_S:
        return None
    decimals = feed.settled_decimals
    rate = contract.rate if decimals is None else rounded(contract.rate, decimals)
    return SettlementUpdate(contract.symbol, funding_time, rate, "derived", contract.interval_hours)


def rounded(rate: float, decimals: int) -> float:
    """Return a rate rounded in decimal, as an exchange does, which has no binary fractions.

    Half goes to even; no source shows what an exchange does with a half.
    """
    exact = Decimal(repr(rate)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN)
    return float(exact) + 0.0  # turns a negative zero into zero
