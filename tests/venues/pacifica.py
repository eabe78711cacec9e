"""Messages of Pacifica (docs/exchanges/pacifica.md)."""

from __future__ import annotations

from typing import Any

from producers.exchanges.spec import Control
from schemas.contract_status import ContractStatus
from stream_app.model import InstrumentUpdate, RateUpdate, SettlementUpdate
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
    b'{"funding":"0.0000183","mark":"84148.7","mid":"84150","next_funding":"-0.0000041",'
    b'"open_interest":"12.5","oracle":"84198.2","symbol":"BTC","timestamp":1790000122981,'
    b'"volume_24h":"63265.8","yesterday_price":"84001"}'
)
_PEPE = (
    b'{"funding":"0.0000125","mark":"0.0048","next_funding":"0.0000126","oracle":"0.00481",'
    b'"symbol":"kPEPE","timestamp":1790000123007}'
)
_SPOT = b'{"funding":"0","mark":"140.1","next_funding":"0","symbol":"SOL-USDC","timestamp":7}'
_HEAD, _TAIL = b'{"channel":"prices","data":[', b"]}"
_MARKETS = (
    b'{"symbol":"BTC","instrument_type":"perpetual","base_asset":"BTC","funding_rate":"0.0000125"}',
    b'{"symbol":"kPEPE","instrument_type":"perpetual","base_asset":"kPEPE","max_leverage":10}',
)
_SPOT_MARKET = b'{"symbol":"SOL-USDC","instrument_type":"spot","base_asset":"SOL"}'
_SETTLED = (
    b'{"funding_rate":"0.0000126","next_funding_rate":"0.0000131","created_at":1790010000249}',
    b'{"funding_rate":"-0.0000077","next_funding_rate":"0.0000126","created_at":1790006400031}',
)


def _reply(data: bytes, more: bytes = b"") -> bytes:
    return b'{"success":true,"data":' + data + more + b',"error":null,"code":null}'


_PRICES = _reply(array(_BTC, _SPOT))

SAMPLES = Samples(
    data=[
        (
            _HEAD + _BTC + b"," + _SPOT + b"," + _PEPE + _TAIL,
            Expected(
                "prices",
                ["BTC", "kPEPE"],
                just(_HEAD + _BTC + _TAIL, _HEAD + _PEPE + _TAIL),
            ),
        ),
        (_HEAD + _PEPE + _TAIL, Expected("prices", ["kPEPE"])),
    ],
    control=[
        (b'{"channel":"subscribe","data":{"source":"prices"}}', Control()),
        (b'{"channel":"unsubscribe","data":{"source":"prices"}}', Control()),
        (b'{"channel":"pong"}', Control()),
        (
            b'{"code":400,"err":"Invalid subscription parameters.","t":1790000123400}',
            Control(refused=True),
        ),
    ],
    unknown=[
        (b'{"channel":"trades","data":[{"s":"BTC"}]}', "trades"),
        (b'{"channel":"candle","data":{"s":"BTC"}}', "candle"),
    ],
    replies={
        "info": _reply(array(*_MARKETS, _SPOT_MARKET)),
        "liquidity": _PRICES,
        "info/prices": _PRICES,
    },
    pieces={
        "info": list(zip(["BTC", "kPEPE"], _MARKETS, strict=True)),
        "liquidity": [("BTC", _BTC)],
        "info/prices": [("BTC", _BTC)],
    },
    listed={"info": {"BTC": True, "kPEPE": True}},
    history_symbol="BTC",
    history_page=_reply(array(*_SETTLED), b',"next_cursor":null,"has_more":false'),
    history_rows=_SETTLED,
    history_time="created_at",
    history_empty=_reply(b"[]"),
)

PRICE: dict[str, Any] = {
    "funding": "0.0000183",
    "mark": "84148.7",
    "mid": "84150",
    "next_funding": "-0.0000041",
    "open_interest": "12.5",
    "oracle": "84198.2",
    "symbol": "BTC",
    "timestamp": 1_790_000_122_981,
    "volume_24h": "63265.8",
    "yesterday_price": "84001",
}
PACIFICA_FRAME: dict[str, Any] = {"channel": "prices", "data": [PRICE]}
PACIFICA_SETTLED: dict[str, Any] = {
    "oracle_price": "84170.4",
    "bid_impact_price": "84160",
    "ask_impact_price": "84180",
    "funding_rate": "-0.0000077",
    "next_funding_rate": "0.0000126",
    "created_at": 1_789_999_200_249,
}
MARKET: dict[str, Any] = {
    "symbol": "kBONK",
    "tick_size": "0.000001",
    "max_leverage": 10,
    "funding_rate": "0.0000125",
    "next_funding_rate": "0.0000119",
    "created_at": 1_748_881_333_944,
    "instrument_type": "perpetual",
    "base_asset": "kBONK",
}


