"""What both Binance futures markets share (docs/exchanges/binance-usdm.md, binance-coinm.md)."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.contract_status import ContractStatus

LIMITS_GROUP = "binance"
"""USD-M and COIN-M draw on one pool (docs/exchanges/binance-usdm.md §9)."""
STATUSES: Mapping[str, ContractStatus] = {
    "TRADING": ContractStatus.TRADING,
    "PENDING_TRADING": ContractStatus.PRE_LAUNCH,
    "SETTLING": ContractStatus.DELISTED,
    "DELIVERING": ContractStatus.DELISTED,
    "DELIVERED": ContractStatus.DELISTED,
    "DELISTING": ContractStatus.DELISTED,
    "CLOSE": ContractStatus.DELISTED,
}
"""`status` of USD-M and `contractStatus` of COIN-M."""
