"""Binance USD-M futures (docs/exchanges/binance-usdm.md)."""

from __future__ import annotations

from schemas.feed_spec import FeedSpec
from schemas.venues.binance import LIMITS_GROUP, STATUSES

FEED = FeedSpec(
    "binance-usdm",
    description="producers.exchanges.binance_usdm",
    normaliser="stream_app.normalise.binance_usdm",
    simulator="infra.simulator.binance.usdm",
    stale_s=10.0,
    cadence_s=1.0,
    perpetuals=745,
    missed_after_s=1.5,
    statuses=STATUSES,
    limits_group=LIMITS_GROUP,
)
