"""What faults must know of KuCoin's texts, and how its REST refuses a call.

The fields are those of docs/exchanges/kucoin.md §A, §B and §5.
"""

from __future__ import annotations

import json

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.wire_fields import Wire

_EVENT_TIMESTAMP = r'granularity":(?:60000|1000),(?:[^{}]*,)?"timestamp'
"""Behind these granularities a `timestamp` is an event's, behind others a funding time."""

WIRE = Wire(
    # A row that begins with `ts` is a settlement. `data` holds a number in the reply of /timestamp
    # alone. Countdowns are too small to be taken for a time.
    event=("P", r"(?<!\{\")ts", _EVENT_TIMESTAMP, "data"),
    funding=(
        "ft", "nt", "timestamp", "fundingTime", "timePoint", "nextFundingRateTime",
        "nextFundingRateDateTime",
    ),
    rate=(
        "fr", "lfr", "fundingRate", "fundingFeeRate", "lastTimeFundingRate",
        "nextFundingRate", "value",
    ),
    symbol=r'(?:"s":"|"topic":"/contract/instrument:|"symbol":")([^"]+)"',
    current=r"contracts/|/current$|ua/v2/market/funding-rate",
    halts={"Paused": False, "BeingSettled": False, "CancelOnly": True},
    bad_fields={
        # The history's rows, which have no such field, stay right.
        "last-rate": ("lfr|lastTimeFundingRate", "0.12"),
        "mark-price": ("mp|markPrice", '"?"'),
        "interval": ("gl|fundingRateGranularity|currentFundingRateGranularity", "1234"),
    },
    optional=(
        "ft", "lfr", "fc", "ff", "predictedFundingFeeRate", "lastTimeFundingRate",
        "currentFundingRateGranularity", "effectiveFundingRateCycleStartTime",
        "fundingRateCap", "fundingRateFloor", "firstOpenDate", "nextFundingRateDateTime",
    ),
)  # fmt: skip


def refusal(status: int, retry_after_s: int | None) -> RestReply | None:
    """Refuse a call as the exchange does; None: its words for this status are not known."""
    if status != 429:
        return None
    headers = {
        "gw-ratelimit-limit": "2000",
        "gw-ratelimit-remaining": "0",
        # A countdown in ms.
        "gw-ratelimit-reset": str((retry_after_s or 30) * 1_000),
    }
    return RestReply(b'{"msg":"Too Many Requests","code":"429000"}', 429, headers)


def maintenance(call: RestCall) -> RestReply | None:
    """Answer a call for the exchange's state during maintenance; None: it is another call."""
    if call.path != "/api/v1/status":
        return None
    body = {"code": "200000", "data": {"status": "close", "msg": "System maintenance"}}
    return RestReply(json.dumps(body).encode())
