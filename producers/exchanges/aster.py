"""Aster (docs/exchanges/aster.md): Binance USD-M's interface on other hosts.

Cutting, listing and the walk over history are those of binance_usdm.py. The limits are its own, and
funding rates draw on no pool apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from producers.exchanges.binance import (
    MAX_AGE_S,
    PREMIUM_INDEX_FIELDS,
    SILENT_S,
    TICKER_WEIGHT,
    WEIGHT,
    WEIGHT_LIMIT,
)
from producers.exchanges.binance_usdm import STREAM, BinanceUsdm
from producers.exchanges.json_slicing import ABSENT, decoder
from producers.exchanges.spec import PayloadFields, RateLimit, RestCall, SocketKind, optional
from schemas.venues.aster import FEED

TICKER = "ticker/24hr"


class _FundingInfo(msgspec.Struct, gc=False, rename="camel"):
    """What of a row of fundingInfo is worth publishing it again: not its time (§9c)."""

    interest_rate: msgspec.Raw = ABSENT
    funding_interval_hours: msgspec.Raw = ABSENT
    funding_fee_cap: msgspec.Raw = ABSENT
    funding_fee_floor: msgspec.Raw = ABSENT


_funding_info: Callable[[Any], _FundingInfo] = decoder(_FundingInfo)


class Aster(BinanceUsdm):
    """The description. One connection carries everything (§10)."""

    facts = FEED
    feed = FEED.name
    rest_url = "https://fapi.asterdex.com"
    limits_group = FEED.name
    limits: Mapping[str, RateLimit] = {WEIGHT: WEIGHT_LIMIT}
    fact_calls = (
        RestCall("exchangeInfo", "/fapi/v3/exchangeInfo", costs={WEIGHT: 1}),
        RestCall("fundingInfo", "/fapi/v3/fundingInfo", costs={WEIGHT: 1}, every=2),
        optional(RestCall(TICKER, "/fapi/v3/ticker/24hr", costs={WEIGHT: TICKER_WEIGHT}, every=2)),
    )
    premium_index = RestCall("premiumIndex", "/fapi/v3/premiumIndex", costs={WEIGHT: 1})
    settled_call = RestCall("fundingRate", "/fapi/v3/fundingRate", costs={WEIGHT: 1})
    documented: Mapping[str, PayloadFields] = {
        STREAM: PayloadFields(("e", "E", "s", "p", "i", "P", "r", "T"), every_s=1.0),
        "premiumIndex": PREMIUM_INDEX_FIELDS,
        "fundingRate": PayloadFields(("symbol", "fundingRate", "fundingTime")),
        "fundingInfo": PayloadFields(
            (
                *("symbol", "interestRate", "time", "fundingIntervalHours"),
                *("fundingFeeCap", "fundingFeeFloor"),
            )
        ),
        TICKER: PayloadFields(
            (
                *("symbol", "priceChange", "priceChangePercent", "weightedAvgPrice"),
                *("lastPrice", "lastQty", "openPrice", "highPrice", "lowPrice", "volume"),
                *("quoteVolume", "openTime", "closeTime", "firstId", "lastId", "count"),
            ),
            sometimes=("prevClosePrice",),
        ),
    }
    # One path: nothing is split by route (§1).
    socket_kinds = (
        SocketKind("mark-price", SILENT_S, MAX_AGE_S, (f"wss://fstream.asterdex.com/ws/{STREAM}",)),
    )

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Return a row of fundingInfo without its time; the others whole."""
        if resource != "fundingInfo":
            return payload
        return b"\n".join(map(bytes, msgspec.structs.astuple(_funding_info(payload))))


EXCHANGE = Aster()
