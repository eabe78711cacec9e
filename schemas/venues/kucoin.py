"""KuCoin Futures (docs/exchanges/kucoin.md)."""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "kucoin",
    description="producers.exchanges.kucoin",
    normaliser="stream_app.normalise.kucoin",
    simulator="infra.simulator.kucoin.exchange",
    stale_s=150.0,
    cadence_s=60.0,
    perpetuals=682,
    missed_after_s=90.0,
    statuses={
        "Init": ContractStatus.PRE_LAUNCH,
        "Open": ContractStatus.TRADING,
        # A contract that settles its funding still streams (§5a).
        "BeingSettled": ContractStatus.SETTLING,
        "Settled": ContractStatus.DELISTED,
        "Closed": ContractStatus.DELISTED,
    },
    # Old and new values mix for so long after a settlement (§3).
    settling_s=90.0,
)
