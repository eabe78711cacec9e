"""Pacifica perpetuals (docs/exchanges/pacifica.md)."""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec, RateKind

FEED = FeedSpec(
    "pacifica",
    description="producers.exchanges.pacifica",
    normaliser="stream_app.normalise.pacifica",
    simulator="infra.simulator.pacifica.exchange",
    # Symbols are pushed "as they update": how often that is is not known (§6). REST fills in well
    # before.
    stale_s=300.0,
    cadence_s=1.0,
    perpetuals=60,
    missed_after_s=300.0,
    pushes_changes=True,
    # The list names no state: what is in it trades, and this is the normaliser's word for it (§8).
    statuses={"trading": ContractStatus.TRADING},
    # The last settled rate stands in the stream without its time (§6).
    derive_settlements=True,
    first_history_min=12,
    rate_kind=RateKind.HOURLY_ESTIMATE,
    thinned=True,
)
