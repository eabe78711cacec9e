"""Messages of dYdX's indexer (docs/exchanges/dydx.md)."""

from __future__ import annotations

import json
import re
from typing import Any

from producers.exchanges.spec import Control
from schemas.times import US_PER_HOUR
from stream_app.model import NoRate, RateUpdate, SettlementUpdate
from tests.venues.clients import Client, Row, at, time_ms
from tests.venues.samples import (
    RECEIVED_AT_US,
    Captured,
    ContractList,
    Documented,
    Expected,
    Sample,
    Samples,
    just,
)

_SOL_ROW = (
    b'{"clobPairId":"5","ticker":"SOL-USD","status":"ACTIVE","oraclePrice":"141.6915231",'
    b'"priceChange24H":"-2.814","volume24H":"30447205.61","trades24H":18263,'
    b'"nextFundingRate":"-0.00000937416666666667","initialMarginFraction":"0.05",'
    b'"openInterest":"80417.25","marketType":"CROSS"}'
)
_LONG = "WIF,raydium,EP2ib6dYdEeqD8MfE2ezHCxX3kP3K2eLKkirfPm5eyMx-USD"
_LONG_ROW = (
    b'{"clobPairId":"201","ticker":"' + _LONG.encode() + b'","status":"PAUSED",'
    b'"oraclePrice":null,"nextFundingRate":"0","openInterest":"0","volume24H":"0"}'
)
_NEW_ROW = (
    b'{"clobPairId":"310","ticker":"NEW-USD","status":"INITIALIZING","oraclePrice":"0.51",'
    b'"nextFundingRate":"0.0000125"}'
)
_MAP = (
    b'{"SOL-USD":' + _SOL_ROW + b',"' + _LONG.encode() + b'": ' + _LONG_ROW
    + b',"NEW-USD":' + _NEW_ROW + b"}"
)  # fmt: skip
_CONNECTION = b'"connection_id":"7d3c1f0e-9a41-4c55-8b02-5be0c2f0a961"'
_SNAPSHOT = (
    b'{"type":"subscribed",' + _CONNECTION + b',"message_id":1,"channel":"v4_markets",'
    b'"contents":{"markets":' + _MAP + b"}}"
)
_RATE_ROW = b'{"id":"5","priceChange24H":"-2.71","nextFundingRate":"-0.0000094"}'
_NO_RATE_ROW = b'{"id":"310","openInterest":"20716.853"}'
_TRADING = (
    b'{"type":"channel_data",' + _CONNECTION + b',"message_id":2,"channel":"v4_markets",'
    b'"version":"1.0.0","contents":{"trading":{"SOL-USD":' + _RATE_ROW + b',"NEW-USD":'
    + _NO_RATE_ROW + b"}}}"
)  # fmt: skip
_ORACLE_ROW = (
    b'{"oraclePrice":"141.7302","effectiveAt":"2026-09-21T14:15:23.118Z",'
    b'"effectiveAtHeight":"81234567","marketId":5}'
)
_ORACLE = (
    b'{"type":"channel_data",' + _CONNECTION + b',"message_id":3,"channel":"v4_markets",'
    b'"version":"1.0.0","contents":{"oraclePrices":{"SOL-USD":' + _ORACLE_ROW + b"}}}"
)
_SETTLED = (
    (
        b'{"ticker":"SOL-USD","rate":"-0.000009375","price":"141.52071",'
        b'"effectiveAtHeight":"81233001","effectiveAt":"2026-09-21T14:00:00.391Z"}'
    ),
    (
        b'{"ticker":"SOL-USD","rate":"0.00000225","price":"140.9915",'
        b'"effectiveAtHeight":"81229457","effectiveAt":"2026-09-21T13:00:00.117Z"}'
    ),
)
_REPLY = b'{"markets":' + _MAP + b"}"
_NAMES = ["SOL-USD", _LONG, "NEW-USD"]
_PIECES = list(zip(_NAMES, (_SOL_ROW, _LONG_ROW, _NEW_ROW), strict=True))

