"""Messages of MEXC (docs/exchanges/mexc.md)."""

from __future__ import annotations

import json
from typing import Any

from producers.exchanges.spec import Control
from stream_app.model import RateUpdate, SettlementUpdate
from tests.venues.clients import Client, Row, at, lately
from tests.venues.samples import (
    Captured,
    ContractList,
    Documented,
    Expected,
    Sample,
    Samples,
    listed,
)

_PUSH = (
    b'{"symbol":"SOL_USDT","data":{"symbol":"SOL_USDT","rate":-0.000213,"nextSettleTime":'
    b'1790006400000},"channel":"push.funding.rate","ts":1790000123407}'
)
_BARE = b'{"channel":"push.funding.rate","data":{"symbol":"BTC_USD","rate":1.5e-05}}'


def _reply(*rows: bytes) -> bytes:
    """A reply of REST."""
    return b'{"success":true,"code":0,"data":[%b]}' % b", ".join(rows)


_DETAILS = (
    (
        b'{"symbol":"SOL_USDT","baseCoin":"SOL","quoteCoin":"USDT","settleCoin":"USDT","state":0,'
        b'"futureType":1,"type":1,"contractSize":0.1}'
    ),
    (
        b'{"symbol":"NVDA_USDT","baseCoin":"NVDA","quoteCoin":"USDT","settleCoin":'
        b'"USDT","state":4,"futureType":1,"type":2,"contractSize":0.01}'
    ),
    (
        b'{"symbol":"BTC_USD","baseCoin":"BTC","quoteCoin":"USD","settleCoin":"BTC","state":0,'
        b'"futureType":1,"type":1,"contractSize":100}'
    ),
    (
        b'{"symbol":"OLD_USDT","baseCoin":"OLD","quoteCoin":"USDT","settleCoin":"USDT","state":3,'
        b'"futureType":1}'
    ),
    (
        b'{"symbol":"BTC_USDT_261225","baseCoin":"BTC","quoteCoin":"USDT","settleCoin":"USDT",'
        b'"state":0,"futureType":2}'
    ),
)
_RATES = (
    (
        b'{"symbol":"SOL_USDT","fundingRate":-2.13E-4,"maxFundingRate":0.0071,"minFundingRate":'
        b'-0.0072,"collectCycle":8,"nextSettleTime":1790006400000,"timestamp":1790000122000,'
        b'"idxPrice":141.31,"fairPrice":141.25}'
    ),
    (
        b'{"symbol":"VINE_USDT","fundingRate":0,"maxFundingRate":0.002,"minFundingRate":-0.0021,'
        b'"collectCycle":4,"nextSettleTime":1790006400000,"timestamp":1790000121000,"idxPrice":'
        b'0.0412,"fairPrice":0.0413}'
    ),
)
_TICKERS = (
    (
        b'{"symbol":"SOL_USDT","lastPrice":141.2,"volume24":51234,"amount24":723456.5,"holdVol":991,'
        b'"fairPrice":141.24,"indexPrice":141.3,"fundingRate":-0.000214,"timestamp":1790000120500}'
    ),
)
_SETTLED = (
    (b'{"symbol":"SOL_USDT","fundingRate":0.000131,"settleTime":1790006400000,"collectCycle":8}'),
    b'{"symbol":"SOL_USDT","fundingRate":-5.9E-05,"settleTime":1789977600000}',
)


def _page(*rows: bytes) -> bytes:
    """A page of the history."""
    return (
        b'{"success":true,"code":0,"data":{"pageSize":100,"totalCount":%d,"totalPage":1,'
        b'"currentPage":1,"resultList":[%b]}}' % (len(rows), b",".join(rows))
    )


