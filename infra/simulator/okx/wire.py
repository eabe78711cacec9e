"""What faults must know of OKX's texts, and how its REST refuses a call (okx.md §2, §4)."""

from __future__ import annotations

import json

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.wire_fields import Wire

WIRE = Wire(
    event=("ts",),
    funding=("fundingTime", "nextFundingTime", "prevFundingTime"),
    rate=("fundingRate", "realizedRate", "settFundingRate"),
    symbol='"instId":"([^"]+)"',
    current="public/funding-rate$",
    lists_caps=True,
    halts={"suspend": False, "preopen": False},
    bad_fields={
        "settled-rate": ("settFundingRate", '"?"'),
        "interval": ("prevFundingTime", '"17"'),
        "cap": ("maxFundingRate", '"-"'),
    },
    optional=(
        *("formulaType", "impactValue", "interestRate", "method", "nextFundingRate", "premium"),
        *("listTime", "expTime", "ruleType"),
    ),
)
_STATUS = "/api/v5/system/status"


def failed(code: str, text: str, status: int = 200) -> RestReply:
    """A reply that says what was wrong."""
    body = {"code": code, "data": [], "msg": text}
    return RestReply(json.dumps(body, separators=(",", ":")).encode(), status)


def refusal(status: int) -> RestReply | None:
    """Refuse a call as the exchange does; None: its words for this status are not known."""
    return failed("50011", "Too Many Requests", 429) if status == 429 else None


def maintenance(call: RestCall) -> RestReply | None:
    """Answer a call for the exchange's state during maintenance; None: it is another call."""
    if call.path != _STATUS:
        return None
    state = {"title": "Trading system upgrade", "state": "ongoing", "system": "unified"}
    return RestReply(json.dumps({"code": "0", "data": [state], "msg": ""}).encode())
