"""Lighter perpetuals (docs/exchanges/lighter.md)."""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec, RateKind

FEED = FeedSpec(
    "lighter",
    description="producers.exchanges.lighter",
    normaliser="stream_app.normalise.lighter",
    simulator="infra.simulator.lighter.exchange",
    # A market is pushed when something of it changes; whether quiet ones are left out for long is
    # not known (§6). REST fills in well before.
    stale_s=300.0,
    cadence_s=1.0,
    perpetuals=150,
    missed_after_s=300.0,
    pushes_changes=True,
    statuses={"active": ContractStatus.TRADING, "inactive": ContractStatus.DELISTED},
    # The stream names a settlement, but only with the next push of its market (§6).
    derive_settlements=True,
    first_history_min=10,
    rate_kind=RateKind.HOURLY_PERCENT_ESTIMATE,
    thinned=True,
)
