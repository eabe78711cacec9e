"""What faults must know of MEXC's texts, and how its REST refuses a call.

The fields are those of docs/exchanges/mexc.md §2 and §4.
"""

from __future__ import annotations

import json
from dataclasses import replace

from infra.simulator.exchange import RestReply
from infra.simulator.wire_fields import Wire

WIRE = Wire(
    event=("ts", "timestamp"),
    funding=("nextSettleTime", "settleTime"),
    rate=("rate", "fundingRate"),
    symbol='"symbol":"([^"]+)"',
    current="contract/funding_rate(?!/history)",
    halts={"4": False, "1": True},
    bad_fields={
        "funding-time": ("nextSettleTime", "17"),
        "mark-price": ("fairPrice", '"?"'),
        "index-price": ("idxPrice", '"-"'),
        "interval": ("collectCycle", "1234"),
    },
    optional=("nextSettleTime", "maxFundingRate", "minFundingRate", "idxPrice", "type"),
)


def refusal(status: int) -> RestReply | None:
    """Refuse a call with a status, which only what stands before the exchange does; None: its words
    for this status are not known. The exchange itself says so with HTTP 200 (`too_often`).
    """
    return replace(too_often(), status=status) if status == 429 else None


def too_often() -> RestReply:
    """Refuse one call too many."""
    return failure(510, "Requests are too frequent")


def failure(code: int, message: str) -> RestReply:
    """Return an error as the exchange words it: HTTP 200 with a code (§4)."""
    body = {"success": False, "code": code, "message": message}
    return RestReply(json.dumps(body, separators=(",", ":")).encode())
