"""Binance payloads of both futures markets: their rows are the same.

What differs is data: the market's number, and where exchangeInfo says the status
(docs/exchanges/binance-usdm.md, docs/exchanges/binance-coinm.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec

from schemas.errors import MalformedInputError
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    Normaliser,
    RateUpdate,
    SettlementUpdate,
    Update,
)
from stream_app.normalise.assets import canonical_asset, split_at_ending
from stream_app.normalise.numbers import MAX_INTERVAL_HOURS, next_time_us, number, price, time_us
from stream_app.normalise.payloads import ANY_CHANNEL, ChannelNormaliser, Item, PayloadReader

USD_M = 1
COIN_M = 2
"""`st` of the rows of each market (docs/exchanges/binance-usdm.md §6, since 2026-06)."""
COIN_M_SUFFIX = "_PERP"
"""USD-M symbols have none (docs/exchanges/binance-usdm.md §8, binance-coinm.md §5): COIN-M rows in
its arrays may lack `st`."""

_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD1", "USDE", "USD", "BTC", "ETH", "U")
# DOTUSD_PERP would else end in TUSD.
_ENDINGS = (("USD_PERP", "USD"), *((quote, quote) for quote in _QUOTES))

IntervalHours = Annotated[float, msgspec.Meta(gt=0, le=MAX_INTERVAL_HOURS)]
"""Rates are divided by it."""


class _MarkPrice(msgspec.Struct, gc=False):
    """A row of the mark-price streams, docs/exchanges/binance-usdm.md §6 and binance-coinm.md §4.

    `P` is no predicted rate and is not read. Dated contracts may lack `r` and `T`.
    """

    event: str = msgspec.field(name="e")
    event_time: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    mark_price: str = msgspec.field(name="p")
    next_funding_time: int | None = msgspec.field(name="T", default=None)
    rate: str | None = msgspec.field(name="r", default=None)
    index_price: str | None = msgspec.field(name="i", default=None)
    market: int | None = msgspec.field(name="st", default=None)


class _PremiumIndex(msgspec.Struct, gc=False, rename="camel"):
    """A row of premiumIndex, docs/exchanges/binance-usdm.md §9a and binance-coinm.md §6a."""

    symbol: str
    mark_price: str
    next_funding_time: int
    time: int
    last_funding_rate: str | None = None
    index_price: str | None = None


class _FundingRate(msgspec.Struct, gc=False, rename="camel"):
    """A row of fundingRate, docs/exchanges/binance-usdm.md §9b and binance-coinm.md §6b."""

    symbol: str
    funding_time: int
    funding_rate: str | None = None


class _FundingInfo(msgspec.Struct, gc=False, rename="camel"):
    """A row of fundingInfo, docs/exchanges/binance-usdm.md §9c and binance-coinm.md §6c."""

    symbol: str
    funding_interval_hours: IntervalHours
    adjusted_funding_rate_cap: str | None = None
    adjusted_funding_rate_floor: str | None = None


class _SymbolInfo(msgspec.Struct, gc=False, rename="camel"):
    """An entry of `symbols` in exchangeInfo: `status` of USD-M (docs/exchanges/binance-usdm.md §9c)
    is `contractStatus` of COIN-M (docs/exchanges/binance-coinm.md §5).
    """

    symbol: str
    status: str | None = None
    contract_status: str | None = None
    base_asset: str | None = None
    quote_asset: str | None = None


def _rate(
    symbol: str,
    rate_text: str | None,
    event_time: int,
    mark_price: str,
    index_price: str | None,
    next_funding_time: int | None,
) -> Update:
    """Delivery contracts have an empty rate or T = 0, some "0.00000000" with T = 0
    (docs/exchanges/binance-usdm.md §8).
    """
    rate = number(rate_text, "rate")
    if rate is None:
        return NoRate(symbol, "empty rate")
    if next_funding_time is None:
        raise MalformedInputError("a rate without a next funding time")
    if next_funding_time == 0:
        return NoRate(symbol, "no next funding time")
    event_us = time_us(event_time, "event time")
    return RateUpdate(
        symbol,
        rate,
        event_time=event_us,
        mark_price=price(mark_price, "mark price"),
        index_price=price(index_price, "index price"),
        next_funding_time=next_time_us(next_funding_time, event_us),
    )


def _mark_price_of(market: int) -> Callable[[_MarkPrice, Item], Sequence[Update]]:
    def mark_price(row: _MarkPrice, _item: Item) -> Sequence[Update]:
        if row.event != "markPriceUpdate":
            raise MalformedInputError(f"not a markPriceUpdate: e is {row.event!r:.60}")
        if row.market is None and market == USD_M and row.symbol.endswith(COIN_M_SUFFIX):
            return (NoRate(row.symbol, "a COIN-M contract in a USD-M array"),)
        if row.market is not None and row.market != market:
            return (NoRate(row.symbol, f"a row of another market: st is {row.market}"),)
        return (
            _rate(
                row.symbol,
                row.rate,
                row.event_time,
                row.mark_price,
                row.index_price,
                row.next_funding_time,
            ),
        )

    return mark_price


def _premium_index(row: _PremiumIndex, _item: Item) -> Sequence[Update]:
    return (
        _rate(
            row.symbol,
            row.last_funding_rate,
            row.time,
            row.mark_price,
            row.index_price,
            row.next_funding_time,
        ),
    )


def _settlement(row: _FundingRate, _item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.symbol, "empty settled rate"),)
    return (SettlementUpdate(row.symbol, time_us(row.funding_time, "fundingTime"), rate),)


def _funding_info(row: _FundingInfo, _item: Item) -> Sequence[Update]:
    return (
        InstrumentUpdate(
            row.symbol,
            interval_hours=row.funding_interval_hours,
            rate_cap=number(row.adjusted_funding_rate_cap, "cap"),
            rate_floor=number(row.adjusted_funding_rate_floor, "floor"),
        ),
    )


def _symbol_info(row: _SymbolInfo, _item: Item) -> Sequence[Update]:
    base, multiplier = canonical_asset(row.base_asset) if row.base_asset else (None, None)
    return (
        InstrumentUpdate(
            row.symbol,
            base=base,
            quote=row.quote_asset,
            multiplier=multiplier,
            status=row.contract_status or row.status,
        ),
    )


def split_symbol(symbol: str) -> tuple[str, str]:
    """Guess (base, quote), as of BTCUSDT and BTCUSD_PERP."""
    return split_at_ending(symbol, _ENDINGS)


def normaliser_of(market: int) -> Normaliser:
    """Return the normaliser of a market, `USD_M` or `COIN_M`.

    Every stream of these feeds carries mark-price rows, whatever its name.
    """
    premium_index = PayloadReader(_PremiumIndex, _premium_index)
    return ChannelNormaliser(
        {
            ("stream", ANY_CHANNEL): PayloadReader(_MarkPrice, _mark_price_of(market)),
            ("fallback", "premiumIndex"): premium_index,
            ("reconcile", "premiumIndex"): premium_index,
            ("history", "fundingRate"): PayloadReader(_FundingRate, _settlement),
            ("contract", "fundingInfo"): PayloadReader(_FundingInfo, _funding_info),
            ("contract", "exchangeInfo"): PayloadReader(_SymbolInfo, _symbol_info),
        }
    )
