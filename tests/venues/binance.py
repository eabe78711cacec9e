"""What both Binance feeds send alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from producers.exchanges.spec import Control
from tests.venues.clients import Client, Row, at
from tests.venues.samples import Sample

CONTROL = (
    (b'{"result":null,"id":1}', Control()),
    (
        b'{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":1}',
        Control(refused=True),
    ),
    (b'{"code":3,"msg":"Invalid JSON"}', Control(refused=True)),
)
UNKNOWN = (
    (b'{"e":"serverShutdown","E":1790000123457}', "serverShutdown"),
    (b'{"event":{"e":"serverShutdown","E":1790000123458}}', "serverShutdown"),
    (b'{"stream":"tradingSession","data":{"e":"KREquityUpdate","S":"CLOSED"}}', "KREquityUpdate"),
    (b'{"stream":"!contractInfo","data":{"e":"contractInfo","s":"ADAUSDT"}}', "contractInfo"),
    (b'[{"e":"24hrTicker","s":"ADAUSDT"},{"e":"24hrTicker","s":"SOLUSDT"}]', "24hrTicker"),
    (b'[{"e":"assetIndexUpdate","E":1790000123459}]', "assetIndexUpdate"),
)
FUNDING = b'{"symbol":"BLZUSDT","adjustedFundingRateCap":"0.02500000","fundingIntervalHours":8}'


def _exchange_info(row: Any) -> Any:
    return {"timezone": "UTC", "symbols": [row]}


def payloads(
    feed: str, stream: str, symbol: str, market: int, wrap: Callable[[Any], Any]
) -> tuple[Sample, ...]:
    """A payload of every channel; `wrap` makes the frame of a row."""
    premium = {
        "symbol": symbol,
        "markPrice": "3793.63104562",
        "indexPrice": "3781.80495970",
        "estimatedSettlePrice": "3785.16138815",
        "lastFundingRate": "0.00038246",
        "interestRate": "0.00010000",
        "nextFundingTime": 1_790_006_400_000,
        "time": 1_790_000_123_002,
    }
    mark_price = {
        "e": "markPriceUpdate",
        "E": 1_790_000_123_000,
        "s": symbol,
        "p": "85296.60260870",
        "ap": "85290.11111111",
        "P": "85321.91711993",
        "i": "85345.93826087",
        "r": "-0.00000523",
        "T": 1_790_006_400_000,
        "st": market,
    }
    settled = {
        "symbol": symbol,
        "fundingTime": 1_789_977_600_001,
        "fundingRate": "-0.00005000",
        "markPrice": "0.30690000",
    }
    info = {
        "symbol": symbol,
        "adjustedFundingRateCap": "0.02500000",
        "adjustedFundingRateFloor": "-0.01500000",
        "fundingIntervalHours": 4,
    }
    listed = {
        "symbol": symbol,
        "status" if market == 1 else "contractStatus": "TRADING",
        "baseAsset": "1000PEPE",
        "quoteAsset": "USD",
        "marginAsset": "XYZ",
    }
    ticker = {
        "symbol": symbol,
        "weightedAvgPrice": "0.00271500",
        "volume": "41003",
        "quoteVolume" if market == 1 else "baseVolume": "15700500.25",
    }
    return (
        Sample(feed, "stream", stream, symbol, mark_price, wrap),
        Sample(feed, "fallback", "premiumIndex", symbol, premium),
        Sample(feed, "reconcile", "premiumIndex", symbol, premium),
        Sample(feed, "history", "fundingRate", symbol, settled),
        Sample(feed, "contract", "fundingInfo", symbol, info),
        Sample(feed, "contract", "ticker/24hr", symbol, ticker),
        Sample(feed, "contract", "exchangeInfo", symbol, listed, _exchange_info),
    )


def rows_of(document: Any) -> list[Row]:
    """The rows with a rate in a frame, alone, in an array or below `data`."""
    if isinstance(document, dict) and "data" in document:
        document = document["data"]
    rows = document if isinstance(document, list) else [document]
    return [
        Row(row["s"], row["E"], row["r"], row, row["T"])
        for row in rows
        if row.get("e") == "markPriceUpdate" and row["r"]
    ]


def client(prefix: str, status: str, path: str, streams: Callable[[str], str] | None) -> Client:
    """A client of one of the markets, by the prefix of its REST paths.

    Args:
        prefix: Of the REST paths.
        status: The field of a listed contract that tells its state.
        path: Of the socket.
        streams: The stream of a contract; None: one stream brings all.
    """

    def subscriptions(names: Sequence[str]) -> list[str]:
        params = ["!markPrice@arr@1s"] if streams is None else [streams(name) for name in names]
        return [json.dumps({"method": "SUBSCRIBE", "params": params, "id": 1})]

    return Client(
        connect=at(path),
        subscriptions=subscriptions,
        question='{"method":"LIST_SUBSCRIPTIONS","id":77}',
        rows=rows_of,
        current=f"/{prefix}/v1/premiumIndex",
        rate="lastFundingRate",
        funding_time="nextFundingTime",
        history=lambda symbol, since_ms, _now_ms: (
            f"/{prefix}/v1/fundingRate?symbol={symbol}&startTime={since_ms or 1}&limit=1000"
        ),
        settled=lambda rows: [(row["fundingTime"], float(row["fundingRate"])) for row in rows],
        contracts=f"/{prefix}/v1/exchangeInfo",
        listed=lambda info: [(row["symbol"], row.get(status)) for row in info["symbols"]],
        bad_field=("p", "?"),
        bad_text='"markPrice":"?"',
        listed_at_ms=lambda info, symbol: next(
            row["onboardDate"] for row in info["symbols"] if row["symbol"] == symbol
        ),
        null_field="ap",
    )