SAMPLES = Samples(
    data=[
        (_PUSH, Expected("push.funding.rate", ["SOL_USDT"], event_us=1_790_000_123_407_000)),
        (_BARE, Expected("push.funding.rate", ["BTC_USD"])),
    ],
    control=[
        (b'{"channel":"rs.sub.funding.rate","data":"success","ts":1790000121789}', Control()),
        (b'{"channel":"rs.unsub.funding.rate","data":"success","ts":1790000121799}', Control()),
        (b'{"channel":"pong","data":1790000136785,"ts":1790000136785}', Control()),
        (
            b'{"channel":"rs.error","data":"Contract [NOSUCH_USDT] not exists","ts":1790000121790}',
            Control(refused=True, refused_symbols=("NOSUCH_USDT",)),
        ),
        (b'{"channel":"rs.error","data":"something else","ts":1}', Control(refused=True)),
        (b'{"channel":"rs.error","data":null}', Control(refused=True)),
        (b'{"channel":"rs.sub.funding.rate","data":"failure"}', Control(refused=True)),
    ],
    unknown=[
        (
            b'{"channel":"push.ticker","data":{"symbol":"SOL_USDT","fundingRate":0.1}}',
            "push.ticker",
        ),
        (b'{"channel":"push.tickers","data":[{"symbol":"SOL_USDT"}],"ts":1}', "push.tickers"),
    ],
    replies={
        "detail": _reply(*_DETAILS),
        "funding_rate": _reply(*_RATES),
        "ticker": _reply(*_TICKERS),
    },
    pieces={
        "detail": list(
            zip(
                ["SOL_USDT", "NVDA_USDT", "BTC_USD", "OLD_USDT", "BTC_USDT_261225"],
                _DETAILS,
                strict=True,
            )
        ),
        "funding_rate": list(zip(["SOL_USDT", "VINE_USDT"], _RATES, strict=True)),
        "ticker": [("SOL_USDT", _TICKERS[0])],
    },
    listed={
        "detail": {
            "SOL_USDT": True,
            "NVDA_USDT": False,
            "BTC_USD": True,
            "OLD_USDT": False,
        }
    },
    history_symbol="SOL_USDT",
    history_page=_page(*_SETTLED),
    history_rows=_SETTLED,
    history_time="settleTime",
    history_empty=_page(),
    history_span=(1_789_980_000_000, 1_790_030_000_000),
)

PUSH: dict[str, Any] = {
    "symbol": "1000BONK_USDT",
    "data": {"symbol": "1000BONK_USDT", "rate": 0.000157, "nextSettleTime": 1_790_006_400_000},
    "channel": "push.funding.rate",
    "ts": 1_790_000_123_398,
}
CURRENT_RATE: dict[str, Any] = {
    "symbol": "ETH_USDC",
    "fundingRate": -0.000031,
    "maxFundingRate": 0.0029,
    "minFundingRate": -0.0031,
    "collectCycle": 4,
    "nextSettleTime": 1_790_006_400_000,
    "timestamp": 1_790_000_122_345,
    "idxPrice": 2811.25,
    "fairPrice": 2811.75,
}
SETTLED: dict[str, Any] = {
    "symbol": "BTC_USD",
    "fundingRate": 0.000076,
    "settleTime": 1_789_977_600_000,
    "collectCycle": 8,
}
CONTRACT: dict[str, Any] = {
    "symbol": "1000BONK_USDT",
    "baseCoin": "1000BONK",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "state": 0,
    "futureType": 1,
    "type": 1,
    "contractSize": 10,
}
TICKER: dict[str, Any] = {
    "symbol": "BTC_USD",
    "amount24": 64.25,
    "holdVol": 5005,
    "fairPrice": 85010.5,
    "timestamp": 1_790_000_123_000,
}


def _enveloped(row: Any) -> Any:
    return {"success": True, "code": 0, "data": [row]}


def _in_a_page(row: Any) -> Any:
    return {"success": True, "code": 0, "data": {"totalPage": 1, "resultList": [row]}}


PAYLOADS = (
    Sample("mexc", "stream", "push.funding.rate", "1000BONK_USDT", PUSH),
    *(
        Sample("mexc", purpose, "funding_rate", "ETH_USDC", CURRENT_RATE, _enveloped)
        for purpose in ("fallback", "reconcile", "contract")
    ),
    Sample("mexc", "history", "funding_rate/history", "BTC_USD", SETTLED, _in_a_page),
    Sample("mexc", "contract", "detail", "1000BONK_USDT", CONTRACT, _enveloped),
    Sample("mexc", "contract", "ticker", "BTC_USD", TICKER, _enveloped),
)

