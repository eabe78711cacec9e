"""Binance USD-M payloads (exchanges.md §1): mark-price rows, premiumIndex, history and facts.

Not responsible for: slicing frames into rows (producers), deduplication and intervals (core).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from schemas.errors import MalformedInputError
from schemas.records import Purpose
from stream_app.normalise.assets import canonical_asset
from stream_app.normalise.numbers import number, price, time_us
from stream_app.normalise.readings import (
    ContractReading,
    NoRate,
    RateReading,
    Reading,
    SettlementReading,
)

COIN_M = 2
"""`st` of a COIN-M row inside a USD-M array (§1.6, since 2026-06)."""

IntervalHours = Annotated[float, msgspec.Meta(gt=0, le=24)]
"""Rates are divided by it."""


class _MarkPrice(msgspec.Struct, gc=False):
    """A row of the mark-price streams, §1.6. `P` is no predicted rate and is not read."""

    event: str = msgspec.field(name="e")
    event_time: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    mark_price: str = msgspec.field(name="p")
    next_funding_time: int = msgspec.field(name="T")
    rate: str | None = msgspec.field(name="r", default=None)
    index_price: str | None = msgspec.field(name="i", default=None)
    market: int | None = msgspec.field(name="st", default=None)


class _PremiumIndex(msgspec.Struct, gc=False, rename="camel"):
    """A row of GET /fapi/v1/premiumIndex, §1.9a."""

    symbol: str
    mark_price: str
    next_funding_time: int
    time: int
    last_funding_rate: str | None = None
    index_price: str | None = None


class _FundingRate(msgspec.Struct, gc=False, rename="camel"):
    """A row of GET /fapi/v1/fundingRate, §1.9b."""

    symbol: str
    funding_time: int
    funding_rate: str | None = None


class _FundingInfo(msgspec.Struct, gc=False, rename="camel"):
    """A row of GET /fapi/v1/fundingInfo, §1.9c."""

    symbol: str
    funding_interval_hours: IntervalHours
    adjusted_funding_rate_cap: str | None = None
    adjusted_funding_rate_floor: str | None = None


class _SymbolInfo(msgspec.Struct, gc=False, rename="camel"):
    """An entry of `symbols` in GET /fapi/v1/exchangeInfo, §1.9c."""

    symbol: str
    status: str | None = None
    base_asset: str | None = None
    quote_asset: str | None = None


def _no_rate(symbol: str, rate: float | None) -> NoRate:
    """Delivery contracts have an empty rate or T = 0, some "0.00000000" with T = 0 (§1.8)."""
    return NoRate(symbol, "empty rate" if rate is None else "no next funding time")


def _mark_price(row: _MarkPrice) -> Reading:
    if row.event != "markPriceUpdate":
        raise MalformedInputError(f"not a markPriceUpdate: e is {row.event!r}")
    if row.market == COIN_M:
        return NoRate(row.symbol, "a COIN-M row in a USD-M array")
    rate = number(row.rate, "rate")
    if rate is None or row.next_funding_time == 0:
        return _no_rate(row.symbol, rate)
    return RateReading(
        row.symbol,
        rate,
        event_time=time_us(row.event_time, "event time"),
        mark_price=price(row.mark_price, "mark price"),
        index_price=price(row.index_price, "index price"),
        next_funding_time=time_us(row.next_funding_time, "next funding time"),
    )


def _premium_index(row: _PremiumIndex) -> Reading:
    rate = number(row.last_funding_rate, "lastFundingRate")
    if rate is None or row.next_funding_time == 0:
        return _no_rate(row.symbol, rate)
    return RateReading(
        row.symbol,
        rate,
        event_time=time_us(row.time, "time"),
        mark_price=price(row.mark_price, "mark price"),
        index_price=price(row.index_price, "index price"),
        next_funding_time=time_us(row.next_funding_time, "next funding time"),
    )


def _settlement(row: _FundingRate) -> Reading:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return NoRate(row.symbol, "empty settled rate")
    return SettlementReading(row.symbol, time_us(row.funding_time, "fundingTime"), rate)


def _funding_info(row: _FundingInfo) -> Reading:
    return ContractReading(
        row.symbol,
        interval_hours=row.funding_interval_hours,
        rate_cap=number(row.adjusted_funding_rate_cap, "cap"),
        rate_floor=number(row.adjusted_funding_rate_floor, "floor"),
    )


def _symbol_info(row: _SymbolInfo) -> Reading:
    base, multiplier = canonical_asset(row.base_asset) if row.base_asset else (None, None)
    return ContractReading(
        row.symbol, base=base, quote=row.quote_asset, multiplier=multiplier, status=row.status
    )


Row = TypeVar("Row")


def _reader(row_type: type[Row], meaning: Callable[[Row], Reading]) -> Callable[[bytes], Reading]:
    decode = msgspec.json.Decoder(row_type).decode

    def read(payload: bytes) -> Reading:
        try:
            return meaning(decode(payload))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedInputError(f"not a {row_type.__name__[1:]}: {error}") from None

    return read


_read_mark_price = _reader(_MarkPrice, _mark_price)
_READERS: Mapping[tuple[Purpose, str], Callable[[bytes], Any]] = {
    ("fallback", "premiumIndex"): _reader(_PremiumIndex, _premium_index),
    ("reconcile", "premiumIndex"): _reader(_PremiumIndex, _premium_index),
    ("history", "fundingRate"): _reader(_FundingRate, _settlement),
    ("contract", "fundingInfo"): _reader(_FundingInfo, _funding_info),
    ("contract", "exchangeInfo"): _reader(_SymbolInfo, _symbol_info),
}


def normalise(purpose: Purpose, channel: str, payload: bytes) -> Sequence[Reading]:
    """Read one payload of the feed `binance-usdm`.

    Raises:
        MalformedInputError: the bytes are not what the channel carries.
    """
    if purpose == "stream":
        return (_read_mark_price(payload),)
    reader = _READERS.get((purpose, channel))
    if reader is None:
        raise MalformedInputError(f"unknown channel {channel!r} for purpose {purpose!r}")
    return (reader(payload),)
