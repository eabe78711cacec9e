"""From a contract's newest update to a ZScore record. Pure.

Not responsible for: when (zones.py decides), state (store.py), alerts (alerts.py).
"""

from __future__ import annotations

from typing import NamedTuple, Self

from schemas.rates import apr, rate_8h
from schemas.records import Trigger, ZScore
from stream_app.core.scoring.statistics import z_of
from stream_app.core.scoring.zones import crossed_between, trigger_of, zone_of
from stream_app.core.state.contract_store import ContractEntry


class Emission(NamedTuple):
    """A decision to emit a contract's newest update."""

    entry: ContractEntry
    z: float | None
    trigger: Trigger
    crossed: float | None

    @classmethod
    def at_once(cls, entry: ContractEntry, z: float | None, *, rate_changed: bool) -> Self | None:
        """Return the emission that an update calls for at once; None if the flush has time."""
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
        return None if trigger is None else cls(entry, z, trigger, crossed)

    @classmethod
    def flush(cls, entry: ContractEntry) -> Self:
        """Return the emission of a contract's newest update by the flush."""
        contract = entry.contract
        # The baseline may have moved since the update was judged.
        entry.refresh(contract.event_time)
        z = z_of(rate_8h(contract.rate, contract.interval_hours), entry.stats)
        return cls(entry, z, "flush", crossed_between(contract.emitted_z, z))


def zscore_of(
    emission: Emission, feed: str, raw_topic: str, raw_partition: int, now_us: int
) -> ZScore:
    """Return the record of an emission."""
    contract, stats = emission.entry.contract, emission.entry.stats
    scaled = rate_8h(contract.rate, contract.interval_hours)
    scored = emission.entry.baseline.score(scaled, stats)
    return {
        "contract_id": contract.contract_id,
        "feed": feed,
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
        "trigger": emission.trigger,
        "crossed": emission.crossed,
        "mark_price": contract.mark_price,
        "next_funding_time": contract.next_funding_time,
        "event_time": contract.event_time,
        "received_at": contract.received_at,
        "computed_at": now_us,
        "transport": contract.transport,
        "raw_topic": raw_topic,
        "raw_partition": raw_partition,
        "raw_offset": contract.raw_offset,
        "raw_item": contract.raw_item,
    }
