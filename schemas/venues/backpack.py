"""Backpack perpetuals (docs/exchanges/backpack.md)."""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "backpack",
    description="producers.exchanges.backpack",
    normaliser="stream_app.normalise.backpack",
    simulator="infra.simulator.backpack.exchange",
    stale_s=10.0,
    cadence_s=1.0,
    perpetuals=91,
    missed_after_s=1.5,
    # In the other states of the book orders are restricted, and funding may go on (§4c).
    statuses={"Open": ContractStatus.TRADING},
    # History has settled rates late, and rounded (§4b).
    derive_settlements=True,
    settled_decimals=9,
)
