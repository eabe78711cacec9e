"""OKX perpetual swaps (docs/exchanges/okx.md)."""

from __future__ import annotations

from schemas.asset_names import AssetNames, Meant
from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "okx",
    description="producers.exchanges.okx",
    normaliser="stream_app.normalise.okx",
    simulator="infra.simulator.okx.exchange",
    # Each contract is pushed every 30 to 90 s (§1).
    stale_s=180.0,
    cadence_s=60.0,
    perpetuals=482,
    missed_after_s=100.0,
    statuses={
        "live": ContractStatus.TRADING,
        "preopen": ContractStatus.PRE_LAUNCH,
        "expired": ContractStatus.DELISTED,
    },
    # Its shares go by their tickers, of which these two are coins on every other exchange (§3).
    assets=AssetNames(
        {
            "BB": Meant(
                "BLACKBERRY", 1.0, "the share since 2026-06-01 (OKX's notice); BB is BounceBit"
            ),
            "QNT": Meant(
                "QUANTINUUM", 1.0, "the share since 2026-06-05 (OKX's notice); QNT is Quant"
            ),
        }
    ),
)
