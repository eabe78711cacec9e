"""Messages of Backpack (docs/exchanges/backpack.md)."""

from __future__ import annotations

import json
from typing import Any

from producers.exchanges.spec import Control
from tests.venues.clients import Client, Row, at, time_ms
from tests.venues.samples import (
    Captured,
    ContractList,
    Documented,
    Expected,
    Sample,
    Samples,
    array,
    listed,
)

_BP = (
    b'{"data":{"E":1790134357847601,"T":1790134357846930,"e":"markPrice","f":"0.00000625",'
    b'"i":"340.52","n":1790136000000,"p":"340.43","s":"AAPL.US_USDC_PERP"},'
    b'"stream":"markPrice.AAPL.US_USDC_PERP"}'
)
_BP_BARE = b'{"stream":"markPrice.kPEPE_USDC_PERP","data":{"e":"markPrice","p":"0.01"}}'
_MARKETS = (
    b'{"symbol":"BTC_USDC_PERP","marketType":"PERP","orderBookState":"Open"}',
    b'{"symbol":"AAPL.US_USDC_PERP","marketType":"PERP","orderBookState":"Closed"}',
    b'{"symbol":"BTC_USDC","marketType":"SPOT","orderBookState":"Open"}',
)
_PRICE = b'{"fundingRate":"0.0001","markPrice":"50001.50","symbol":"BTC_USDC_PERP"}'
_TICKER = b'{"symbol":"SOL_USDC_PERP","lastPrice":"139.2","quoteVolume":"81000.5"}'
_OPEN_INTEREST = b'{"openInterest":"512.25","symbol":"SOL_USDC_PERP","timestamp":1790134357846}'
_BP_SETTLED = (
    (
        b'{"fundingRate":"0.0000125","intervalEndTimestamp":"2026-09-21T21:00:00",'
        b'"symbol":"BTC_USDC_PERP"}'
    ),
    (
        b'{"fundingRate":"0.000010077","intervalEndTimestamp":"2026-09-21T20:00:00",'
        b'"symbol":"BTC_USDC_PERP"}'
    ),
)

SAMPLES = Samples(
    data=[
        (_BP, Expected("markPrice", ["AAPL.US_USDC_PERP"], event_us=1_790_134_357_847_601)),
        (_BP_BARE, Expected("markPrice", ["kPEPE_USDC_PERP"])),
    ],
    control=[
        (b'{"id":null,"error":{"code":4006,"message":"Invalid stream"}}', Control(refused=True))
    ],
    unknown=[
        (b'{"stream":"halt.SOL_USDC_PERP","data":{"e":"halt","s":"SOL_USDC_PERP"}}', "halt"),
        (b'{"stream":"depth.200ms.SOL_USDC_PERP","data":{"e":"depth"}}', "depth"),
    ],
    replies={
        "markets": array(*_MARKETS),
        "markPrices": array(_PRICE),
        "tickers": array(_TICKER),
        "openInterest": array(_OPEN_INTEREST),
    },
    pieces={
        "markets": list(
            zip(["BTC_USDC_PERP", "AAPL.US_USDC_PERP", "BTC_USDC"], _MARKETS, strict=True)
        ),
        "markPrices": [("BTC_USDC_PERP", _PRICE)],
        "tickers": [("SOL_USDC_PERP", _TICKER)],
        "openInterest": [("SOL_USDC_PERP", _OPEN_INTEREST)],
    },
    listed={"markets": {"BTC_USDC_PERP": True, "AAPL.US_USDC_PERP": False}},
    history_symbol="BTC_USDC_PERP",
    history_page=array(*_BP_SETTLED),
    history_rows=_BP_SETTLED,
    history_time="intervalEndTimestamp",
)

