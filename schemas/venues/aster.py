"""Aster perpetuals (docs/exchanges/aster.md)."""

from __future__ import annotations

from schemas.feed_spec import FeedSpec
from schemas.venues.binance import STATUSES

FEED = FeedSpec(
    "aster",
    description="producers.exchanges.aster",
    normaliser="stream_app.normalise.aster",
    simulator="infra.simulator.aster.exchange",
    stale_s=10.0,
    cadence_s=1.0,
    perpetuals=480,
    missed_after_s=1.5,
    statuses=STATUSES,
)
