"""Binance USD-M futures (docs/exchanges/binance-usdm.md)."""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "binance-usdm",
    description="producers.exchanges.binance_usdm",
    normaliser="stream_app.normalise.binance_usdm",
    simulator="infra.simulator.binance.usdm",
    stale_s=10.0,
    cadence_s=1.0,
    missed_after_s=1.5,
    statuses={
        "TRADING": ContractStatus.TRADING,
        "PENDING_TRADING": ContractStatus.PRE_LAUNCH,
        "SETTLING": ContractStatus.DELISTED,
        "DELIVERING": ContractStatus.DELISTED,
        "DELIVERED": ContractStatus.DELISTED,
        "DELISTING": ContractStatus.DELISTED,
        "CLOSE": ContractStatus.DELISTED,
    },
)
