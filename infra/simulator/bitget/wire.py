"""What faults must know of Bitget's texts, and how its REST refuses a call.

The fields are those of docs/exchanges/bitget.md §2 and §4.
"""

from __future__ import annotations

import json

from infra.simulator.exchange import RestReply
from infra.simulator.wire_fields import Wire

WIRE = Wire(
    event=("ts",),
    funding=("nextFundingTime", "nextUpdate", "fundingTime"),
    rate=("fundingRate",),
    symbol='"(?:instId|symbol)":"([^"]+)"',
    current="current-fund-rate",
    halts={"maintain": False, "limit_open": True, "restrictedAPI": True},
    bad_fields={
        "mark-price": ("markPrice", '"?"'),
        "index-price": ("indexPrice", '"-"'),
        "interval": ("fundInterval|fundingRateInterval", '"1234"'),
    },
    optional=(
        *("indexPrice", "openUtc", "bidSz", "askSz", "minFundingRate", "maxFundingRate"),
        *("launchTime", "isRwa", "maintainTime"),
    ),
)


def refusal(status: int) -> RestReply | None:
    """Refuse a call as the exchange does; None: its words for this status are not known."""
    if status != 429:
        return None
    return failure("429", "Too Many Requests", status)


def failure(code: str, message: str, status: int = 400) -> RestReply:
    """Return an error as the exchange words it (§4)."""
    return RestReply(json.dumps({"code": code, "msg": message, "data": None}).encode(), status)
