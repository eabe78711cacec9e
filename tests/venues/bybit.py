"""Messages of Bybit (docs/exchanges/bybit.md)."""

from __future__ import annotations

import json
from typing import Any

from producers.exchanges.spec import Control
from stream_app.model import NoRate, RateUpdate
from tests.venues.clients import Client, Row, at
from tests.venues.samples import (
    Captured,
    ContractList,
    Documented,
    Expected,
    Sample,
    Samples,
    just,
    listed,
)

_WHOLE_ROW = (
    b'{"symbol":"SOLUSDT","tickDirection":"PlusTick","lastPrice":"151.370","markPrice":"151.402",'
    b'"indexPrice":"151.466","openInterest":"4811027.4","openInterestValue":"728399170.35",'
    b'"turnover24h":"911400277.1180","volume24h":"6020991.2","fundingIntervalHour":"4",'
    b'"fundingCap":"0.0061","singleOpenInterest":"2405513.7",'
    b'"singleOpenInterestValue":"364199585.18","nextFundingTime":"1790006400000",'
    b'"fundingRate":"-0.00001874","bid1Price":"151.360","preOpenPrice":"","preQty":"",'
    b'"curPreListingPhase":""}'
)
_WHOLE = (
    b'{"topic":"tickers.SOLUSDT","type":"snapshot","data":'
    + _WHOLE_ROW
    + b',"cs":811034402911,"ts":1790000123341}'
)
_CHANGE_ROW = b'{"symbol":"BTCUSD","markPrice":"91022.71","bid1Size":"17733"}'
_CHANGE = (
    b'{"topic":"tickers.BTCUSD","type":"delta","data":'
    + _CHANGE_ROW
    + b',"cs":41880012077,"ts":1790000123862}'
)
_NOT_FOUND = (
    b'{"success":false,"ret_msg":"error:handler not found,topic:tickers.NOPEUSDT",'
    b'"conn_id":"7f0c","req_id":"subscribe B 3","op":"subscribe"}'
)


def _reply(rows: bytes, more: bytes = b"") -> bytes:
    return (
        b'{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":['
        + rows
        + b"]"
        + more
        + b'},"retExtInfo":{},"time":1790000124018}'
    )


_PERPETUAL = (
    b'{"symbol":"10000SATSUSDT","contractType":"LinearPerpetual","status":"Trading",'
    b'"baseCoin":"10000SATS","quoteCoin":"USDT","launchTime":"1703124000000",'
    b'"deliveryTime":"0","fundingInterval":240,"settleCoin":"USDT",'
    b'"upperFundingRate":"0.0125","lowerFundingRate":"-0.0115","isPreListing":false}'
)
_DATED = b'{"symbol":"ETHUSDT-25DEC26","contractType":"LinearFutures","status":"Trading"}'
_PRE_MARKET = (
    b'{"symbol":"SPACEXUSDT","contractType":"LinearPerpetual","status":"PreLaunch",'
    b'"isPreListing":true}'
)
_GOING = b'{"symbol":"OLDUSDT","contractType":"LinearPerpetual","status":"Delivering"}'
_LISTED = (_PERPETUAL, _DATED, _PRE_MARKET, _GOING)
_TICKER = b'{"symbol":"BTCPERP","fundingRate":"0.00003117"}'
_DATED_TICKER = b'{"symbol":"BTC-25DEC26","fundingRate":"","nextFundingTime":"0"}'
_SETTLED = (
    b'{"symbol":"XRPUSDT","fundingRate":"0.00007113","fundingRateTimestamp":"1790006400000"}',
    b'{"symbol":"XRPUSDT","fundingRate":"-0.0000462","fundingRateTimestamp":"1790020800000"}',
)

