"""dYdX v4 perpetuals, as its indexer shows them (docs/exchanges/dydx.md)."""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec, RateKind

FEED = FeedSpec(
    "dydx",
    description="producers.exchanges.dydx",
    normaliser="stream_app.normalise.dydx",
    simulator="infra.simulator.dydx.exchange",
    # Only what has changed is pushed, and a market that nobody trades changes rarely (§1).
    stale_s=300.0,
    cadence_s=30.0,
    perpetuals=250,
    missed_after_s=300.0,
    pushes_changes=True,
    # Funding is paid on active markets alone (§3); any other word is a halted one.
    statuses={
        "ACTIVE": ContractStatus.TRADING,
        "INITIALIZING": ContractStatus.PRE_LAUNCH,
        "FINAL_SETTLEMENT": ContractStatus.DELISTED,
    },
    # Settled rates are asked for market by market (§4b), and are coarser than estimates (§3).
    derive_settlements=True,
    settled_decimals=9,
    # The estimate is computed every 30 s: so long that of the hour before may still be shown (§3).
    settling_s=45.0,
    timeless=True,
    rate_kind=RateKind.HOURLY_ESTIMATE,
)


def has_price(oracle_price: object) -> bool:
    """Tell whether a market has an oracle price: null, an empty text and 0 are none (§3).

    What cannot be read is not known to be none.
    """
    if not isinstance(oracle_price, str):
        return oracle_price is not None and (isinstance(oracle_price, bool) or oracle_price != 0)
    try:
        return float(oracle_price or "0") != 0
    except ValueError:
        return True


def status_of(word: str | None, oracle_price: object) -> ContractStatus:
    """Return the state of a market: one without an oracle price does not trade (§3)."""
    return FEED.status_of(word if has_price(oracle_price) else None)
