"""Bybit perpetuals, linear and inverse (docs/exchanges/bybit.md)."""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "bybit",
    description="producers.exchanges.bybit",
    normaliser="stream_app.normalise.bybit",
    simulator="infra.simulator.bybit.exchange",
    # Only what has changed is pushed; a contract that says nothing comes by REST (§1).
    stale_s=420.0,
    cadence_s=1.0,
    perpetuals=688,
    missed_after_s=420.0,
    pushes_changes=True,
    statuses={
        "PreLaunch": ContractStatus.PRE_LAUNCH,
        "Trading": ContractStatus.TRADING,
        "Settling": ContractStatus.SETTLING,
        "Closed": ContractStatus.DELISTED,
    },
    # The stream has no settled rates, and history has them late (§4b).
    derive_settlements=True,
    # Each change is pushed within 100 ms (§1).
    thinned=True,
)
