"""Messages of Lighter (docs/exchanges/lighter.md)."""

from __future__ import annotations

import json
from typing import Any

from infra.simulator.lighter.universe import market_id
from producers.exchanges.spec import Control
from stream_app.model import RateUpdate, SettlementUpdate
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

_BTC = (
    b'"1":{"symbol":"BTC","market_id":1,"index_price":"84198.2","mark_price":"84148.7",'
    b'"current_funding_rate":"0.0012","funding_rate":"-0.0007","funding_timestamp":1789999200001}'
)
_PEPE = (
    b'"24":{"symbol":"1000PEPE","market_id":24,"index_price":"0.0048","mark_price":"0.00481",'
    b'"current_funding_rate":"-0.0031","funding_rate":"0.0044","funding_timestamp":1789999200000}'
)
_HEAD = b'{"channel":"market_stats:all","market_stats":{'
_TAIL = b'},"timestamp":1790000123147,"type":"update/market_stats"}'
_SNAPSHOT_HEAD = (
    b'{"type":"subscribed/market_stats","channel":"market_stats:all","timestamp":1790000122900,'
    b'"market_stats":{'
)
_ONE = (
    b'{"channel":"market_stats:2","market_stats":{"symbol":"SOL","market_id":2,'
    b'"current_funding_rate":"0.0009"},"timestamp":1790000123250,"type":"update/market_stats"}'
)
_RATE = b'{"market_id":1,"exchange":"lighter","symbol":"BTC","rate":0.00009599999999999999}'
_OTHERS = (
    b'{"market_id":1,"exchange":"binance","symbol":"BTC","rate":0.0001}',
    b'{"market_id":1,"exchange":"hyperliquid","symbol":"BTC","rate":0.00002}',
)
_MARKETS = (
    b'{"symbol":"BTC","market_id":1,"market_type":"perp","status":"active","mark_price":"84148.7"}',
    b'{"symbol":"OLD","market_id":9,"market_type":"perp","status":"inactive","open_interest":0.5}',
    b'{"symbol":"GOOGL","market_id":116,"status":"active","daily_quote_token_volume":7.25}',
)
_SPOT = b'{"symbol":"ETH/USDC","market_id":2048,"market_type":"spot","status":"active"}'
_SETTLED = (
    b'{"timestamp":1790002800,"value":"1.0101","rate":"0.0012","direction":"long"}',
    b'{"timestamp":1790006400,"value":"0.2","rate":"0.0002","direction":"short"}',
)


def _fundings(rows: bytes) -> bytes:
    return b'{"code":200,"resolution":"1h","fundings":' + rows + b"}"


_LIST = b'{"code":200,"order_book_details":' + array(*_MARKETS, _SPOT) + b"}"
_LISTED = list(zip(["BTC", "OLD", "GOOGL"], _MARKETS, strict=True))

SAMPLES = Samples(
    data=[
        (
            _HEAD + _BTC + b"," + _PEPE + _TAIL,
            Expected(
                "market_stats",
                ["BTC", "1000PEPE"],
                just(_HEAD + _BTC + _TAIL, _HEAD + _PEPE + _TAIL),
                event_us=1_790_000_123_147_000,
            ),
        ),
        (
            _SNAPSHOT_HEAD + _PEPE + b"}}",
            Expected("market_stats", ["1000PEPE"], event_us=1_790_000_122_900_000),
        ),
        (_ONE, Expected("market_stats", ["SOL"], event_us=1_790_000_123_250_000)),
    ],
    control=[
        (b'{"session_id":"7c0f","type":"connected"}', Control(greeting=True)),
        (b'{"type":"ping"}', Control(reply='{"type":"pong"}')),
        (b'{"type":"pong"}', Control()),
        (b'{"type":"unsubscribed","channel":"market_stats:all"}', Control()),
        (b'{"type":"shutdown"}', Control(ends=True)),
        (
            b'{"error":{"code":30003,"message":"Already Subscribed to : market_stats:all"}}',
            Control(refused=True),
        ),
    ],
    unknown=[
        (b'{"channel":"height","height":7,"type":"update/height"}', "update/height"),
        (
            b'{"channel":"trade:1","trades":[],"type":"update/trade"}',
            "update/trade",
        ),
    ],
    replies={
        "orderBookDetails": _LIST,
        "liquidity": _LIST,
        "funding-rates": b'{"code":200,"funding_rates":'
        + array(_OTHERS[0], _RATE, _OTHERS[1])
        + b"}",
    },
    pieces={
        "orderBookDetails": _LISTED,
        "liquidity": _LISTED,
        "funding-rates": [("BTC", _RATE)],
    },
    listed={"orderBookDetails": {"BTC": True, "OLD": False, "GOOGL": True}},
    history_symbol="BTC",
    history_page=_fundings(array(*_SETTLED)),
    history_rows=_SETTLED,
    history_time="timestamp",
    history_empty=_fundings(b"[]"),
)

