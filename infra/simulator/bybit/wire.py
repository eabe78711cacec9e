"""What faults must know of Bybit's texts, and how its REST refuses a call (bybit.md §2, §4)."""

from __future__ import annotations

from infra.simulator.exchange import RestReply
from infra.simulator.wire_fields import Wire

WIRE = Wire(
    event=("ts", "time"),
    funding=("nextFundingTime", "fundingRateTimestamp"),
    rate=("fundingRate",),
    symbol='"symbol":"([^"]+)"',
    current="market/tickers",
    halts={"Delivering": False, "Settling": True},
    bad_fields={
        "mark-price": ("markPrice", '"?"'),
        "index-price": ("indexPrice", '"-"'),
        "funding-time": ("nextFundingTime", "17"),
    },
    optional=("cs", "fundingCap", "preOpenPrice", "preQty", "launchTime", "curPreListingPhase"),
)
TOO_FREQUENT = RestReply(b"403, access too frequent", 403, {}, "text/plain")


def refusal(status: int) -> RestReply | None:
    """Refuse a call as the exchange does; None: its words for this status are not known."""
    return TOO_FREQUENT if status == 403 else None
