"""Messages of KuCoin Futures (docs/exchanges/kucoin.md)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import aiohttp

from producers.exchanges.spec import Control
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

_FEE = (
    b'{"s":"XBTUSDTM","fr":"0.000072","ft":1786809600000,"lfr":"0.000069","nt":1786838400000,'
    b'"gl":28800000,"fc":"0.003","ff":"-0.0031"}'
)
_FEE_2 = b'{"s":"TRUSTUSDTM","fr":"-0.0001","lfr":"0.0002","gl":14400000}'
_HEAD = b'{"T":"funding-fee-all-symbols","P":1786809901214267234,"d":['
_SINGLE = b'{"T":"funding-fee","P":1790114460967760880,"d":{"s":"XBTUSDTM","fr":"-0.000076"}}'
_RATE = (
    b'{"topic":"/contract/instrument:XBTUSDTM","type":"message","subject":"funding.rate",'
    b'"data":{"period":1,"granularity":60000,"fundingRate":-7.6E-5,"timestamp":1790114460000}}'
)
_MARK = (
    b'{"topic":"/contract/instrument:ETHUSDTM","type":"message","subject":"mark.index.price",'
    b'"data":{"markPrice":86201.79,"indexPrice":86248.81,"timestamp":1790113097000}}'
)
_ALL = (
    b'{"topic":"/contract/instrument:ALL","type":"message","subject":"funding.rate",'
    b'"data":{"symbol":"IDUSDTM","granularity":60001,"fundingRate":-0.00088}}'
)
_BEGIN = (
    b'{"type":"message","topic":"/contract/announcement","subject":"funding.begin",'
    b'"data":{"symbol":"SOLUSDTM","fundingTime":1551770400000,"fundingRate":-0.002966}}'
)
_BEGIN_OF_ONE = (
    b'{"type":"message","topic":"/contract/announcement:ADAUSDTM","subject":"funding.begin",'
    b'"data":{"symbol":"ADAUSDTM","fundingTime":1551770400001,"fundingRate":0.000731}}'
)
_ACTIVE = (
    b'{"symbol":"XBTUSDTM","type":"FFWCSX","status":"Open","fundingFeeRate":0.000052}',
    b'{"symbol":"ETHUSDM","type":"FFWCSX","status":"BeingSettled","multiplier":-1}',
    b'{"symbol":"OLDUSDTM","type":"FFWCSX","status":"Closed"}',
    b'{"symbol":"XBTMZ26","type":"FFICSX","status":"Open"}',
)
_SETTLED_ROW = b'{"symbol":"XBTUSDTM","fundingRate":1.33E-4,"timepoint":1790001057600}'

SAMPLES = Samples(
    data=[
        (
            _HEAD + _FEE + b" , " + _FEE_2 + b" ]}",
            Expected(
                "funding-fee-all-symbols",
                ["XBTUSDTM", "TRUSTUSDTM"],
                just(_HEAD + _FEE + b"]}", _HEAD + _FEE_2 + b"]}"),
                event_us=1_786_809_901_214_267,
            ),
        ),
        (
            b'{"d":[' + _FEE_2 + b'],"T":"funding-fee-all-symbols","P":9001}',
            Expected("funding-fee-all-symbols", ["TRUSTUSDTM"], event_us=9),
        ),
        (
            b'{"T":"funding-fee-all-symbols","P":7999,"d":[]}',
            Expected("funding-fee-all-symbols", [], just(), event_us=7),
        ),
        (_SINGLE, Expected("funding-fee", ["XBTUSDTM"], event_us=1_790_114_460_967_760)),
        (_RATE, Expected("instrument:funding.rate", ["XBTUSDTM"])),
        (_ALL, Expected("instrument:funding.rate", ["IDUSDTM"])),
        (_BEGIN, Expected("announcement:funding.begin", ["SOLUSDTM"])),
        (_BEGIN_OF_ONE, Expected("announcement:funding.begin", ["ADAUSDTM"])),
        (
            b'{"T":"mark-price","P":1790113097443102279,"d":{"s":"SOLUSDTM","mp":"141.7"}}',
            Expected("mark-price", ["SOLUSDTM"], published=False, event_us=1_790_113_097_443_102),
        ),
        (_MARK, Expected("instrument:mark.index.price", [], just(), published=False)),
    ],
    control=[
        (
            b'{"sessionId":"e8e4","message":"welcome","pingInterval":18000}',
            Control(greeting=True, ping_every_s=18.0),
        ),
        (b'{"id":"12","type":"welcome"}', Control(greeting=True)),
        (b'{"id":"1","result":true}', Control()),
        (b'{"id":"2","result":"true"}', Control()),
        (b'{"id":"p18","result":false,"message":"invalid request data"}', Control(refused=True)),
        (b'{"id":"p20","result":false,"reason":"topic not allowed"}', Control(refused=True)),
        (b'{"type":"pong","id":"p32","ts":1790113111261396000}', Control()),
        (b'{"id":"p16","type":"pong","timestamp":1790113097236506}', Control()),
        (b'{"id":"15","type":"ack"}', Control()),
        (b'{"type":"error","code":401,"data":"token is expired"}', Control(refused=True)),
        (
            b'{"id":"p28","type":"error","code":404,"data":"topic does not exist"}',
            Control(refused=True),
        ),
    ],
    unknown=[
        (b'{"T":"index-halt","P":1790113097443102281,"d":[{"x":1}]}', "index-halt"),
        (
            b'{"topic":"/contract/announcement:SOLUSDTM","type":"message","subject":"funding.no"}',
            "announcement:funding.no",
        ),
        (
            b'{"topic":"/contractMarket/tickerV2:SOLUSDTM","type":"message","subject":"tickerV2"}',
            "/contractMarket/tickerV2:tickerV2",
        ),
        (b'{"id":"9","type":"notice","data":"upgrade"}', "notice"),
    ],
    replies={"contracts/active": b'{"code":"200000","data":' + array(*_ACTIVE) + b"}"},
    pieces={
        "contracts/active": list(
            zip(["XBTUSDTM", "ETHUSDM", "OLDUSDTM", "XBTMZ26"], _ACTIVE, strict=True)
        )
    },
    listed={"contracts/active": {"XBTUSDTM": True, "ETHUSDM": True, "OLDUSDTM": False}},
    history_symbol="XBTUSDTM",
    history_page=b'{"code":"200000","data":' + array(_SETTLED_ROW) + b"}",
    history_rows=[_SETTLED_ROW],
    history_time="timepoint",
    history_empty=b'{"code":"200000","data":[]}',
)

UTA_ROW: dict[str, Any] = {
    "s": "XBTUSDTM",
    "fr": "0.000072",
    "ft": 1_789_977_600_000,
    "lfr": "-0.000069",
    "nt": 1_790_006_400_000,
    "gl": 28_800_000,
    "fc": "0.003",
    "ff": "-0.004",
}
UTA_FRAME: dict[str, Any] = {
    "T": "funding-fee-all-symbols",
    "P": 1_790_000_121_214_267_234,
    "d": [UTA_ROW],
}
INSTRUMENT: dict[str, Any] = {
    "topic": "/contract/instrument:XBTUSDTM",
    "type": "message",
    "subject": "funding.rate",
    "data": {
        "period": 1,
        "granularity": 60_000,
        "fundingRate": -0.000076,
        "timestamp": 1_790_000_100_000,
    },
}
BEGIN: dict[str, Any] = {
    "type": "message",
    "topic": "/contract/announcement",
    "subject": "funding.begin",
    "data": {
        "symbol": "XBTUSDTM",
        "fundingTime": 1_789_977_600_000,
        "fundingRate": -0.002966,
        "timestamp": 1_789_977_601_500,
    },
}
END: dict[str, Any] = {
    **BEGIN,
    "subject": "funding.end",
    "data": {**BEGIN["data"], "timestamp": 1_789_977_610_000},
}
CONTRACT: dict[str, Any] = {
    "symbol": "XBTUSDTM",
    "rootSymbol": "ROOT",
    "type": "FFWCSX",
    "baseCurrency": "XBT",
    "quoteCurrency": "USDT",
    "settleCurrency": "SETTLE",
    "multiplier": 0.001,
    "isInverse": False,
    "status": "Open",
    "fundingFeeRate": 5.2e-5,
    "predictedFundingFeeRate": 0.000083,
    "lastTimeFundingRate": 0.000041,
    "fundingRateGranularity": 28_800_000,
    "currentFundingRateGranularity": 14_400_000,
    "fundingRateCap": 0.003,
    "fundingRateFloor": -0.004,
    "markPrice": 86378.69,
    "indexPrice": 86382.64,
    "nextFundingRateTime": 6_276_500,
    "nextFundingRateDateTime": 1_790_006_400_000,
    "maxLeverage": 125,
}
KUCOIN_SETTLED: dict[str, Any] = {
    "symbol": "XBTUSDTM",
    "fundingRate": 1.33e-4,
    "timepoint": 1_789_977_600_000,
}


def _one_row(row: Any) -> Any:
    return {**row, "T": "funding-fee"}


def _data(row: Any) -> Any:
    return {"code": "200000", "data": [row]}


PAYLOADS = (
    Sample("kucoin", "stream", "funding-fee-all-symbols", "XBTUSDTM", UTA_FRAME),
    Sample("kucoin", "stream", "funding-fee", "XBTUSDTM", {**UTA_FRAME, "d": UTA_ROW}, _one_row),
    Sample("kucoin", "stream", "instrument:funding.rate", "XBTUSDTM", INSTRUMENT),
    Sample("kucoin", "stream", "announcement:funding.begin", "XBTUSDTM", BEGIN),
    Sample("kucoin", "stream", "announcement:funding.end", "XBTUSDTM", END),
    Sample("kucoin", "fallback", "contracts/active", "XBTUSDTM", CONTRACT, _data),
    Sample("kucoin", "reconcile", "contracts/active", "XBTUSDTM", CONTRACT, _data),
    Sample("kucoin", "contract", "contracts/active", "XBTUSDTM", CONTRACT, _data),
    Sample("kucoin", "history", "funding-rates", "XBTUSDTM", KUCOIN_SETTLED, _data),
)

DOCUMENTED = Documented(
    sockets=["wss://x-push-futures.kucoin.com/"],
    rest_url="https://api-futures.kucoin.com",
    costs={"contracts/active": [3]},
    contracts=ContractList(
        lambda rows: listed(*rows, before='{"code":"200000","data":[', after="]}"),
        lambda name: {"symbol": name},
        optional=("status", "type", "firstOpenDate", "fundingRateGranularity"),
        unlistable={"status": 5},
    ),
)

CAPTURED = (
    Captured(
        "kucoinfutures/obs_classic_funding_rate.json",
        "data",
        "instrument:funding.rate",
        "XBTUSDTM",
        symbols=["XBTUSDTM"],
    ),
    Captured(
        "kucoinfutures/rust_instrument_all_funding_rate.json",
        "data",
        "instrument:funding.rate",
        "IDUSDTM",
        symbols=["IDUSDTM"],
    ),
    Captured(
        "kucoinfutures/go_doc_funding_begin.json",
        "data",
        "announcement:funding.begin",
        "XBTUSDTM",
        symbols=["XBTUSDTM"],
    ),
    Captured(
        "kucoinfutures/obs_uta_mark_price.json",
        "ignored",
        "mark-price",
        "XBTUSDTM",
        symbols=["XBTUSDTM"],
    ),
    Captured("kucoinfutures/obs_classic_error_404.json", "control"),
    Captured("kucoinfutures/obs_classic_pong.json", "control"),
    Captured("kucoinfutures/obs_uta_ack.json", "control"),
    Captured("kucoinfutures/obs_uta_refusal.json", "control"),
    Captured("kucoinfutures/obs_uta_welcome.json", "control"),
)


def _uta_rows(document: Any) -> list[Row]:
    if document.get("T") != "funding-fee-all-symbols" or "d" not in document:
        return []
    return [
        Row(row["s"], document["P"], row["fr"], {**row, "P": document["P"]}, row["nt"])
        for row in document["d"]
    ]


def _classic_rows(document: Any) -> list[Row]:
    data = document.get("data")
    if document.get("subject") != "funding.rate" or data["granularity"] != 60_000:
        return []
    symbol = document["topic"].split(":")[1]
    return [Row(symbol, data["timestamp"], str(data["fundingRate"]), data)]


async def _with_token(http: aiohttp.ClientSession, url: str) -> str:
    async with http.post(f"{url}/api/v1/bullet-public") as reply:
        document = json.loads(await reply.read())["data"]
    return f"{document['instanceServers'][0]['endpoint']}?token={document['token']}&connectId=c"


_UTA = Client(
    connect=at(""),
    subscriptions=lambda _names: [
        '{"id":"1","action":"SUBSCRIBE","channel":"funding-fee-all-symbols"}'
    ],
    question='{"id":"77","type":"ping"}',
    rows=_uta_rows,
    current="/api/ua/v2/market/funding-rate",
    rate="nextFundingRate",
    funding_time="fundingTime",
    # It returns the newest hundred at most: of four days, all.
    history=lambda symbol, since_ms, now_ms: (
        f"/api/v1/contract/funding-rates?symbol={symbol}"
        f"&from={max(since_ms, now_ms - 96 * 3_600_000)}&to={2**44}"
    ),
    settled=lambda reply: [(row["timepoint"], row["fundingRate"]) for row in reply["data"]],
    contracts="/api/v1/contracts/active",
    listed=lambda reply: [(row["symbol"], row.get("status")) for row in reply["data"]],
    bad_field=("lfr", "0.12"),
    bad_text='"lastTimeFundingRate":0.12,',
    listed_at_ms=lambda reply, symbol: next(
        row["firstOpenDate"] for row in reply["data"] if row["symbol"] == symbol
    ),
    null_field="lfr",
    own={"kucoin_push_s": 0.025},
)
CLIENTS = {
    "kucoin": _UTA,
    "kucoin-classic": replace(
        _UTA,
        connect=_with_token,
        subscriptions=lambda names: [
            json.dumps(
                {
                    "id": 1,
                    "type": "subscribe",
                    "topic": f"/contract/instrument:{','.join(names)}",
                    "response": True,
                }
            )
        ],
        rows=_classic_rows,
    ),
}
