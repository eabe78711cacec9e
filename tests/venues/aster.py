"""Messages of Aster (docs/exchanges/aster.md)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from stream_app.model import InstrumentUpdate, RateUpdate
from tests.venues.binance import CONTROL, UNKNOWN, client
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

FEED = "aster"
STREAM = "!markPrice@arr@1s"

ROW: dict[str, Any] = {
    "e": "markPriceUpdate",
    "E": 1_790_000_123_000,
    "s": "1000PEPEUSDT",
    "p": "0.00485721",
    "i": "0.00485533",
    "P": "0.00485644",
    "r": "-0.00031207",
    "T": 1_790_006_400_000,
}
PREMIUM: dict[str, Any] = {
    "symbol": "TSLAUSDT",
    "markPrice": "410.51856917",
    "indexPrice": "410.30879286",
    "estimatedSettlePrice": "410.4",
    "lastFundingRate": "0.00001715",
    "interestRate": "0",
    "nextFundingTime": 1_790_006_400_000,
    "time": 1_790_000_124_000,
}
SETTLED: dict[str, Any] = {
    "symbol": "SUIUSDT",
    "fundingRate": "-0.01750000",
    "fundingTime": 1_789_977_600_002,
}
INFO: dict[str, Any] = {
    "symbol": "KAITOUSDT",
    "interestRate": "0.00005000",
    "time": 1_790_000_125_000,
    "fundingIntervalHours": 4,
    "fundingFeeCap": 0.0175,
    "fundingFeeFloor": -0.0125,
}
TICKER: dict[str, Any] = {
    "symbol": "ETHUSDT",
    "lastPrice": "2801.15",
    "volume": "70123.300",
    "quoteVolume": "196424881.71",
    "openTime": 1_789_913_720_000,
    "closeTime": 1_790_000_120_000,
    "count": 76,
}
LISTED: dict[str, Any] = {
    "symbol": "1000FLOKIUSDT",
    "pair": "1000FLOKIUSDT",
    "contractType": "PERPETUAL",
    "onboardDate": 1_758_252_400_000,
    "status": "TRADING",
    "baseAsset": "1000FLOKI",
    "quoteAsset": "USDT",
    "marginAsset": "ASTER",
}


def text(row: Any) -> bytes:
    """A row as it is sent."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


_ROWS = (text(ROW), text({**ROW, "s": "BTCUSD1", "E": 1_790_000_122_000}))
_INFO_ROWS = (
    text(LISTED),
    text({**LISTED, "symbol": "TSLAUSDT", "contractType": "TRADIFI_PERPETUAL"}),
    text({**LISTED, "symbol": "GONEUSDT", "status": "SETTLING"}),
    text({**LISTED, "symbol": "SOONUSDT", "status": "PENDING_TRADING"}),
    text({**LISTED, "symbol": "BTCUSDT_261225", "contractType": "CURRENT_QUARTER"}),
)

SAMPLES = Samples(
    data=[
        (
            array(*_ROWS),
            Expected(
                STREAM,
                ["1000PEPEUSDT", "BTCUSD1"],
                just(*_ROWS),
                # The newest row's: no frame is older than a row of it.
                event_us=1_790_000_123_000_000,
            ),
        ),
        (
            b'{"stream":"!markPrice@arr","data":' + array(_ROWS[1]) + b"}",
            Expected("!markPrice@arr", ["BTCUSD1"], just(_ROWS[1]), event_us=1_790_000_122_000_000),
        ),
    ],
    control=CONTROL,
    unknown=UNKNOWN,
    replies={
        "exchangeInfo": b'{"timezone":"UTC","symbols":' + array(*_INFO_ROWS) + b"}",
        "fundingInfo": array(text(INFO)),
        "premiumIndex": array(text(PREMIUM)),
        "ticker/24hr": array(text(TICKER)),
    },
    pieces={
        "exchangeInfo": [(json.loads(row)["symbol"], row) for row in _INFO_ROWS],
        "fundingInfo": [("KAITOUSDT", text(INFO))],
        "premiumIndex": [("TSLAUSDT", text(PREMIUM))],
        "ticker/24hr": [("ETHUSDT", text(TICKER))],
    },
    listed={
        "exchangeInfo": {
            "1000FLOKIUSDT": True,
            "TSLAUSDT": True,
            "GONEUSDT": False,
            "SOONUSDT": False,
        }
    },
    history_symbol="SUIUSDT",
    history_page=array(text(SETTLED)),
    history_rows=[text(SETTLED)],
    history_time="fundingTime",
)

