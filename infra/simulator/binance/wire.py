"""What faults must know of the texts of both Binance feeds, and how their REST refuses a call.

The fields are those of docs/exchanges/binance-usdm.md §6 and §9 and of binance-coinm.md §4 and §6.
"""

from __future__ import annotations

import json

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.wire_fields import Wire

WIRE = Wire(
    event=("E", "time", "serverTime"),
    funding=("T", "nextFundingTime"),
    rate=("r", "lastFundingRate"),
    symbol='"s":"([^"]+)"',
    current="premiumIndex",
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
