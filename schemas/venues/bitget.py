"""Bitget futures: USDT, USDC and coin-margined perpetuals (docs/exchanges/bitget.md)."""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "bitget",
    description="producers.exchanges.bitget",
    normaliser="stream_app.normalise.bitget",
    simulator="infra.simulator.bitget.exchange",
    # Contracts are said to be pushed on change, and were seen to be pushed all the time (§1).
    stale_s=600.0,
    cadence_s=1.0,
    perpetuals=863,
    missed_after_s=100.0,
    pushes_changes=True,
    statuses={
        "normal": ContractStatus.TRADING,
        "listed": ContractStatus.PRE_LAUNCH,
        "off": ContractStatus.DELISTED,
    },
    # The last estimate before the instant is what history records (§3).
    derive_settlements=True,
    # A contract is pushed every 0.1 s (§1).
    thinned=True,
)