DOCUMENTED = Documented(
    sockets=["wss://contract.mexc.com/edge"],
    rest_url="https://api.mexc.com",
    costs={"detail": [1], "funding_rate": [1], "ticker": [1]},
    contracts=ContractList(
        lambda rows: listed(*rows, before='{"success":true,"code":0,"data":[', after="]}"),
        lambda name: {"symbol": name, "futureType": 1},
        optional=("state", "contractSize", "type", "settleCoin"),
        unlistable={"symbol": 5},
    ),
)

_BTC = "BTC_USDT"
CAPTURED = (
    Captured(
        "mexc/obs_funding_rate_row_rest.json",
        "reply",
        "funding_rate",
        _BTC,
        "fallback",
        (
            RateUpdate(
                _BTC,
                0.000067,
                event_time=1_789_455_551_670_000,
                mark_price=77240.4,
                index_price=77271.6,
                next_funding_time=1_789_459_200_000_000,
                interval_hours=8.0,
            ),
        ),
        around=(b'{"success":true,"code":0,"data":[', b"]}"),
    ),
    Captured(
        "mexc/obs_ws_push_funding_rate.json",
        "data",
        "push.funding.rate",
        _BTC,
        means=(
            RateUpdate(
                _BTC,
                0.000081,
                event_time=1_789_498_561_049_000,
                next_funding_time=1_789_516_800_000_000,
            ),
        ),
    ),
    Captured("mexc/obs_ws_error_unknown.json", "control"),
    Captured("mexc/obs_ws_pong.json", "control"),
    Captured("mexc/doc_ws_push_ticker.json", "data", "push.ticker", symbols=()),
    Captured(
        "mexc/g_funding_rate_list_rest.json",
        "reply",
        "funding_rate",
        _BTC,
        "fallback",
        (
            RateUpdate(
                _BTC,
                0.0001,
                event_time=1_789_827_293_197_000,
                mark_price=81351.6,
                index_price=81382.7,
                next_funding_time=1_789_833_600_000_000,
                interval_hours=8.0,
            ),
        ),
        symbols=[_BTC, "CVC_USDT"],
    ),
    Captured(
        "mexc/g_funding_rate_list_rest.json",
        "reply",
        "funding_rate",
        "CVC_USDT",
        "fallback",
        (
            RateUpdate(
                "CVC_USDT",
                -0.000379,
                mark_price=0.02788,
                index_price=0.028,
                next_funding_time=1_789_826_400_000_000,
                interval_hours=1.0,
            ),
        ),
        received_at_us=1_789_825_000_000_000,
    ),
    Captured(
        "mexc/g_funding_rate_history_rest.json",
        "reply",
        "funding_rate/history",
        symbols=[_BTC, _BTC],
    ),
    Captured(
        "mexc/doc_funding_rate_history_rest.json",
        "reply",
        "funding_rate/history",
        _BTC,
        "history",
        (SettlementUpdate(_BTC, 1_609_804_800_000_000, 0.000266),),
    ),
)


def _rows_of(document: Any) -> list[Row]:
    if document.get("channel") != "push.funding.rate":
        return []
    data = document["data"]
    return [
        Row(
            data["symbol"],
            document["ts"],
            str(data["rate"]),
            data,
            data["nextSettleTime"],
        )
    ]


_API = "/api/v1/contract/"
CLIENTS = {
    "mexc": Client(
        connect=at("/edge"),
        subscriptions=lambda names: [
            json.dumps({"method": "sub.funding.rate", "param": {"symbol": name}}) for name in names
        ],
        question='{"method":"ping"}',
        rows=_rows_of,
        current=f"{_API}funding_rate",
        rate="fundingRate",
        funding_time="nextSettleTime",
        history=lambda symbol, _since_ms, _now_ms: (
            f"{_API}funding_rate/history?symbol={symbol}&page_num=1&page_size=100"
        ),
        settled=lambda reply: lately(
            (row["settleTime"], row["fundingRate"]) for row in reply["data"]["resultList"]
        ),
        contracts=f"{_API}detail",
        listed=lambda reply: [(row["symbol"], row.get("state")) for row in reply["data"]],
        bad_field=("nextSettleTime", "17"),
        bad_text='"nextSettleTime":17,',
        null_field="nextSettleTime",
        own={"mexc_push_s": 0.025, "mexc_pushes": "all"},
    )
}