STATS: dict[str, Any] = {
    "symbol": "BTC",
    "market_id": 1,
    "index_price": "84198.2",
    "mark_price": "84148.7",
    "mid_price": "84150.1",
    "open_interest": "97340518.226713",
    "funding_clamp_small": "0.0500",
    "funding_clamp_big": "4.0000",
    "current_funding_rate": "-0.0028",
    "funding_rate": "-0.0005",
    "funding_timestamp": 1_789_999_200_001,
    "daily_quote_token_volume": 1284907316.405928,
}
"""The frame is of 15 min 23 s past the hour: its settlement is told no longer."""
LIGHTER_FRAME: dict[str, Any] = {
    "channel": "market_stats:all",
    "market_stats": {"1": STATS},
    "timestamp": 1_790_000_123_147,
    "type": "update/market_stats",
}
LIGHTER_RATE: dict[str, Any] = {
    "market_id": 1,
    "exchange": "lighter",
    "symbol": "BTC",
    "rate": 0.00009599999999999999,
}
LIGHTER_SETTLED: dict[str, Any] = {
    "timestamp": 1_789_999_200,
    "value": "0.00973612",
    "rate": "0.0013",
    "direction": "short",
}
LIGHTER_MARKET: dict[str, Any] = {
    "symbol": "1000BONK",
    "market_id": 18,
    "market_type": "perp",
    "status": "active",
    "mark_price": "0.0212",
    "open_interest": 2_178.5,
    "daily_quote_token_volume": 548_204_182.5,
}


def _rates(row: Any) -> Any:
    return {"code": 200, "funding_rates": [row]}


def _settlements(row: Any) -> Any:
    return {"code": 200, "resolution": "1h", "fundings": [row]}


def _details(row: Any) -> Any:
    return {"code": 200, "order_book_details": [row]}


PAYLOADS = (
    Sample("lighter", "stream", "market_stats", "BTC", LIGHTER_FRAME),
    Sample("lighter", "fallback", "funding-rates", "BTC", LIGHTER_RATE, _rates),
    Sample("lighter", "reconcile", "funding-rates", "BTC", LIGHTER_RATE, _rates),
    Sample("lighter", "history", "fundings", "BTC", LIGHTER_SETTLED, _settlements),
    Sample("lighter", "contract", "orderBookDetails", "1000BONK", LIGHTER_MARKET, _details),
    Sample("lighter", "contract", "liquidity", "1000BONK", LIGHTER_MARKET, _details),
)

DOCUMENTED = Documented(
    sockets=["wss://mainnet.zklighter.elliot.ai/stream"],
    rest_url="https://mainnet.zklighter.elliot.ai",
    costs={"orderBookDetails": [1], "liquidity": [1], "funding-rates": [1]},
    contracts=ContractList(
        lambda rows: listed(*rows, before='{"code":200,"order_book_details":[', after="]}"),
        lambda name: {"symbol": name, "market_id": 7, "market_type": "perp"},
        optional=("status", "mark_price", "daily_quote_token_volume"),
        unlistable={"symbol": 5},
    ),
    rows_in=frozenset({"funding_rates", "order_book_details"}),
)

