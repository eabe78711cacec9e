"""Messages of OKX (docs/exchanges/okx.md)."""

from __future__ import annotations

import json
from typing import Any

from producers.exchanges.spec import Control
from stream_app.model import InstrumentUpdate, NoRate, RateUpdate
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

_ROW = (
    b'{"formulaType":"withRate","fundingRate":"0.0000731226180913","fundingTime":"1790006400000",'
    b'"impactValue":"20000.0000000000000000","instId":"ETH-USDT-SWAP","instType":"SWAP",'
    b'"interestRate":"0.0001000000000000","maxFundingRate":"0.00375","method":"current_period",'
    b'"minFundingRate":"-0.00355","nextFundingRate":"","nextFundingTime":"1790035200000",'
    b'"premium":"-0.0003120441870066","prevFundingTime":"1789977600000",'
    b'"settFundingRate":"0.0000518820337742","settState":"settled","ts":"1790000120771"}'
)
_HEAD = b'{"arg":{"channel":"funding-rate","instId":"ETH-USDT-SWAP"},"data":['
_FRAME = _HEAD + _ROW + b"]}"
_ROW_2 = b'{"instId":"SOL-USD-SWAP","fundingRate":"-0.0001","ts":"1790000120980"}'


def _reply(*rows: bytes) -> bytes:
    return b'{"code":"0","data":[' + b",".join(rows) + b'],"msg":""}'


_LISTED = (
    b'{"instType":"SWAP","instId":"PEPE-USDT-SWAP","state":"live","ruleType":"normal"}',
    b'{"instType":"SWAP","instId":"LUNA-USD-SWAP","instFamily":"LUNA-USD","state":"suspend"}',
    b'{"instType":"SWAP","instId":"SPACEX-USDT-SWAP","state":"live","ruleType":"pre_market"}',
    b'{"instType":"SWAP","instId":"TEST-USDT-SWAP","state":"test"}',
    b'{"instType":"FUTURES","instId":"BTC-USD_UM_XPERP-310404","state":"live"}',
)
_SETTLED = (
    b'{"fundingRate":"0.0000811","fundingTime":"1790006400000","realizedRate":"0.0000813"}',
    b'{"fundingRate":"-0.0000244","fundingTime":"1790020800000","realizedRate":"-0.0000247"}',
)
_REFUSED = (
    b'{"id":"s7n2","event":"error","code":"60018","msg":"Wrong URL or channel:funding-rate,'
    b"instId:NOPE-USDT-SWAP doesn't exist. Please use the correct URL, channel and parameters "
    b'referring to API document.","connId":"a4d3"}'
)
_NOTICE = (
    b'{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service '
    b'upgrade. Please reconnect.","connId":"a4d4"}'
)

SAMPLES = Samples(
    data=[
        (_FRAME, Expected("funding-rate", ["ETH-USDT-SWAP"], event_us=1_790_000_120_771_000)),
        (
            _HEAD + _ROW + b", " + _ROW_2 + b" ]}",
            Expected(
                "funding-rate",
                ["ETH-USDT-SWAP", "SOL-USD-SWAP"],
                just(_FRAME, _HEAD + _ROW_2 + b"]}"),
                event_us=1_790_000_120_980_000,
            ),
        ),
        (_HEAD + b"]}", Expected("funding-rate", [], just())),
    ],
    control=[
        (b"pong", Control()),
        (
            b'{"id":"s5n3","event":"subscribe","arg":{"instId":"ADA-USDT-SWAP"}}',
            Control(acknowledged=("ADA-USDT-SWAP",), answers="s5n3"),
        ),
        (
            b'{"event":"unsubscribe","arg":{"channel":"funding-rate","instId":"DOT-USDT-SWAP"}}',
            Control(),
        ),
        (
            _REFUSED,
            Control(refused=True, refused_symbols=("NOPE-USDT-SWAP",), answers="s7n2"),
        ),
        (
            b'{"event":"error","code":"60012","msg":"Invalid request: ...","connId":"a4d2"}',
            Control(refused=True, of_contracts=False),
        ),
        (_NOTICE, Control(ends=True)),
        (
            b'{"event":"channel-conn-count","channel":"funding-rate","connCount":"3"}',
            Control(),
        ),
    ],
    unknown=[
        (b'{"event":"upgrade-soon","connId":"a4d5"}', "upgrade-soon"),
        (
            b'{"arg":{"channel":"mark-price","instId":"ETH-USDT-SWAP"},"data":[{"markPx":"1"}]}',
            "mark-price",
        ),
    ],
    replies={
        "instruments": _reply(*_LISTED),
        "public/funding-rate": _reply(_ROW, _ROW_2),
        "tickers": _reply(_ROW_2),
    },
    pieces={
        "instruments": list(
            zip(
                [
                    *("PEPE-USDT-SWAP", "LUNA-USD-SWAP", "SPACEX-USDT-SWAP", "TEST-USDT-SWAP"),
                    "BTC-USD_UM_XPERP-310404",
                ],
                _LISTED,
                strict=True,
            )
        ),
        "public/funding-rate": [("ETH-USDT-SWAP", _ROW), ("SOL-USD-SWAP", _ROW_2)],
        "tickers": [("SOL-USD-SWAP", _ROW_2)],
    },
    listed={"instruments": {"PEPE-USDT-SWAP": True, "LUNA-USD-SWAP": False}},
    history_symbol="XRP-USDT-SWAP",
    history_page=_reply(*_SETTLED[::-1]),
    history_rows=_SETTLED,
    history_time="fundingTime",
    history_empty=_reply(),
)

