"""What faults must know of Backpack's texts, and how its REST refuses a call.

The fields are those of docs/exchanges/backpack.md §2 and §4.
"""

from __future__ import annotations

import json

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.wire_fields import Wire

WIRE = Wire(
    event=("E", "T"),
    funding=("n", "nextFundingTimestamp"),
    rate=("f", "fundingRate"),
    symbol='"s":"([^"]+)"',
    current="markPrices",
    halts={"PostOnly": True, "LimitOnly": True, "CancelOnly": True, "Closed": False},
    bad_fields={
        "mark-price": ("p|markPrice", '"?"'),
        "index-price": ("i|indexPrice", '"-"'),
        "funding-time": ("n|nextFundingTimestamp", "17"),
    },
    optional=(
        "i",
        "indexPrice",
        "fundingRateUpperBound",
        "fundingRateLowerBound",
        "createdAt",
        "rwaMarketType",
    ),
)


def refusal(status: int) -> RestReply | None:
    """Refuse a call as the exchange does; None: its words for this status are not known."""
    if status != 429:
        return None
    return RestReply(b'{"code":"TOO_MANY_REQUESTS","message":"Too many requests"}', 429)


def maintenance(call: RestCall) -> RestReply | None:
    """Answer a call for the exchange's state during maintenance; None: it is another call."""
    if call.path != "/api/v1/status":
        return None
    return RestReply(
        json.dumps({"message": "System maintenance", "status": "Maintenance"}).encode()
    )
