"""Messages of Bitget (docs/exchanges/bitget.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from producers.exchanges.spec import Control
from stream_app.model import NoRate, RateUpdate, SettlementUpdate
from tests.venues.clients import Client, Row, at, lately
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

_V2_ROW = (
    b'{"instId":"SOLUSDT","lastPr":"141.27","bidPr":"141.26","askPr":"141.28","bidSz":"55.1",'
    b'"askSz":"60.3","open24h":"139.5","high24h":"143.9","low24h":"138.2","change24h":"0.0127",'
    b'"fundingRate":"-0.000213","nextFundingTime":"1790006400000","markPrice":"141.25",'
    b'"indexPrice":"141.3125","holdingAmount":"812345.6","baseVolume":"5123456.7",'
    b'"quoteVolume":"723456789.12","openUtc":"140.1","symbolType":"1","symbol":"SOLUSDT",'
    b'"ts":"1790000123400"}'
)
_V2 = (
    b'{"action":"snapshot","arg":{"instType":"USDT-FUTURES","channel":"ticker",'
    b'"instId":"SOLUSDT"},"data":[' + _V2_ROW + b'],"ts":1790000123404}'
)
_V3 = (
    b'{"action":"update","arg":{"instType":"usdc-futures","topic":"ticker","symbol":"ETHPERP"},'
    b'"data":[{"lastPrice":"2811.5","markPrice":"2811.7","indexPrice":"2812.25","fundingRate":'
    b'"0.000087","openInterest":"9123.4","deliveryTime":"","nextFundingTime":"1790006400000"}],'
    b'"ts":1790000124107}'
)
_TWO_HEAD = b'{"action":"update","arg":{"instType":"COIN-FUTURES","channel":"ticker"},"data":['
_TWO_ROWS = (
    b'{"symbol":"BTCUSD","fundingRate":"0.000061","nextFundingTime":"1790006400000"}',
    b'{"symbol":"ETHUSD","fundingRate":"0.000042","nextFundingTime":"1790006400000"}',
)
_TWO_TAIL = b'],"ts":1790000125000}'
_TWO = _TWO_HEAD + b", ".join(_TWO_ROWS) + _TWO_TAIL


def _reply(*rows: bytes) -> bytes:
    """A reply of REST."""
    return b'{"code":"00000","msg":"success","requestTime":1790000123456,"data":[%b]}' % (
        b", ".join(rows)
    )


_LISTED = (
    (
        b'{"symbol":"SOLUSDT","baseCoin":"SOL","quoteCoin":"USDT","symbolType":"perpetual",'
        b'"symbolStatus":"normal","fundInterval":"8","launchTime":""}'
    ),
    (
        "{" + '"symbol":"哈基米USDT","baseCoin":"哈基米","quoteCoin":"USDT",'
        '"symbolType":"perpetual","symbolStatus":"maintain","fundInterval":"4"' + "}"
    ).encode(),
    (
        b'{"symbol":"1000BONKUSDT","baseCoin":"1000BONK","quoteCoin":"USDT",'
        b'"symbolType":"perpetual","symbolStatus":"off","fundInterval":"1"}'
    ),
    (
        b'{"symbol":"BTCUSDT_261225","baseCoin":"BTC","quoteCoin":"USDT","symbolType":"delivery",'
        b'"symbolStatus":"normal","fundInterval":"","deliveryTime":"1798185600000"}'
    ),
)
_LISTED_USDC = (
    (
        b'{"symbol":"ETHPERP","baseCoin":"ETH","quoteCoin":"USDC","symbolType":"perpetual",'
        b'"symbolStatus":"listed","fundInterval":"8"}'
    ),
)
_LISTED_COIN = (
    (
        b'{"symbol":"BTCUSD","baseCoin":"BTC","quoteCoin":"USD","symbolType":"perpetual",'
        b'"symbolStatus":"normal","fundInterval":"8"}'
    ),
)
_RATES = (
    (
        b'{"symbol":"SOLUSDT","fundingRate":"-0.000214","fundingRateInterval":"8",'
        b'"nextUpdate":"1790006400000","minFundingRate":"-0.0075","maxFundingRate":"0.0074"}'
    ),
    (
        b'{"symbol":"BGTESTAUSDT","fundingRate":"0.0001","fundingRateInterval":"8",'
        b'"nextUpdate":"1790006400000","minFundingRate":null,"maxFundingRate":null}'
    ),
)
_TICKERS = (
    (
        b'{"symbol":"SOLUSDT","quoteVolume":"723456700.5","holdingAmount":"812345.5",'
        b'"markPrice":"141.24","ts":"1790000120000"}'
    ),
)
_SETTLED = (
    b'{"symbol":"SOLUSDT","fundingRate":"0.000131","fundingTime":"1790006400000"}',
    b'{"symbol":"SOLUSDT","fundingRate":"-0.000059","fundingTime":"1789977600000"}',
)
_ARG = b'"arg":{"instType":"USDT-FUTURES","channel":"ticker","instId":"XRPUSDT"}'

SAMPLES = Samples(
    data=[
        (_V2, Expected("ticker", ["SOLUSDT"], event_us=1_790_000_123_400_000)),
        (_V3, Expected("ticker", ["ETHPERP"], event_us=1_790_000_124_107_000)),
        (
            _TWO,
            Expected(
                "ticker",
                ["BTCUSD", "ETHUSD"],
                just(*(_TWO_HEAD + row + _TWO_TAIL for row in _TWO_ROWS)),
                event_us=1_790_000_125_000_000,
            ),
        ),
    ],
    control=[
        (b'{"event":"subscribe",' + _ARG + b"}", Control(acknowledged=("XRPUSDT",))),
        (
            (
                b'{"event":"subscribe","arg":{"instType":"usdt-futures","topic":"ticker",'
                b'"symbol":"ADAUSDT"},"connId":"77"}'
            ),
            Control(acknowledged=("ADAUSDT",)),
        ),
        (b'{"event":"unsubscribe",' + _ARG + b"}", Control()),
        (b"pong", Control()),
        (
            b'{"event":"error",' + _ARG + b',"code":30001,"msg":"instId:XRPUSDT doesn\'t exist",'
            b'"op":"subscribe"}',
            Control(refused=True, refused_symbols=("XRPUSDT",)),
        ),
        (
            (
                b'{"event":"error","code":30001,"msg":"{\\"instType\\":\\"usdt-futures\\",'
                b'\\"symbol\\":\\"NOSUCHUSDT\\",\\"topic\\":\\"ticker\\"} '
                b'doesn\'t exist","connId":"77"}'
            ),
            Control(refused=True, refused_symbols=("NOSUCHUSDT",)),
        ),
        (
            b'{"event":"error","code":30016,"msg":"Param error","op":"subscribe"}',
            Control(refused=True),
        ),
    ],
    unknown=[
        (b'{"event":"login","code":0}', "login"),
        (
            (
                b'{"action":"snapshot","arg":{"instType":"USDT-FUTURES","channel":"books5",'
                b'"instId":"XRPUSDT"},"data":[{"asks":[],"ts":"1790000123456"}]}'
            ),
            "books5",
        ),
        (
            (
                b'{"action":"snapshot","arg":{"instType":"SPOT","channel":"ticker",'
                b'"instId":"XRPUSDT"},"data":[{"instId":"XRPUSDT","lastPr":"2.31"}]}'
            ),
            "ticker SPOT",
        ),
    ],
    replies={
        "contracts": _reply(*_LISTED),
        "contracts-usdc": _reply(*_LISTED_USDC),
        "contracts-coin": _reply(*_LISTED_COIN),
        "current-fund-rate": _reply(*_RATES),
        "tickers": _reply(*_TICKERS),
    },
    pieces={
        "contracts": list(
            zip(["SOLUSDT", "哈基米USDT", "1000BONKUSDT", "BTCUSDT_261225"], _LISTED, strict=True)
        ),
        "contracts-usdc": [("ETHPERP", _LISTED_USDC[0])],
        "contracts-coin": [("BTCUSD", _LISTED_COIN[0])],
        "current-fund-rate": list(zip(["SOLUSDT", "BGTESTAUSDT"], _RATES, strict=True)),
        "tickers": [("SOLUSDT", _TICKERS[0])],
    },
    listed={
        "contracts": {"SOLUSDT": True, "哈基米USDT": False, "1000BONKUSDT": False},
        "contracts-usdc": {"ETHPERP": False},
        "contracts-coin": {"BTCUSD": True},
    },
    history_symbol="SOLUSDT",
    history_page=_reply(*_SETTLED),
    history_rows=_SETTLED,
    history_time="fundingTime",
    history_empty=_reply(),
    history_span=(1_789_980_000_000, 1_790_030_000_000),
)

TICKER_FRAME: dict[str, Any] = {
    "action": "snapshot",
    "arg": {"instType": "USDT-FUTURES", "channel": "ticker", "instId": "1000BONKUSDT"},
    "data": [
        {
            "instId": "1000BONKUSDT",
            "fundingRate": "0.000157",
            "nextFundingTime": "1790006400000",
            "markPrice": "0.012345",
            "indexPrice": "0.012351",
            "holdingAmount": "88123",
            "quoteVolume": "4412.7",
            "symbolType": "1",
            "symbol": "1000BONKUSDT",
            "ts": "1790000123398",
        }
    ],
    "ts": 1_790_000_123_401,
}
CURRENT_RATE: dict[str, Any] = {
    "symbol": "ETHPERP",
    "fundingRate": "-0.000031",
    "fundingRateInterval": "4",
    "nextUpdate": "1790006400000",
    "minFundingRate": "-0.0031",
    "maxFundingRate": "0.0029",
}
SETTLED: dict[str, Any] = {
    "symbol": "BTCUSD",
    "fundingRate": "0.000076",
    "fundingTime": "1789977600000",
}
CONTRACT: dict[str, Any] = {
    "symbol": "1000BONKUSDT",
    "baseCoin": "1000BONK",
    "quoteCoin": "USDT",
    "symbolType": "perpetual",
    "symbolStatus": "normal",
    "fundInterval": "8",
    "launchTime": "1700000000000",
    "offTime": "-1",
    "isRwa": "NO",
}
LIQUIDITY: dict[str, Any] = {
    "symbol": "BTCUSD",
    "quoteVolume": "1234567.5",
    "holdingAmount": "64.25",
    "markPrice": "85010.5",
    "ts": "1790000123000",
}


def _enveloped(row: Any) -> Any:
    return {"code": "00000", "msg": "success", "data": [row]}


PAYLOADS = (
    Sample("bitget", "stream", "ticker", "1000BONKUSDT", TICKER_FRAME),
    *(
        Sample("bitget", purpose, "current-fund-rate", "ETHPERP", CURRENT_RATE, _enveloped)
        for purpose in ("fallback", "reconcile", "contract")
    ),
    Sample("bitget", "history", "history-fund-rate", "BTCUSD", SETTLED, _enveloped),
    *(
        Sample("bitget", "contract", resource, "1000BONKUSDT", CONTRACT, _enveloped)
        for resource in ("contracts", "contracts-usdc", "contracts-coin")
    ),
    Sample("bitget", "contract", "tickers", "BTCUSD", LIQUIDITY, _enveloped),
)

DOCUMENTED = Documented(
    sockets=["wss://ws.bitget.com/v2/ws/public"],
    rest_url="https://api.bitget.com",
    costs={
        **{key: [1, 1] for key in ("contracts", "contracts-usdc", "contracts-coin")},
        **{key: [1, 1] for key in ("current-fund-rate", "tickers")},
    },
    contracts=ContractList(
        lambda rows: listed(*rows, before='{"code":"00000","data":[', after="]}"),
        lambda name: {"symbol": name, "symbolType": "perpetual"},
        optional=("symbolStatus", "launchTime", "fundInterval", "isRwa"),
        unlistable={"symbolStatus": 5},
    ),
)

_BTC_HISTORY = "bitget/doc_history_fund_rate_rest.json"
CAPTURED = (
    Captured(
        "bitget/bx_history_fund_rate_rows_rest.json",
        "history",
        "history-fund-rate",
        "BTCUSDT",
        means=tuple(
            SettlementUpdate("BTCUSDT", at_s * 1_000_000, rate)
            for at_s, rate in (
                (1_790_236_800, 0.000059),
                (1_790_265_600, 0.000044),
                (1_790_294_400, 0.000027),
                (1_790_323_200, 0.000053),
                (1_790_352_000, 0.000078),
            )
        ),
        received_at_us=1_790_360_000_000_000,
        around=(b'{"code":"00000","data":', b"}"),
    ),
    Captured(
        "bitget/obs_current_fund_rate_row_rest.json",
        "reply",
        "current-fund-rate",
        "BTCUSDT",
        "fallback",
        (
            RateUpdate(
                "BTCUSDT", 0.0001, next_funding_time=1_789_459_200_000_000, interval_hours=8.0
            ),
        ),
        received_at_us=1_789_455_000_000_000,
        around=(b'{"code":"00000","data":[', b"]}"),
    ),
    Captured(
        "bitget/bx_ws_ticker_v2_BTCUSDT.json",
        "data",
        "ticker",
        "BTCUSDT",
        means=(
            RateUpdate(
                "BTCUSDT",
                0.0001,
                event_time=1_790_358_794_983_000,
                mark_price=83692.3,
                index_price=83720.9225,
                next_funding_time=1_790_380_800_000_000,
            ),
        ),
    ),
    Captured(
        "bitget/tardis_ws_ticker_v3_BTCUSDT.json",
        "data",
        "ticker",
        "BTCUSDT",
        means=(
            RateUpdate(
                "BTCUSDT",
                -0.00003,
                event_time=1_777_358_880_084_000,
                mark_price=76631.3,
                index_price=76671.4381686055379793,
                next_funding_time=1_777_363_200_000_000,
            ),
        ),
    ),
    Captured(
        "bitget/tardis_ws_ticker_v2_dated.json",
        "data",
        "ticker",
        "BTCUSDZ24",
        means=(NoRate("BTCUSDZ24", "a dated contract: no funding"),),
    ),
    Captured("bitget/obs_ws_ack_v2.json", "control"),
    Captured("bitget/obs_ws_error_v2_unknown.json", "control"),
    Captured(
        _BTC_HISTORY,
        "reply",
        "history-fund-rate",
        symbols=["BTCUSDT", "BTCUSDT"],
    ),
)


def _product(symbol: str) -> str:
    ending = {"PERP": "USDC-FUTURES", "USDT": "USDT-FUTURES"}
    return ending.get(symbol[-4:], "COIN-FUTURES")


def _subscriptions(names: Sequence[str]) -> list[str]:
    args = [{"instType": _product(name), "channel": "ticker", "instId": name} for name in names]
    return [
        json.dumps({"op": "subscribe", "args": args[first : first + 40]})
        for first in range(0, len(args), 40)
    ]


def _rows_of(document: Any) -> list[Row]:
    return [
        Row(row["instId"], int(row["ts"]), row["fundingRate"], row, int(row["nextFundingTime"]))
        for row in document.get("data", ())
        if row["symbolType"] == "1"
    ]


_MARKET = "/api/v2/mix/market/"
CLIENTS = {
    "bitget": Client(
        connect=at("/v2/ws/public"),
        subscriptions=_subscriptions,
        question="ping",
        rows=_rows_of,
        current=f"{_MARKET}current-fund-rate?productType=USDT-FUTURES",
        rate="fundingRate",
        funding_time="nextUpdate",
        history=lambda symbol, _since_ms, _now_ms: (
            f"{_MARKET}history-fund-rate?symbol={symbol}&productType={_product(symbol)}"
            "&pageSize=100"
        ),
        settled=lambda reply: lately(
            (int(row["fundingTime"]), float(row["fundingRate"])) for row in reply["data"]
        ),
        contracts=f"{_MARKET}contracts?productType=USDT-FUTURES",
        listed=lambda reply: [(row["symbol"], row.get("symbolStatus")) for row in reply["data"]],
        bad_field=("markPrice", "?"),
        listed_at_ms=lambda reply, symbol: next(
            int(row["launchTime"]) for row in reply["data"] if row["symbol"] == symbol
        ),
        null_field="indexPrice",
        answers=frozenset({b"pong"}),
    )
}
