"""WhiteBIT perpetuals (docs/exchanges/whitebit.md)."""

from __future__ import annotations

from schemas.asset_names import AssetNames, Meant
from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "whitebit",
    description="producers.exchanges.whitebit",
    normaliser="stream_app.normalise.whitebit",
    simulator="infra.simulator.whitebit.exchange",
    stale_s=10.0,
    # All contracts are pushed every 0.5 s, and the first of each second is published (§1).
    cadence_s=1.0,
    perpetuals=397,
    missed_after_s=1.7,
    # The list has no states: what is in it trades (§4c). This is the normaliser's word.
    statuses={"listed": ContractStatus.TRADING},
    # Settled rates are asked for contract by contract (§4b).
    derive_settlements=True,
    thinned=True,
    assets=AssetNames({"CAT": Meant("CATERPILLAR", 1.0, "the share; CAT is a coin (§3)")}),
)
