"""Backpack perpetuals (docs/exchanges/backpack.md)."""

from __future__ import annotations

from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "backpack",
    description="producers.exchanges.backpack",
    normaliser="stream_app.normalise.backpack",
    simulator="infra.simulator.backpack.exchange",
    stale_s=10.0,
    cadence_s=1.0,
    missed_after_s=1.5,
    trading_statuses=frozenset({"Open"}),
    # History has settled rates late, and rounded (§4b).
    derive_settlements=True,
    settled_decimals=9,
)
