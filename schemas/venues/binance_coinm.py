"""Binance COIN-M futures (docs/exchanges/binance-coinm.md)."""

from __future__ import annotations

from schemas.feed_spec import FeedSpec
from schemas.venues.binance import LIMITS_GROUP, STATUSES

FEED = FeedSpec(
    "binance-coinm",
    description="producers.exchanges.binance_coinm",
    normaliser="stream_app.normalise.binance_coinm",
    simulator="infra.simulator.binance.coinm",
    stale_s=10.0,
    cadence_s=1.0,
    perpetuals=30,
    missed_after_s=1.5,
    statuses=STATUSES,
    limits_group=LIMITS_GROUP,
    # History has a settlement minutes after the hour (§6b).
    derive_settlements=True,
)