PAYLOADS = (
    Sample(FEED, "stream", STREAM, "1000PEPEUSDT", ROW, lambda row: [row]),
    Sample(FEED, "fallback", "premiumIndex", "TSLAUSDT", PREMIUM),
    Sample(FEED, "reconcile", "premiumIndex", "TSLAUSDT", PREMIUM),
    Sample(FEED, "history", "fundingRate", "SUIUSDT", SETTLED),
    Sample(FEED, "contract", "fundingInfo", "KAITOUSDT", INFO),
    Sample(FEED, "contract", "ticker/24hr", "ETHUSDT", TICKER),
    Sample(
        FEED,
        "contract",
        "exchangeInfo",
        "1000FLOKIUSDT",
        LISTED,
        lambda row: {"timezone": "UTC", "symbols": [row]},
    ),
)

DOCUMENTED = Documented(
    sockets=["wss://fstream.asterdex.com/ws/!markPrice@arr@1s"],
    rest_url="https://fapi.asterdex.com",
    costs={"exchangeInfo": [1], "fundingInfo": [1], "ticker/24hr": [40], "premiumIndex": [1]},
    contracts=ContractList(
        lambda rows: listed(*rows, before='{"symbols":[', after="]}"),
        lambda name: {"symbol": name, "contractType": "PERPETUAL"},
        optional=("status", "onboardDate", "underlyingSubType"),
        unlistable={"status": 7},
    ),
    server_pings=True,
)

CAPTURED = (
    Captured(
        "aster/tardis_ws_mark_price.json",
        "data",
        "btcusdt@markPrice@1s",
        "BTCUSDT",
        means=(
            RateUpdate(
                "BTCUSDT",
                0.0001564,
                event_time=1_597_536_008_000_000,
                mark_price=11857.56,
                index_price=11851.86949091,
                next_funding_time=1_597_564_800_000_000,
            ),
        ),
        symbols=["BTCUSDT"],
    ),
    Captured(
        "aster/doc_premium_index_rest.json",
        "reply",
        "premiumIndex",
        "BTCUSDT",
        "fallback",
        (
            RateUpdate(
                "BTCUSDT",
                0.00038246,
                event_time=1_597_370_495_002_000,
                mark_price=11793.63104562,
                index_price=11781.8049597,
                next_funding_time=1_597_392_000_000_000,
            ),
        ),
    ),
    Captured(
        "aster/g_premium_index_NVDA_rest.json",
        "reply",
        "premiumIndex",
        "NVDAUSDT",
        "fallback",
        (
            RateUpdate(
                "NVDAUSDT",
                0.00000906,
                event_time=1_790_577_908_000_000,
                mark_price=223.51856917,
                index_price=223.30879286,
                next_funding_time=1_790_582_400_000_000,
            ),
        ),
    ),
    *(
        Captured(
            "aster/doc_funding_info_rest.json",
            "reply",
            "fundingInfo",
            symbol,
            "contract",
            (InstrumentUpdate(symbol, interval_hours=hours, rate_cap=cap, rate_floor=-cap),),
            ["INJUSDT", "ZORAUSDT"],
        )
        for symbol, hours, cap in (("INJUSDT", 8.0, 0.03), ("ZORAUSDT", 4.0, 0.02))
    ),
)

CLIENTS = {FEED: replace(client("fapi", "status", "/ws", None), null_field="P")}