SAMPLES = Samples(
    data=[
        (_SNAPSHOT, Expected("v4_markets", _NAMES, just(_SOL_ROW, _LONG_ROW, _NEW_ROW))),
        (_TRADING, Expected("v4_markets", ["SOL-USD", "NEW-USD"], just(_RATE_ROW, _NO_RATE_ROW))),
        (_ORACLE, Expected("v4_markets", ["SOL-USD"], just(_ORACLE_ROW))),
    ],
    control=[
        (b'{"type":"connected",' + _CONNECTION + b',"message_id":0}', Control(greeting=True)),
        (
            b'{"type":"error","message":"Invalid subscription",'
            + _CONNECTION
            + b',"message_id":9}',
            Control(refused=True),
        ),
        (
            b'{"type":"unsubscribed",' + _CONNECTION + b',"message_id":9,"channel":"v4_markets"}',
            Control(),
        ),
    ],
    unknown=[
        (
            b'{"type":"channel_data",' + _CONNECTION + b',"message_id":5,"channel":"v4_trades",'
            b'"id":"SOL-USD","contents":{"trades":[]}}',
            "v4_trades",
        ),
        (b'{"type":"halt",' + _CONNECTION + b',"message_id":6}', "halt"),
    ],
    replies={"perpetualMarkets": _REPLY, "liquidity": _REPLY},
    pieces={"perpetualMarkets": _PIECES, "liquidity": _PIECES},
    listed={"perpetualMarkets": {"SOL-USD": True, _LONG: False, "NEW-USD": False}},
    history_symbol="SOL-USD",
    history_page=b'{"historicalFunding":[' + b",".join(_SETTLED) + b"]}",
    history_rows=_SETTLED,
    history_time="effectiveAt",
    history_empty=b'{"historicalFunding":[]}',
)

ROW: dict[str, Any] = {
    "nextFundingRate": "-0.00000937416666666667",
    "oraclePrice": "141.6915231",
    "status": "ACTIVE",
    "ticker": "SOL-USD",
}
MARKET: dict[str, Any] = json.loads(_SOL_ROW)
SETTLED: dict[str, Any] = json.loads(_SETTLED[1])


def _subscribed(row: Any) -> Any:
    contents = {"markets": {"SOL-USD": row}}
    return {"type": "subscribed", "message_id": 1, "channel": "v4_markets", "contents": contents}


def _list_of(row: Any) -> Any:
    return {"markets": {"SOL-USD": row}}


PAYLOADS = (
    Sample("dydx", "stream", "v4_markets", "SOL-USD", ROW, _subscribed),
    Sample("dydx", "fallback", "perpetualMarkets", "SOL-USD", MARKET, _list_of),
    Sample("dydx", "reconcile", "perpetualMarkets", "SOL-USD", MARKET, _list_of),
    Sample(
        "dydx", "history", "historicalFunding", "SOL-USD", SETTLED,
        lambda row: {"historicalFunding": [row]},
    ),
    Sample("dydx", "contract", "perpetualMarkets", "SOL-USD", MARKET, _list_of),
    Sample("dydx", "contract", "liquidity", "SOL-USD", MARKET, _list_of),
)  # fmt: skip


def _reply_of(rows: Any) -> str:
    named = ",".join(
        f"{json.dumps(str(json.loads(row).get('ticker', 'ODD')))}:{row}" for row in rows
    )
    return f'{{"markets":{{{named}}}}}'


DOCUMENTED = Documented(
    sockets=["wss://indexer.dydx.trade/v4/ws"],
    rest_url="https://indexer.dydx.trade",
    costs={"perpetualMarkets": [1], "liquidity": [1]},
    contracts=ContractList(
        _reply_of,
        lambda name: {"ticker": name, "status": "ACTIVE", "oraclePrice": "1.5"},
        optional=("nextFundingRate", "marketType", "defaultFundingRate1H"),
        unlistable={"ticker": 5},
    ),
    server_pings=True,
    rows_in=frozenset({"contents"}),
    keyed_in=frozenset({"markets", "trading", "oraclePrices"}),
)