SAMPLES = Samples(
    data=[
        (
            _WHOLE,
            Expected("tickers", ["SOLUSDT"], just(_WHOLE_ROW), event_us=1_790_000_123_341_000),
        ),
        (
            _CHANGE,
            Expected("tickers", ["BTCUSD"], just(_CHANGE_ROW), event_us=1_790_000_123_862_000),
        ),
    ],
    control=[
        (
            b'{"success":true,"ret_msg":"","conn_id":"7","req_id":"subscribe A 2","op":"x"}',
            Control(answers="subscribe A 2"),
        ),
        (
            _NOT_FOUND,
            Control(refused=True, refused_symbols=("NOPEUSDT",), answers="subscribe B 3"),
        ),
        (
            b'{"success":false,"ret_msg":"Invalid topic: [tickers.X1,tickers.X2]","op":"x"}',
            Control(refused=True, refused_symbols=("X1", "X2")),
        ),
        (
            b'{"success":true,"ret_msg":"pong","conn_id":"7f0d","req_id":"ping4","op":"ping"}',
            Control(answers="ping4"),
        ),
    ],
    unknown=[
        (b'{"topic":"orderbook.1.SOLUSDT","type":"snapshot","data":{"s":"SOLUSDT"}}', "orderbook"),
        (b'{"topic":"system.status","data":[{"title":"x"}],"ts":1790000123000}', "system"),
    ],
    replies={
        "instruments-info/linear": _reply(b",".join(_LISTED), b',"nextPageCursor":""'),
        "tickers/linear": _reply(_TICKER + b"," + _DATED_TICKER),
    },
    pieces={
        "instruments-info/linear": list(
            zip(["10000SATSUSDT", "ETHUSDT-25DEC26", "SPACEXUSDT", "OLDUSDT"], _LISTED, strict=True)
        ),
        "tickers/linear": [
            ("BTCPERP", _reply(_TICKER)),
            ("BTC-25DEC26", _reply(_DATED_TICKER)),
        ],
    },
    listed={"instruments-info/linear": {"10000SATSUSDT": True, "OLDUSDT": False}},
    history_symbol="XRPUSDT",
    history_page=_reply(b",".join(_SETTLED[::-1])),
    history_rows=_SETTLED,
    history_time="fundingRateTimestamp",
    composed=frozenset({"tickers/linear"}),
    history_empty=_reply(b""),
)

TICKER: dict[str, Any] = {
    "symbol": "1000PEPEUSDT",
    "lastPrice": "0.00431",
    "indexPrice": "0.0043207",
    "markPrice": "0.0043188",
    "openInterest": "90217733000",
    "openInterestValue": "389632344.28",
    "turnover24h": "180344021.5530",
    "volume24h": "41884402100",
    "fundingRate": "0.00006218",
    "nextFundingTime": "1790006400000",
    "deliveryTime": "0",
    "fundingIntervalHour": "8",
    "singleOpenInterest": "45108866500",
    "singleOpenInterestValue": "194816172.14",
    "curPreListingPhase": "",
}
STREAMED: dict[str, Any] = {
    "topic": "tickers.1000PEPEUSDT",
    "type": "delta",
    "data": {**TICKER, "fundingRate": "0.00006301"},
    "cs": 611_020_993_110,
    "ts": 1_790_000_123_071,
}
POLLED: dict[str, Any] = {
    "retCode": 0,
    "retMsg": "OK",
    "result": {"category": "linear", "list": [TICKER]},
    "time": 1_790_000_123_402,
}
SETTLED: dict[str, Any] = {
    "symbol": "1000PEPEUSDT",
    "fundingRate": "-0.00001133",
    "fundingRateTimestamp": "1789977600000",
}
INSTRUMENT: dict[str, Any] = {
    "symbol": "1000PEPEUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "1000PEPE",
    "quoteCoin": "USDT",
    "launchTime": "1683331200000",
    "deliveryTime": "0",
    "fundingInterval": 480,
    "settleCoin": "USDT",
    "upperFundingRate": "0.0155",
    "lowerFundingRate": "-0.0145",
    "isPreListing": False,
    "symbolId": 4471,
}


def _itself(reply: Any) -> Any:
    return reply


def _listed(row: Any) -> Any:
    return {"retCode": 0, "result": {"category": "linear", "list": [row], "nextPageCursor": ""}}


_PEPE = "1000PEPEUSDT"
PAYLOADS = (
    Sample("bybit", "stream", "tickers", _PEPE, STREAMED),
    Sample("bybit", "fallback", "tickers/linear", _PEPE, POLLED, _itself),
    Sample("bybit", "reconcile", "tickers/linear", _PEPE, POLLED, _itself),
    Sample("bybit", "contract", "tickers/linear", _PEPE, POLLED, _itself),
    Sample("bybit", "history", "funding/history", _PEPE, SETTLED, _listed),
    Sample("bybit", "contract", "instruments-info/linear", _PEPE, INSTRUMENT, _listed),
)

DOCUMENTED = Documented(
    sockets=[
        "wss://stream.bybit.com/v5/public/linear",
        "wss://stream.bybit.com/v5/public/inverse",
    ],
    rest_url="https://api.bybit.com",
    costs={
        "instruments-info/linear": [1],
        "instruments-info/inverse": [1],
        "tickers/linear": [1],
        "tickers/inverse": [1],
    },
    contracts=ContractList(
        lambda rows: listed(*rows, before='{"retCode":0,"result":{"list":[', after="]}}"),
        lambda name: {"symbol": name, "contractType": "LinearPerpetual"},
        optional=("status", "isPreListing", "fundingInterval", "launchTime"),
        unlistable={"status": 5},
    ),
    rows_in=frozenset({"result", "list"}),
)

