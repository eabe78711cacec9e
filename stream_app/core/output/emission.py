"""What a partition publishes of its contracts' current rates: z-scores, alerts and closed bars.

z-scores are emitted at once where a trigger calls for it (scoring/zones.py), and otherwise by the
flush at a boundary of 5 s. Alerts that are held back are counted in the audit.
"""

from __future__ import annotations

from schemas import topics
from schemas.audit_facts import AuditCause, AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.rates import apr, rate_8h
from schemas.records import HourlyBar, Trigger, ZScore
from stream_app.core.output.alerts import crossing_alert, flip_alert
from stream_app.core.output.collector import OutputCollector
from stream_app.core.output.outputs import Output, bar_row
from stream_app.core.scoring.statistics import UNRATED, z_of
from stream_app.core.scoring.zones import crossed_between, sign_of, trigger_of, zone_of
from stream_app.core.state.bars import ClosedBar
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.contract_store import ContractEntry
from stream_app.core.state.item_context import ItemContext


class Emitter:
    """Publishes z-scores, alerts and bars of one partition's contracts into the collector."""

    def __init__(self, collector: OutputCollector, stale_us: int) -> None:
        """`stale_us`: how long a rate of the feed holds (µs)."""
        self._collector = collector
        self._stale_us = stale_us
        self.closed_bars: list[HourlyBar] = []
        """Bars closed since they were last taken, for the table of bars."""

    def emit_if_due(
        self, entry: ContractEntry, z: float | None, now_us: int, *, rate_changed: bool
    ) -> None:
        """Emit a contract's newest update now if something triggers that; else the flush will.

        `rate_changed`: the update has another rate than the one before it.
        """
        contract = entry.contract
        first = contract.emitted_updates == 0
        crossed = None if first else crossed_between(contract.emitted_z, z)
        trigger = trigger_of(
            first=first,
            rate_changed=rate_changed,
            emitted_rate=contract.emitted_rate,
            rate=contract.rate,
            z=z,
            crossed=crossed,
        )
        if trigger is not None:
            self._emit(entry, z, trigger, crossed, now_us)

    def flush(self, entry: ContractEntry, now_us: int) -> None:
        """Emit a contract's newest update at a flush boundary, if it was not emitted yet."""
        contract = entry.contract
        if not contract.owes:
            return
        # The baseline may have moved since the update was judged.
        entry.refresh(contract.event_time)
        z = None if contract.interval_doubtful else z_of(current_8h(contract), entry.stats)
        self._emit(entry, z, "flush", crossed_between(contract.emitted_z, z), now_us)
        entry.shard.dirty = True

    def _emit(
        self,
        entry: ContractEntry,
        z: float | None,
        trigger: Trigger,
        crossed: float | None,
        now_us: int,
    ) -> None:
        contract, collector = entry.contract, self._collector
        record = zscore_of(entry, trigger, crossed, now_us, collector)
        collector.outputs.append(Output(topics.ZSCORES, contract.contract_id, record))
        collector.counts["emitted"] += 1
        contract.emitted_updates = contract.updates
        contract.emitted_rate = contract.rate
        contract.emitted_z = z

    def alert(self, contract: ContractState, z: float | None, at: ItemContext) -> None:
        """Raise the alerts that a contract's current update calls for. `z` None: none of z.

        None at all while the interval is in doubt: each of them says the rate by its scale.
        """
        if contract.interval_doubtful:
            return
        self._alert_of_sign(contract, at)
        crossing = None if z is None else contract.alerts.cross(z, contract.event_time)
        if z is None or crossing is None:
            return
        for threshold in crossing.held_back:
            detail = f"z {z:+.2f}, threshold {threshold:+g}"
            self._hold_back(contract, AuditCause.Z_CROSS, detail, at)
        if crossing.told is not None:
            self._collector.alert(crossing_alert(contract, z, crossing.told, at))

    def _alert_of_sign(self, contract: ContractState, at: ItemContext) -> None:
        sign = sign_of(current_8h(contract))
        if contract.sign == 0:
            contract.sign = sign
            return
        told = contract.alerts.flip(contract.sign, sign, contract.event_time)
        if told:
            contract.sign = -contract.sign
            self._collector.alert(flip_alert(contract, at))
        elif told is False:
            self._hold_back(contract, AuditCause.SIGN_FLIP, f"sign of {contract.rate!r}", at)

    def _hold_back(
        self, contract: ContractState, cause: AuditCause, detail: str, at: ItemContext
    ) -> None:
        kind, event_time = AuditKind.ALERT_HELD_BACK, contract.event_time
        facts = AuditFacts(cause=cause)
        self._collector.note(contract.symbol, kind, event_time, at, detail, facts)

    def settle_bars(self, entry: ContractEntry) -> None:
        """Put the updates that are final into bars, and publish the bars that this closes."""
        for bar in entry.contract.bars.settle(self._stale_us):
            self._publish_bar(entry, bar)

    def close_silent_bars(self, entry: ContractEntry, boundary: int) -> None:
        """Publish the bars that a flush boundary (µs) closes although no update has come."""
        for bar in entry.contract.bars.close_silent(boundary, self._stale_us):
            self._publish_bar(entry, bar)

    def _publish_bar(self, entry: ContractEntry, bar: ClosedBar) -> None:
        collector = self._collector
        collector.counts["bar"] += 1
        entry.shard.dirty = True
        row = bar_row(entry.contract, collector.feed, bar)
        collector.outputs.append(Output(topics.BARS, row["contract_id"], row))
        self.closed_bars.append(row)

    def take_closed_bars(self) -> list[HourlyBar]:
        """Return and forget the bars that were closed."""
        taken, self.closed_bars = self.closed_bars, []
        return taken


def current_8h(contract: ContractState) -> float:
    """Return the current rate of a contract per 8 h."""
    return rate_8h(contract.rate, contract.interval_hours)


def zscore_of(
    entry: ContractEntry,
    trigger: Trigger,
    crossed: float | None,
    now_us: int,
    collector: OutputCollector,
) -> ZScore:
    """Return the z-score record of a contract's current rate."""
    contract, stats = entry.contract, entry.stats
    scaled = current_8h(contract)
    scored = UNRATED if contract.interval_doubtful else entry.baseline.score(scaled, stats)
    return {
        "contract_id": contract.contract_id,
        "feed": collector.feed,
        "symbol": contract.symbol,
        "base": contract.base,
        "rate": contract.rate,
        "interval_hours": contract.interval_hours,
        "rate_8h": scaled,
        "apr": apr(contract.rate, contract.interval_hours),
        "z": scored.z,
        "robust_z": scored.robust_z,
        "percentile": scored.percentile,
        "mean": stats.mean if stats else None,
        "std": stats.std if stats else None,
        "samples": stats.samples if stats else 0,
        "confidence": stats.confidence if stats else "none",
        "stats_as_of": stats.as_of if stats else None,
        "zone": zone_of(scored.z),
        "trigger": trigger,
        "crossed": crossed,
        "mark_price": contract.mark_price,
        "next_funding_time": contract.next_funding_time,
        "event_time": contract.event_time,
        "received_at": contract.received_at,
        "computed_at": now_us,
        "transport": contract.transport,
        "interval_source": contract.interval_source,
        "interval_doubtful": contract.interval_doubtful,
        "generation": contract.generation_at(contract.event_time),
        "rate_kind": collector.rate_kind,
        "quote": contract.quote,
        "multiplier": contract.multiplier,
        "raw_topic": collector.topic,
        "raw_partition": collector.partition,
        "raw_offset": contract.raw_offset,
        "raw_item": contract.raw_item,
    }
