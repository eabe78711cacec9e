"""Messages of WhiteBIT (docs/exchanges/whitebit.md)."""

from __future__ import annotations

import json
from typing import Any

from producers.exchanges.spec import Control
from stream_app.model import RateUpdate
from tests.venues.clients import Client, Row, at
from tests.venues.samples import (
    Captured,
    ContractList,
    Documented,
    Expected,
    Sample,
    Samples,
    array,
    just,
    listed,
)

_HEAD, _TAIL = b'{"method":"premiumIndex_update","params":[', b'],"id":null}'
_SOL = b'["SOL_PERP","141.7302","141.6915","0.00009417",1790006400000,1790000123.417268]'
_PEPE = b'["PEPE_PERP","0.00000481","0.0000048","-0.00012083",1789992000000,1790000123.417268]'
_FLAT = b'"XAU_PERP", "4081.2", "4080.9", "0.00003", 1790006400000, 1790000123.9'
_BOTH = _HEAD + _SOL + b"," + _PEPE + _TAIL
_SPACED = b'{"id": null, "params": [' + _SOL + b'], "method": "premiumIndex_update"}'
_NAMED = _HEAD + _FLAT + _TAIL
_AT_US = 1_790_000_123_417_268

_FUTURES = (
    (
        b'{"ticker_id":"SOL_PERP","stock_currency":"SOL","money_currency":"USDT",'
        b'"product_type":"Perpetual","funding_rate":"0.00009416","mark_price":"141.73",'
        b'"index_price":"141.69","funding_interval_minutes":480,'
        b'"next_funding_rate_timestamp":"1790006400000"}'
    ),
    b'{"ticker_id":"NVDA_PERP","product_type":"Perpetual","mark_price":"","index_price":"0"}',
    b'{"ticker_id":"SOL_0327","product_type":"Dated"}',
)
_SETTLED = (
    (
        b'{"market":"SOL_PERP","fundingTime":"1790006400","fundingRate":"0.00007318",'
        b'"settlementPrice":"141.02","rateCalculatedTime":"1789977600"}'
    ),
    (
        b'{"market":"SOL_PERP","fundingTime":"1789977600","fundingRate":"-0.00001906",'
        b'"settlementPrice":"139.77","rateCalculatedTime":"1789948800"}'
    ),
)
_LIST = b'{"success":true,"message":null,"result":' + array(*_FUTURES) + b"}"
_PIECES = list(zip(["SOL_PERP", "NVDA_PERP", "SOL_0327"], _FUTURES, strict=True))

SAMPLES = Samples(
    data=[
        (
            _BOTH,
            Expected(
                "premiumIndex",
                ["SOL_PERP", "PEPE_PERP"],
                just(_HEAD + _SOL + _TAIL, _HEAD + _PEPE + _TAIL),
                event_us=_AT_US,
            ),
        ),
        (_SPACED, Expected("premiumIndex", ["SOL_PERP"], event_us=_AT_US)),
        (_NAMED, Expected("premiumIndex", ["XAU_PERP"], event_us=1_790_000_123_900_000)),
    ],
    control=[
        (b'{"error": null, "result": {"status": "success"}, "id": 0}', Control()),
        (b'{"error": null, "result": "pong", "id": 7}', Control()),
        (
            b'{"error":{"code":9,"message":"market NO_PERP does not exist"},"result":null,"id":4}',
            Control(refused=True),
        ),
    ],
    unknown=[
        (b'{"method":"depth_update","params":[true,{},"SOL_PERP"],"id":null}', "depth_update"),
        (b'{"id":null,"method":"lastprice_update","params":["A_PERP","1"]}', "lastprice_update"),
    ],
    replies={"futures": _LIST, "liquidity": _LIST},
    pieces={"futures": _PIECES, "liquidity": _PIECES},
    listed={"futures": {"SOL_PERP": True, "NVDA_PERP": True}},
    history_symbol="SOL_PERP",
    history_page=array(*_SETTLED),
    history_rows=_SETTLED,
    history_time="fundingTime",
)

