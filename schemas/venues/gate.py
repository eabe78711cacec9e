"""Gate perpetuals (docs/exchanges/gate.md)."""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "gate",
    description="producers.exchanges.gate",
    normaliser="stream_app.normalise.gate",
    simulator="infra.simulator.gate.exchange",
    # Contracts are pushed when something changes: a quiet one may say nothing for minutes (§5).
    stale_s=600.0,
    cadence_s=1.0,
    perpetuals=1023,
    missed_after_s=600.0,
    pushes_changes=True,
    # A contract that is being delisted can still be closed, and pays funding until then (§8).
    statuses={
        "trading": ContractStatus.TRADING,
        "prelaunch": ContractStatus.PRE_LAUNCH,
        "delisting": ContractStatus.HALTED,
        "circuit_breaker": ContractStatus.HALTED,
        "delisted": ContractStatus.DELISTED,
    },
    # Settled rates are asked for contract by contract (§9b).
    derive_settlements=True,
    # For about a minute the settled rate stands in the place of the estimate (§7).
    settling_s=75.0,
)

IN_DELISTING = {"trading": "delisting"}
"""The word for a contract that is marked as being delisted, by its own one; any other word stays
(§8)."""