ROW: dict[str, Any] = {
    "formulaType": "withRate",
    "fundingRate": "0.0000912044771358",
    "fundingTime": "1790006400000",
    "impactValue": "20000.0000000000000000",
    "instId": "BTC-USDT-SWAP",
    "instType": "SWAP",
    "interestRate": "0.0001000000000000",
    "maxFundingRate": "0.00365",
    "method": "current_period",
    "minFundingRate": "-0.00345",
    "nextFundingRate": "",
    "nextFundingTime": "1790020800000",
    "premium": "-0.0001969158061855",
    "prevFundingTime": "1789977600000",
    "settFundingRate": "0.0000386152740917",
    "settState": "settled",
    "ts": "1790000122645",
}
STREAMED: dict[str, Any] = {
    "arg": {"channel": "funding-rate", "instId": "BTC-USDT-SWAP"},
    "data": [ROW],
}
SETTLED: dict[str, Any] = {
    "formulaType": "withRate",
    "fundingRate": "0.0000711",
    "fundingTime": "1789977600000",
    "instId": "BTC-USDT-SWAP",
    "instType": "SWAP",
    "method": "current_period",
    "realizedRate": "0.0000714",
}
INSTRUMENT: dict[str, Any] = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "uly": "BTC-USDT",
    "instFamily": "BTC-USDT",
    "settleCcy": "USDT",
    "ctVal": "0.01",
    "ctMult": "1",
    "ctValCcy": "BTC",
    "ctType": "linear",
    "listTime": "1573557408000",
    "expTime": "",
    "ruleType": "normal",
    "state": "live",
}
TICKER: dict[str, Any] = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "last": "84660.5",
    "vol24h": "7211043.11",
    "volCcy24h": "72110.4311",
    "ts": "1790000122101",
}
HELD: dict[str, Any] = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "oi": "2660239.59",
    "oiCcy": "26602.3959",
    "oiUsd": "2252180411.07",
    "ts": "1790000122204",
}

MARKED: dict[str, Any] = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "markPx": "84655.4",
    "ts": "1790000122305",
}


def _listed(row: Any) -> Any:
    return {"code": "0", "msg": "", "data": [row]}


_BTC = "BTC-USDT-SWAP"
PAYLOADS = (
    Sample("okx", "stream", "funding-rate", _BTC, STREAMED),
    Sample("okx", "fallback", "public/funding-rate", _BTC, ROW, _listed),
    Sample("okx", "reconcile", "public/funding-rate", _BTC, ROW, _listed),
    Sample("okx", "contract", "public/funding-rate", _BTC, ROW, _listed),
    Sample("okx", "history", "funding-rate-history", _BTC, SETTLED, _listed),
    Sample("okx", "contract", "instruments", _BTC, INSTRUMENT, _listed),
    Sample("okx", "contract", "tickers", _BTC, TICKER, _listed),
    Sample("okx", "contract", "open-interest", _BTC, HELD, _listed),
    Sample("okx", "contract", "mark-price", _BTC, MARKED, _listed),
)

DOCUMENTED = Documented(
    sockets=["wss://ws.okx.com:8443/ws/v5/public"],
    rest_url="https://www.okx.com",
    costs={
        "instruments": [1],
        "public/funding-rate": [1],
        "tickers": [1],
        "open-interest": [1],
        "mark-price": [1],
    },
    contracts=ContractList(
        lambda rows: listed(*rows, before='{"code":"0","data":[', after="]}"),
        lambda name: {"instId": name, "instType": "SWAP"},
        optional=("state", "ruleType", "listTime", "instFamily"),
        unlistable={"state": 5},
    ),
)

