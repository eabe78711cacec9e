"""What faults must know of the texts of both Binance feeds, and how their REST refuses a call.

The fields are those of docs/exchanges/binance-usdm.md §6 and §9 and of binance-coinm.md §4 and §6.
"""

from __future__ import annotations

import json
from dataclasses import replace

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.wire_fields import Wire

USDM_WIRE = Wire(
    event=("E", "time", "serverTime"),
    funding=("T", "nextFundingTime"),
    rate=("r", "lastFundingRate"),
    symbol='"s":"([^"]+)"',
    current="premiumIndex",
    # Which of the documented states a halted contract has is not known.
    halts={"PENDING_TRADING": False, "SETTLING": False},
    bad_fields={
        "mark-price": ("p|markPrice", '"?"'),
        "index-price": ("i|indexPrice", '"-"'),
        "funding-time": ("T|nextFundingTime", "17"),
    },
    optional=(
        "ap", "st", "P", "estimatedSettlePrice", "interestRate", "disclaimer", "onboardDate",
        "underlyingType", "adjustedFundingRateCap", "adjustedFundingRateFloor",
    ),
    unknown_event='{"e":"@event@","E":@ms@}',
    own_kinds=frozenset({"special-settlement", "zombie"}),
)  # fmt: skip

COINM_WIRE = replace(
    USDM_WIRE,
    halts={"PRE_DELISTING": False, "PENDING_TRADING": False, "DOWN": False},
    own_kinds=USDM_WIRE.own_kinds - {"special-settlement"},
)

_SHORTEST_BAN_S = 120
_MAINTENANCE = b'{"code":-1016,"msg":"This service is no longer available."}'


def refusal(call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
    """Refuse a call as the exchange does; None: its words for this status are not known."""
    headers = {"X-MBX-USED-WEIGHT-1M": "2401"}
    if status == 503:
        return RestReply(_MAINTENANCE, status, headers)
    advice = "Please use the websocket for live updates to avoid"
    if status == 429:
        message = (
            f"Too many requests; current limit of IP({call.client_ip}) is 2400 requests per "
            f"minute. {advice} polling the API."
        )
    elif status == 418:
        until_ms = call.now_ms + (retry_after_s or _SHORTEST_BAN_S) * 1_000
        message = (
            f"Way too many requests; IP({call.client_ip}) banned until {until_ms}. {advice} bans."
        )
    else:
        return None
    body = json.dumps({"code": -1003, "msg": message}, separators=(",", ":")).encode()
    return RestReply(body, status, headers)
