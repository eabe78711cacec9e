"""Bitget futures: USDT, USDC and coin-margined perpetuals (docs/exchanges/bitget.md)."""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "bitget",
    description="producers.exchanges.bitget",
    normaliser="stream_app.normalise.bitget",
    simulator="infra.simulator.bitget.exchange",
    # How slowly a quiet contract is pushed is not known (§1).
    stale_s=60.0,
    cadence_s=1.0,
    perpetuals=863,
    missed_after_s=5.0,
    statuses={
        "normal": ContractStatus.TRADING,
        "listed": ContractStatus.PRE_LAUNCH,
        "off": ContractStatus.DELISTED,
    },
    # The last estimate before the instant is what history records (§3).
    derive_settlements=True,
    # An active contract is pushed every 0.1 s (§1).
    thinned=True,
)