CAPTURED = (
    Captured(
        "bybit/cryptofeed_ws_tickers_BTCUSDT_snapshot.json",
        "data",
        "tickers",
        "BTCUSDT",
        means=(
            RateUpdate(
                "BTCUSDT",
                0.0001,
                event_time=1_786_310_817_583_000,
                mark_price=65117.44,
                index_price=65137.76,
                next_funding_time=1_786_320_000_000_000,
                interval_hours=8.0,
            ),
        ),
    ),
    Captured(
        "bybit/cryptofeed_ws_tickers_ETHUSDT_delta.json",
        "data",
        "tickers",
        "ETHUSDT",
        means=(RateUpdate("ETHUSDT", 0.00004709, event_time=1_786_310_822_174_000),),
    ),
    Captured(
        "bybit/cryptofeed_ws_tickers_SOLUSDT_delta.json",
        "data",
        "tickers",
        "SOLUSDT",
        means=(RateUpdate("SOLUSDT", 0.00000952, event_time=1_786_310_823_780_000),),
    ),
    # The last frames of two sessions: changes without a rate.
    Captured("bybit/cryptofeed_ws_tickers_linear_frames.jsonl", "data", "tickers"),
    Captured(
        "bybit/kh_ws_futures_session_excerpt.jsonl",
        "data",
        "tickers",
        "BTCUSDT",
        means=(NoRate("BTCUSDT", "no funding rate"),),
    ),
    Captured(
        "bybit/tardis_bybit_07.json",
        "data",
        "tickers",
        "BTCUSD",
        means=(RateUpdate("BTCUSD", 0.0001, event_time=1_680_673_822_776_000),),
    ),
    Captured(
        "bybit/tardis_bybit_09.json",
        "data",
        "tickers",
        "BTCUSDT",
        means=(
            RateUpdate(
                "BTCUSDT",
                0.0001,
                event_time=1_680_673_821_770_000,
                mark_price=28552.81,
                index_price=28562.25,
                next_funding_time=1_680_681_600_000_000,
            ),
        ),
    ),
    Captured(
        "bybit/cs_tickers_linear_with_dated_future_rest.json",
        "reply",
        "tickers/linear",
        "BTCUSDT",
        "fallback",
        (
            RateUpdate(
                "BTCUSDT",
                0.00008216,
                mark_price=77146.5,
                index_price=77179.83,
                next_funding_time=1_789_257_600_000_000,
                interval_hours=8.0,
            ),
        ),
        received_at_us=1_789_250_000_000_000,
    ),
    Captured(
        "bybit/cs_tickers_linear_with_dated_future_rest.json",
        "reply",
        "tickers/linear",
        "BTCUSDT-25DEC26",
        "fallback",
        (NoRate("BTCUSDT-25DEC26", "no funding rate"),),
    ),
    Captured(
        "bybit/kh_funding_history_rest.json",
        "reply",
        "tickers/linear",
        symbols=["BTCUSDT"] * 20,
    ),
)


def _rows_of(document: Any) -> list[Row]:
    row = document.get("data")
    if not isinstance(row, dict) or not row.get("fundingRate"):
        return []
    next_ms = int(row["nextFundingTime"])
    return [Row(row["symbol"], document["ts"], row["fundingRate"], row, next_ms)]


CLIENTS = {
    "bybit": Client(
        connect=at("/v5/public/linear"),
        subscriptions=lambda names: [
            json.dumps(
                {
                    "op": "subscribe",
                    "args": [f"tickers.{name}" for name in names if not name.endswith("USD")],
                }
            )
        ],
        question='{"op":"ping","req_id":"77"}',
        rows=_rows_of,
        current="/v5/market/tickers?category=linear",
        rate="fundingRate",
        funding_time="nextFundingTime",
        history=lambda symbol, _since_ms, _now_ms: (
            f"/v5/market/funding/history?category=linear&symbol={symbol}&limit=200"
        ),
        settled=lambda reply: [
            (int(row["fundingRateTimestamp"]), float(row["fundingRate"]))
            for row in reply["result"]["list"]
        ],
        contracts="/v5/market/instruments-info?category=linear&limit=1000",
        listed=lambda reply: [
            (row["symbol"], row.get("status")) for row in reply["result"]["list"]
        ],
        bad_field=("markPrice", "?"),
        bad_text='"markPrice":"?"',
        listed_at_ms=lambda reply, symbol: next(
            int(row["launchTime"]) for row in reply["result"]["list"] if row["symbol"] == symbol
        ),
        null_field="curPreListingPhase",
        own={"bybit_push": "whole"},
    )
}