_S = 1_000_000
CAPTURED = (
    Captured("lighter/g_error_too_many_rest.json", "barred", "funding-rates"),
    Captured(
        "lighter/nt_fundings_history_rest.json",
        "history",
        "fundings",
        "BTC",
        means=(
            SettlementUpdate("BTC", 1_778_702_400 * _S, 0.000012, interval_hours=1.0),
            SettlementUpdate("BTC", 1_778_706_000 * _S, -0.000002, interval_hours=1.0),
        ),
        received_at_us=1_778_710_000 * _S,
    ),
    Captured("lighter/g_ws_connected.json", "control"),
    Captured("lighter/g_ws_pong.json", "control"),
    Captured("lighter/g_ws_error_already_subscribed.json", "control"),
    Captured(
        "lighter/g_ws_market_stats_ETH.json",
        "data",
        "market_stats",
        "ETH",
        means=(
            RateUpdate(
                "ETH",
                -0.000012,
                event_time=1_785_252_530_326_000,
                mark_price=1914.32,
                index_price=1915.31,
                next_funding_time=1_785_254_400 * _S,
            ),
        ),
        symbols=["ETH"],
    ),
    Captured(
        "lighter/nt_ws_subscribed_BTC.json",
        "data",
        "market_stats",
        "BTC",
        means=(
            RateUpdate(
                "BTC",
                -0.000028,
                event_time=1_780_546_209_291_000,
                mark_price=64356.3,
                index_price=64400.1,
                next_funding_time=1_780_549_200 * _S,
            ),
            SettlementUpdate(
                "BTC", 1_780_545_600_001_000, -0.000005, source="stream", interval_hours=1.0
            ),
        ),
    ),
    Captured(
        "lighter/tardis_ws_market_stats_all_subscribed.json",
        "data",
        "market_stats",
        "BTC",
        means=(
            RateUpdate(
                "BTC",
                0.000012,
                event_time=1_776_694_043_429_000,
                mark_price=75241.1,
                index_price=75281.9,
                next_funding_time=1_776_697_200 * _S,
            ),
            SettlementUpdate(
                "BTC", 1_776_693_600_000_000, 0.000008, source="stream", interval_hours=1.0
            ),
        ),
        symbols=["ETH", "BTC"],
    ),
    Captured(
        "lighter/g_funding_rates_rest.json",
        "reply",
        "funding-rates",
        "BTC",
        "reconcile",
        means=(
            RateUpdate(
                "BTC",
                0.000012,
                next_funding_time=1_790_002_800 * _S,
            ),
        ),
        symbols=["BTC"],
    ),
    Captured(
        "lighter/g_order_book_details_rest.json",
        "reply",
        "orderBookDetails",
        "BTC",
        "contract",
        symbols=["BTC", "DELISTED"],
    ),
)


def _rows(document: Any) -> list[Row]:
    table, at_ms = document.get("market_stats"), document.get("timestamp")
    rows = table.values() if isinstance(table, dict) else ()
    return [Row(row["symbol"], at_ms, f"{row['current_funding_rate']}e-2", row) for row in rows]


def _percent(row: Any) -> float:
    sign = "-" if row["direction"] == "short" else ""
    return float(f"{sign}{row['rate']}e-2")


CLIENTS = {
    "lighter": Client(
        connect=at("/stream"),
        subscriptions=lambda _names: [
            json.dumps({"type": "subscribe", "channel": "market_stats/all"})
        ],
        question='{"type":"ping"}',
        rows=_rows,
        current="/api/v1/funding-rates",
        rate="rate",
        history=lambda symbol, since_ms, now_ms: (
            f"/api/v1/fundings?market_id={market_id(symbol)}&resolution=1h&count_back=0"
            f"&start_timestamp={max(since_ms, now_ms - 10**9) // 1_000}"
            f"&end_timestamp={now_ms // 1_000}"
        ),
        settled=lambda reply: [
            (row["timestamp"] * 1_000, _percent(row)) for row in reply["fundings"]
        ],
        contracts="/api/v1/orderBookDetails?filter=perp",
        listed=lambda reply: [
            (row["symbol"], row.get("status")) for row in reply["order_book_details"]
        ],
        bad_field=("mark_price", "?"),
        null_field="mid_price",
    )
}
