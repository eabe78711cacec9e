"""What faults must know of Aster's texts: the fields of docs/exchanges/aster.md §6 and §9."""

from __future__ import annotations

from dataclasses import replace

from infra.simulator.binance.wire import USDM_WIRE

WIRE = replace(
    USDM_WIRE,
    event=("E", "time", "serverTime", "closeTime", "openTime"),
    halts={"PENDING_TRADING": False, "SETTLING": False},
    optional=(
        "P", "estimatedSettlePrice", "interestRate", "onboardDate", "underlyingType",
        "fundingFeeCap", "fundingFeeFloor", "quoteVolume",
    ),
    own_kinds=frozenset(),
)  # fmt: skip