def _wrapped(row: Any) -> Any:
    return {"success": True, "data": [row], "error": None, "code": None}


PAYLOADS = (
    Sample("pacifica", "stream", "prices", "BTC", PACIFICA_FRAME),
    Sample("pacifica", "fallback", "info/prices", "BTC", PRICE, _wrapped),
    Sample("pacifica", "reconcile", "info/prices", "BTC", PRICE, _wrapped),
    Sample("pacifica", "history", "funding_rate/history", "BTC", PACIFICA_SETTLED, _wrapped),
    Sample("pacifica", "contract", "info", "kBONK", MARKET, _wrapped),
    Sample("pacifica", "contract", "liquidity", "BTC", PRICE, _wrapped),
)

DOCUMENTED = Documented(
    sockets=["wss://ws.pacifica.fi/ws"],
    rest_url="https://api.pacifica.fi",
    costs={"info": [1], "liquidity": [1], "info/prices": [1]},
    contracts=ContractList(
        lambda rows: listed(*rows, before='{"success":true,"data":[', after="]}"),
        lambda name: {"symbol": name, "instrument_type": "perpetual"},
        optional=("instrument_type", "base_asset", "max_leverage"),
        unlistable={"instrument_type": 5},
        odd_names=("", " "),
    ),
    rows_in=frozenset({"data"}),
)

CAPTURED = (
    Captured(
        "pacifica/doc_funding_rate_history_rest.json",
        "history",
        "funding_rate/history",
        "BTC",
        # The sample's stamp is 35 minutes after the hour.
        means=(SettlementUpdate("BTC", 1_753_804_800_000_000, 0.0000125, interval_hours=1.0),),
        received_at_us=1_753_807_000_000_000,
    ),
    Captured(
        "pacifica/g_prices_row_NVDA_rest.json",
        "reply",
        "info/prices",
        "NVDA",
        "fallback",
        (
            RateUpdate(
                "NVDA",
                0.0000125,
                event_time=1_790_585_552_699_000,
                mark_price=223.14,
                index_price=223.128564,
                next_funding_time=1_790_586_000_000_000,
            ),
        ),
        around=(b'{"success":true,"data":[', b"]}"),
    ),
    Captured("pacifica/g_ws_error.json", "control"),
    Captured(
        "pacifica/doc_ws_prices.json",
        "data",
        "prices",
        "BTC",
        means=(
            RateUpdate(
                "BTC",
                0.0000125,
                event_time=1_749_051_612_681_000,
                mark_price=105_473.0,
                index_price=105_473.0,
                next_funding_time=1_749_052_800_000_000,
            ),
        ),
        symbols=["BTC"],
    ),
    Captured(
        "pacifica/doc_info_rest.json",
        "reply",
        "info",
        "BTC",
        "contract",
        means=(
            InstrumentUpdate(
                "BTC",
                base="BTC",
                quote="USDC",
                multiplier=1.0,
                status=ContractStatus.TRADING,
                interval_hours=1.0,
            ),
        ),
        symbols=["BTC"],
    ),
)


def _rows(document: Any) -> list[Row]:
    rows = document.get("data") if document.get("channel") == "prices" else ()
    return [
        Row(row["symbol"], row["timestamp"], row["next_funding"], row)
        for row in rows
        if "-" not in row["symbol"]
    ]


CLIENTS = {
    "pacifica": Client(
        connect=at("/ws"),
        subscriptions=lambda _names: ['{"method":"subscribe","params":{"source":"prices"}}'],
        question='{"method":"ping"}',
        rows=_rows,
        current="/api/v1/info/prices",
        rate="next_funding",
        history=lambda symbol, _since_ms, _now_ms: (
            f"/api/v1/funding_rate/history?symbol={symbol}&limit=4000"
        ),
        settled=lambda reply: [
            (row["created_at"], float(row["funding_rate"])) for row in reply["data"]
        ],
        contracts="/api/v1/info",
        listed=lambda reply: [(row["symbol"], row["instrument_type"]) for row in reply["data"]],
        bad_field=("mark", "?"),
        bad_text='"mark":"?"',
        null_field="mid",
    )
}