_HOUR_US = RECEIVED_AT_US // US_PER_HOUR * US_PER_HOUR
CAPTURED = (
    Captured(
        "dydx/nt_historical_funding_rest.json",
        "history",
        "historicalFunding",
        "BTC-USD",
        means=(
            SettlementUpdate("BTC-USD", 1_765_202_400_112_000, 0.000000625),
            SettlementUpdate("BTC-USD", 1_765_206_000_586_000, 0.000000375),
            SettlementUpdate("BTC-USD", 1_765_209_600_219_000, 0.000002375),
        ),
        received_at_us=1_765_210_000_000_000,
    ),
    Captured(
        "dydx/tardis_ws_markets_subscribed.json",
        "data",
        "v4_markets",
        "BTC-USD",
        means=(
            RateUpdate(
                "BTC-USD",
                0.00001351666666666667,
                mark_price=60387.51779,
                index_price=60387.51779,
                next_funding_time=_HOUR_US + US_PER_HOUR,
                interval_hours=1.0,
            ),
        ),
        symbols=["BTC-USD", "ETH-USD"],
    ),
    Captured(
        "dydx/tardis_ws_markets_trading_no_rate.json",
        "data",
        "v4_markets",
        "ETH-USD",
        means=(NoRate("ETH-USD", "no funding rate"),),
        symbols=["ETH-USD"],
    ),
    Captured(
        "dydx/nt_ws_markets_status_update.json",
        "data",
        "v4_markets",
        "BTC-USD",
        means=(NoRate("BTC-USD", "the market is PAUSED", halted=True),),
        symbols=["BTC-USD", "ETH-USD"],
    ),
    Captured(
        "dydx/nt_ws_markets_status_update.json",
        "data",
        "v4_markets",
        "ETH-USD",
        # Nothing completes it here: its price stood in the whole row before.
        means=(NoRate("ETH-USD", "a rate without an oracle price", halted=True),),
    ),
    Captured("dydx/nt_ws_error.json", "control"),
)


def _traded(document: Any) -> list[Row]:
    contents = document.get("contents", {})
    rows = {**contents.get("markets", {}), **contents.get("trading", {})}
    return [
        Row(ticker, None, row["nextFundingRate"], row)
        for ticker, row in rows.items()
        if row.get("nextFundingRate") is not None
        and row.get("status", "ACTIVE") == "ACTIVE"
        and row.get("oraclePrice", "") is not None
    ]


def _settlements(reply: Any) -> list[tuple[int, float]]:
    return [
        (time_ms(row["effectiveAt"].removesuffix("Z")) // 1_000 * 1_000, float(row["rate"]))
        for row in reply["historicalFunding"]
    ]


_NUMBERED = re.compile(rb'"connection_id":"[^"]*","message_id":\d+')

CLIENTS = {
    "dydx": Client(
        connect=at("/v4/ws"),
        subscriptions=lambda _names: ['{"type":"subscribe","channel":"v4_markets"}'],
        question='{"type":"nonsense"}',
        rows=_traded,
        current="/v4/perpetualMarkets",
        rate="nextFundingRate",
        history=lambda symbol, _since_ms, _now_ms: f"/v4/historicalFunding/{symbol}?limit=1000",
        settled=_settlements,
        contracts="/v4/perpetualMarkets",
        listed=lambda reply: [(row["ticker"], row["status"]) for row in reply["markets"].values()],
        bad_field=("oraclePrice", "?"),
        null_field="defaultFundingRate1H",
        same=lambda frame: _NUMBERED.sub(b'"message_id":0', frame),
        own={"dydx_pushed": "rows"},
    )
}