BACKPACK_FRAME: dict[str, Any] = {
    "data": {
        "E": 1_790_000_123_147_601,
        "T": 1_790_000_123_146_930,
        "e": "markPrice",
        "f": "0.00000625",
        "i": "340.52",
        "n": 1_790_002_800_000,
        "p": "340.43",
        "s": "AAPL.US_USDC_PERP",
    },
    "stream": "markPrice.AAPL.US_USDC_PERP",
}
BACKPACK_SNAPSHOT: dict[str, Any] = {
    "fundingRate": "0.0002438565367033305404731178",
    "indexPrice": "50000.25",
    "markPrice": "50001.50",
    "nextFundingTimestamp": 1_790_002_800_000,
    "symbol": "BTC_USDC_PERP",
}
BACKPACK_SETTLED: dict[str, Any] = {
    "fundingRate": "0.000010077",
    "intervalEndTimestamp": "2026-09-21T14:00:00",
    "symbol": "BTC_USDC_PERP",
}
MARKET: dict[str, Any] = {
    "symbol": "kPEPE_USDC_PERP",
    "baseSymbol": "kPEPE",
    "quoteSymbol": "USDC",
    "marketType": "PERP",
    "fundingInterval": 3_600_000,
    "fundingRateUpperBound": "150",
    "fundingRateLowerBound": "-100",
    "orderBookState": "PostOnly",
    "visible": True,
}

TICKER: dict[str, Any] = {
    "symbol": "SOL_USDC_PERP",
    "lastPrice": "139.21",
    "volume": "582.5",
    "quoteVolume": "81000.75",
}
OPEN_INTEREST: dict[str, Any] = {
    "symbol": "SOL_USDC_PERP",
    "openInterest": "512.25",
    "timestamp": 1_790_000_123_846,
}

PAYLOADS = (
    Sample("backpack", "stream", "markPrice", "AAPL.US_USDC_PERP", BACKPACK_FRAME),
    Sample("backpack", "fallback", "markPrices", "BTC_USDC_PERP", BACKPACK_SNAPSHOT),
    Sample("backpack", "reconcile", "markPrices", "BTC_USDC_PERP", BACKPACK_SNAPSHOT),
    Sample("backpack", "history", "fundingRates", "BTC_USDC_PERP", BACKPACK_SETTLED),
    Sample("backpack", "contract", "markets", "kPEPE_USDC_PERP", MARKET),
    Sample("backpack", "contract", "tickers", "SOL_USDC_PERP", TICKER),
    Sample("backpack", "contract", "openInterest", "SOL_USDC_PERP", OPEN_INTEREST),
)

DOCUMENTED = Documented(
    sockets=["wss://ws.backpack.exchange/"],
    rest_url="https://api.backpack.exchange",
    costs={"markets": [1], "tickers": [1], "openInterest": [1], "markPrices": [1]},
    contracts=ContractList(
        lambda rows: listed(*rows),
        lambda name: {"symbol": name, "marketType": "PERP"},
        optional=("orderBookState", "fundingInterval", "visible"),
        unlistable={"marketType": 5},
    ),
    server_pings=True,
)

CAPTURED = (
    Captured(
        "backpack/obs_ws_mark_price_AAPL.json",
        "data",
        "markPrice",
        "AAPL.US_USDC_PERP",
        symbols=["AAPL.US_USDC_PERP"],
    ),
    Captured("backpack/obs_ws_error_invalid_stream.json", "control"),
)


def _rows(document: Any) -> list[Row]:
    data = document.get("data")
    if data is None or data.get("e") != "markPrice":
        return []
    return [Row(data["s"], data["E"], data["f"], data, data["n"])]


def _settled(rows: Any) -> list[tuple[int, float]]:
    return [(time_ms(row["intervalEndTimestamp"]), float(row["fundingRate"])) for row in rows]


CLIENTS = {
    "backpack": Client(
        connect=at(""),
        subscriptions=lambda names: [
            json.dumps({"method": "SUBSCRIBE", "params": [f"markPrice.{name}" for name in names]})
        ],
        question='{"method":"nonsense","id":77}',
        rows=_rows,
        current="/api/v1/markPrices",
        rate="fundingRate",
        funding_time="nextFundingTimestamp",
        history=lambda symbol, _since_ms, _now_ms: (
            f"/api/v1/fundingRates?symbol={symbol}&limit=1000"
        ),
        settled=_settled,
        contracts="/api/v1/markets?marketType=PERP",
        listed=lambda rows: [(row["symbol"], row.get("orderBookState")) for row in rows],
        bad_field=("p", "?"),
        bad_text='"markPrice":"?"',
        listed_at_ms=lambda rows, symbol: next(
            time_ms(row["createdAt"]) for row in rows if row["symbol"] == symbol
        ),
        null_field="i",
    )
}
