"""What both Binance feeds send alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from producers.exchanges.spec import Control
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
    return (
        Sample(feed, "stream", stream, symbol, mark_price, wrap),
        Sample(feed, "fallback", "premiumIndex", symbol, premium),
        Sample(feed, "reconcile", "premiumIndex", symbol, premium),
        Sample(feed, "history", "fundingRate", symbol, settled),
        Sample(feed, "contract", "fundingInfo", symbol, info),
        Sample(feed, "contract", "exchangeInfo", symbol, listed, _exchange_info),
    )
