"""MEXC futures: USDT, USDC, USD1 and coin-margined perpetuals (docs/exchanges/mexc.md)."""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

FEED = FeedSpec(
    "mexc",
    description="producers.exchanges.mexc",
    normaliser="stream_app.normalise.mexc",
    simulator="infra.simulator.mexc.exchange",
    # The stream pushes a rate that changes; one that does not comes by REST (§1).
    stale_s=330.0,
    cadence_s=60.0,
    missed_after_s=330.0,
    statuses={
        "0": ContractStatus.TRADING,
        "2": ContractStatus.DELISTED,
        "3": ContractStatus.DELISTED,
    },
    # History is asked for contract by contract (§4b); what is charged may differ a little (§3).
    derive_settlements=True,
    # Some 2,000 pages at half of the limit (§4b).
    first_history_min=7,
)
