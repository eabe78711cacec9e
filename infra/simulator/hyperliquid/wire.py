"""What faults must know of Hyperliquid's texts, and how its REST refuses a call.

The fields are those of docs/exchanges/hyperliquid.md §6 and §9.
"""

from __future__ import annotations

import json

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.wire_fields import Wire

WIRE = Wire(
    # `time` alone is also the stamp of a settlement.
    event=('(?<=null,")time',),
    funding=("nextFundingTime",),
    rate=("funding", "fundingRate"),
    symbol='"coin":"([^"]+)"',
    current="metaAndAssetCtxs|predictedFundings",
    rates_have_times=False,
    fixed_interval_hours=1,
    lists_caps=False,
    halts={"halted": False},
    bad_fields={"mark-price": ("markPx", '"?"'), "oracle-price": ("oraclePx", '"-"')},
    optional=("premium", "midPx", "impactPxs", "dayBaseVlm", "prevDayPx"),
)


def refusal(status: int) -> RestReply | None:
    """Refuse a call as the exchange does (UNVERIFIED); None: its words are not known."""
    return RestReply(b"null", 429) if status == 429 else None


def maintenance(call: RestCall) -> RestReply | None:
    """Answer a call for the exchange's state during maintenance; None: it is another call."""
    if b'"exchangeStatus"' not in call.body:
        return None
    status = {"specialStatuses": ["System maintenance"], "time": call.now_ms}
    return RestReply(json.dumps(status, separators=(",", ":")).encode())
