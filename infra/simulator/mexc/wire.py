"""What faults must know of MEXC's texts, and how its REST refuses a call.

The fields are those of docs/exchanges/mexc.md §2 and §4.
"""

from __future__ import annotations

import json

from infra.simulator.exchange import RestReply
from infra.simulator.wire_fields import Wire

TOO_OFTEN = 510

WIRE = Wire(
    event=("ts", "timestamp"),
    funding=("nextSettleTime", "settleTime"),
    rate=("rate", "fundingRate"),
    symbol='"symbol":"([^"]+)"',
    current="contract/funding_rate(?!/history)",
    halts={"4": False, "1": True},
    bad_fields={
        "mark-price": ("fairPrice", '"?"'),
        "index-price": ("idxPrice", '"-"'),
        "interval": ("collectCycle", "1234"),
    },
    optional=("nextSettleTime", "maxFundingRate", "minFundingRate", "idxPrice", "type"),
)


def refusal(status: int) -> RestReply | None:
    """Refuse a call as the exchange does, with HTTP 200; None: its words are not known."""
    return failure(TOO_OFTEN, "Requests are too frequent") if status == 429 else None


def failure(code: int, message: str) -> RestReply:
    """Return an error as the exchange words it: HTTP 200 with a code (§4)."""
    body = {"success": False, "code": code, "message": message}
    return RestReply(json.dumps(body, separators=(",", ":")).encode())