_XPERP = "BTC-USD_UM_XPERP-310404"
CAPTURED = (
    Captured(
        "okx/nautilus_mark_price_rest.json",
        "reply",
        "mark-price",
        "BTC-USDT-SWAP",
        "contract",
        (InstrumentUpdate("BTC-USDT-SWAP", mark_price=84660.1),),
    ),
    # Its settlement is of more than two hours before: that is the history's.
    Captured(
        "okx/kh_ws_funding_rate_BTC.json",
        "data",
        "funding-rate",
        "BTC-USDT-SWAP",
        means=(
            RateUpdate(
                "BTC-USDT-SWAP",
                0.0000691479391544,
                event_time=1_788_488_645_809_000,
                next_funding_time=1_788_508_800_000_000,
                interval_hours=8.0,
            ),
        ),
    ),
    Captured("okx/kh_ws_subscribe_ack.json", "control"),
    Captured(
        "okx/tardis_okex-xperp_funding_rate.json",
        "data",
        "funding-rate",
        _XPERP,
        means=(NoRate(_XPERP, "no swap"),),
    ),
    Captured("okx/tardis_okex-futures_02.json", "data", "funding-rate", symbols=[_XPERP]),
    Captured(
        "okx/hummingbot_ws_funding_rate.json",
        "data",
        "funding-rate",
        "BTC-USDT-SWAP",
        means=(
            RateUpdate(
                "BTC-USDT-SWAP",
                0.0000691810863830,
                event_time=1_706_148_300_320_000,
                next_funding_time=1_706_169_600_000_000,
                interval_hours=8.0,
            ),
        ),
    ),
    Captured(
        "okx/hummingbot_funding_rate_rest.json",
        "reply",
        "public/funding-rate",
        "BTC-USDT-SWAP",
        "fallback",
        means=(
            RateUpdate(
                "BTC-USDT-SWAP",
                0.0000792386885340,
                event_time=1_703_070_685_309_000,
                next_funding_time=1_703_088_000_000_000,
                interval_hours=8.0,
            ),
        ),
    ),
    # Rows of before 2023 say neither when they were made nor the interval.
    Captured(
        "okx/tardis_okex-swap_04.json",
        "data",
        "funding-rate",
        "WNCG-USDT-SWAP",
        means=(
            RateUpdate(
                "WNCG-USDT-SWAP",
                0.00048105,
            ),
        ),
        received_at_us=1_640_217_600_000_000,
    ),
    Captured(
        "okx/cmp_okx_inverse_swap.json",
        "data",
        "funding-rate",
        "BTC-USD-SWAP",
        means=(
            RateUpdate(
                "BTC-USD-SWAP",
                0.0000734174532791,
                next_funding_time=1_646_323_200_000_000,
            ),
        ),
        received_at_us=1_646_300_000_000_000,
    ),
)


def _rows_of(document: Any) -> list[Row]:
    return [
        Row(row["instId"], int(row["ts"]), row["fundingRate"], row, int(row["fundingTime"]))
        for row in document.get("data", ())
    ]


CLIENTS = {
    "okx": Client(
        connect=at("/ws/v5/public"),
        subscriptions=lambda names: [
            json.dumps(
                {
                    "op": "subscribe",
                    "args": [{"channel": "funding-rate", "instId": name} for name in names],
                }
            )
        ],
        question="ping",
        rows=_rows_of,
        current="/api/v5/public/funding-rate?instId=ANY",
        rate="fundingRate",
        funding_time="fundingTime",
        history=lambda symbol, _since_ms, _now_ms: (
            f"/api/v5/public/funding-rate-history?instId={symbol}&limit=400"
        ),
        settled=lambda reply: [
            (int(row["fundingTime"]), float(row["realizedRate"])) for row in reply["data"]
        ],
        contracts="/api/v5/public/instruments?instType=SWAP",
        listed=lambda reply: [(row["instId"], row.get("state")) for row in reply["data"]],
        bad_field=("settFundingRate", "?"),
        bad_text='"settFundingRate":"?"',
        listed_at_ms=lambda reply, symbol: next(
            int(row["listTime"]) for row in reply["data"] if row["instId"] == symbol
        ),
        null_field="premium",
        answers=frozenset({b"pong"}),
        own={"okx_push_s": 0.025},
    )
}
