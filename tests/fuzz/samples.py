"""A valid payload for every feed, purpose and channel, from which tests and fuzzers start.

Every field has a value of its own. Written from exchanges.md, not captured.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from schemas.feeds import FEEDS
from schemas.records import Purpose
from stream_app.model import Normaliser
from stream_app.normalise import normaliser

RECEIVED_AT_US = 1_790_000_123_456_789
"""2026-09-21 14:15:23 UTC; the samples are of that minute."""


class Sample(NamedTuple):
    """A payload and the item that it stands in."""

    feed: str
    purpose: Purpose
    channel: str
    symbol: str
    row: dict[str, Any]

    @property
    def payload(self) -> bytes:
        """The row as it is sent."""
        return json.dumps(self.row, ensure_ascii=False).encode()


# Imported here and not where they are used first: a fuzzer sees the branches of what is imported
# with its targets.
_NORMALISERS = {feed: normaliser(feed) for feed in FEEDS}


def normaliser_of(feed: str) -> Normaliser:
    """The normaliser of a feed."""
    return _NORMALISERS[feed]


def _binance(feed: str, stream: str, symbol: str, market: int) -> list[Sample]:
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
    return [
        Sample(feed, "stream", stream, symbol, mark_price),
        Sample(feed, "fallback", "premiumIndex", symbol, premium),
        Sample(feed, "reconcile", "premiumIndex", symbol, premium),
        Sample(feed, "history", "fundingRate", symbol, settled),
        Sample(feed, "contract", "fundingInfo", symbol, info),
        Sample(feed, "contract", "exchangeInfo", symbol, listed),
    ]


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

CONTEXT: dict[str, Any] = {
    "funding": "0.0000018952",
    "openInterest": "36585.31848",
    "prevDayPx": "86627.0",
    "dayNtlVlm": "4161029539.6949653625",
    "premium": "-0.0006413454",
    "oraclePx": "84198.0",
    "markPx": "84148.0",
    "midPx": "84143.5",
    "impactPxs": ["84143.0", "84144.0"],
    "dayBaseVlm": "49116.08533",
}
ACTIVE_ASSET: dict[str, Any] = {
    "channel": "activeAssetCtx",
    "data": {"coin": "xyz:NVDA", "ctx": CONTEXT},
}
HYPERLIQUID_SETTLED: dict[str, Any] = {
    "coin": "BTC",
    "fundingRate": "0.0000125",
    "premium": "0.0000774",
    "time": 1_789_999_200_118,
}
UNIVERSE: dict[str, Any] = {"name": "kPEPE", "szDecimals": 5, "maxLeverage": 40}

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

SAMPLES: tuple[Sample, ...] = (
    *_binance("binance-usdm", "!markPrice@arr@1s", "币安人生USDT", 1),
    *_binance("binance-coinm", "markPrice", "BTCUSD_PERP", 2),
    Sample("kucoin", "stream", "funding-fee-all-symbols", "XBTUSDTM", UTA_FRAME),
    Sample("kucoin", "stream", "funding-fee", "XBTUSDTM", {**UTA_FRAME, "d": UTA_ROW}),
    Sample("kucoin", "stream", "instrument:funding.rate", "XBTUSDTM", INSTRUMENT),
    Sample("kucoin", "stream", "announcement:funding.begin", "XBTUSDTM", BEGIN),
    Sample("kucoin", "stream", "announcement:funding.end", "XBTUSDTM", END),
    Sample("kucoin", "fallback", "contracts/active", "XBTUSDTM", CONTRACT),
    Sample("kucoin", "reconcile", "contracts/active", "XBTUSDTM", CONTRACT),
    Sample("kucoin", "contract", "contracts/active", "XBTUSDTM", CONTRACT),
    Sample("kucoin", "history", "funding-rates", "XBTUSDTM", KUCOIN_SETTLED),
    Sample("hyperliquid", "stream", "activeAssetCtx", "xyz:NVDA", ACTIVE_ASSET),
    Sample("hyperliquid", "fallback", "metaAndAssetCtxs", "BTC", CONTEXT),
    Sample("hyperliquid", "reconcile", "metaAndAssetCtxs", "BTC", CONTEXT),
    Sample("hyperliquid", "history", "fundingHistory", "BTC", HYPERLIQUID_SETTLED),
    Sample("hyperliquid", "contract", "meta", "kPEPE", UNIVERSE),
    Sample("hyperliquid", "contract", "allPerpMetas", "kPEPE", UNIVERSE),
    Sample("backpack", "stream", "markPrice", "AAPL.US_USDC_PERP", BACKPACK_FRAME),
    Sample("backpack", "fallback", "markPrices", "BTC_USDC_PERP", BACKPACK_SNAPSHOT),
    Sample("backpack", "reconcile", "markPrices", "BTC_USDC_PERP", BACKPACK_SNAPSHOT),
    Sample("backpack", "history", "fundingRates", "BTC_USDC_PERP", BACKPACK_SETTLED),
    Sample("backpack", "contract", "markets", "kPEPE_USDC_PERP", MARKET),
)