PUSH: dict[str, Any] = {
    "method": "premiumIndex_update",
    "params": [
        ["SOL_PERP", "141.7302", "141.6915", "0.00009417", 1_790_006_400_000, 1_790_000_123.417268]
    ],
    "id": None,
}
FUTURE: dict[str, Any] = {
    "ticker_id": "SOL_PERP",
    "stock_currency": "SOL",
    "money_currency": "USDT",
    "last_price": "141.71",
    "stock_volume": "215309.4",
    "money_volume": "30447205.6",
    "bid": "141.7",
    "ask": "141.72",
    "high": "146.02",
    "low": "138.9",
    "product_type": "Perpetual",
    "open_interest": "80417.25",
    "index_price": "141.6915",
    "index_name": "Solana",
    "index_currency": "USDT",
    "mark_price": "141.7302",
    "funding_rate": "0.00009416",
    "next_funding_rate_timestamp": "1790006400000",
    "funding_interval_minutes": 480,
    "funding_cap": "0.00375",
    "funding_floor": "-0.00374",
    "brackets": {"1": 0, "100": 50},
    "max_leverage": 100,
}
SETTLED: dict[str, Any] = json.loads(_SETTLED[1])


def _list_of(row: Any) -> Any:
    return {"success": True, "message": None, "result": [row]}


PAYLOADS = (
    Sample("whitebit", "stream", "premiumIndex", "SOL_PERP", PUSH),
    Sample("whitebit", "fallback", "futures", "SOL_PERP", FUTURE, _list_of),
    Sample("whitebit", "reconcile", "futures", "SOL_PERP", FUTURE, _list_of),
    Sample("whitebit", "history", "funding-history", "SOL_PERP", SETTLED),
    Sample("whitebit", "contract", "futures", "SOL_PERP", FUTURE, _list_of),
    Sample("whitebit", "contract", "liquidity", "SOL_PERP", FUTURE, _list_of),
)

DOCUMENTED = Documented(
    sockets=["wss://wss.whitebit.com/ws", "wss://api.whitebit.com/ws"],
    rest_url="https://whitebit.com",
    costs={"futures": [1], "liquidity": [1]},
    contracts=ContractList(
        lambda rows: listed(*rows, before='{"success":true,"result":[', after="]}"),
        lambda name: {"ticker_id": name, "product_type": "Perpetual"},
        optional=("product_type", "stock_currency", "funding_interval_minutes", "mark_price"),
        unlistable={"ticker_id": 5},
    ),
    rows_in=frozenset({"result"}),
)

_EVENT_US = 1_790_113_268_565_173
_NEXT_US = 1_790_121_600_000_000
CAPTURED = (
    Captured(
        "whitebit/obs_ws_premium_index_all.json",
        "data",
        "premiumIndex",
        "1INCH_PERP",
        means=(
            RateUpdate(
                "1INCH_PERP",
                0.0001,
                event_time=_EVENT_US,
                mark_price=0.10316,
                index_price=0.10307,
                next_funding_time=_NEXT_US,
            ),
        ),
        symbols=["1INCH_PERP", "BTC_PERP"],
        received_at_us=_EVENT_US,
    ),
    Captured(
        "whitebit/obs_ws_premium_index_all.json",
        "data",
        "premiumIndex",
        "BTC_PERP",
        means=(
            RateUpdate(
                "BTC_PERP",
                0.00006382,
                event_time=_EVENT_US,
                mark_price=86167.8,
                index_price=86224.5,
                next_funding_time=_NEXT_US,
            ),
        ),
        received_at_us=_EVENT_US,
    ),
    Captured("whitebit/obs_ws_ack.json", "control"),
    Captured("whitebit/obs_ws_pong.json", "control"),
)

_DELISTED = frozenset({"HOOK", "MKR", "OMNI", "RDNT", "IP", "ICX", "PI"})
"""Markets that are pushed, and that no list has."""


def _pushed(document: Any) -> list[Row]:
    if not isinstance(document, dict) or document.get("method") != "premiumIndex_update":
        return []
    return [
        Row(
            market,
            sent_s,
            rate,
            {"mark": mark, "index": index},
            next_ms,
        )
        for market, mark, index, rate, next_ms, sent_s in document["params"]
        if market.removesuffix("_PERP") not in _DELISTED
    ]


CLIENTS = {
    "whitebit": Client(
        connect=at("/ws"),
        subscriptions=lambda _names: ['{"id":1,"method":"premiumIndex_subscribe","params":[]}'],
        question='{"id":77,"method":"ping","params":[]}',
        rows=_pushed,
        current="/api/v4/public/futures",
        rate="funding_rate",
        funding_time="next_funding_rate_timestamp",
        history=lambda symbol, since_ms, _now_ms: (
            f"/api/v4/public/funding-history/{symbol}?startDate={since_ms // 1_000}&limit=1000"
        ),
        settled=lambda rows: [
            (int(row["fundingTime"]) * 1_000, float(row["fundingRate"])) for row in rows
        ],
        contracts="/api/v4/public/futures",
        listed=lambda reply: [(row["ticker_id"], row["product_type"]) for row in reply["result"]],
        bad_field=("mark", "?"),
        null_field="index",
    )
}
