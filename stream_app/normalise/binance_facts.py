"""Facts of contracts on both Binance futures markets: interval and caps, the list, turnover.

Where exchangeInfo says the status differs between the markets (docs/exchanges/binance-usdm.md,
docs/exchanges/binance-coinm.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.feed_spec import FeedSpec
from schemas.records import Purpose
from stream_app.model import InstrumentUpdate, Update
from stream_app.normalise.assets import canonical_asset, split_at_ending
from stream_app.normalise.numbers import (
    Number,
    Text,
    Time,
    amount,
    hours,
    number,
    optional,
    past_time_us,
    product,
    text,
)
from stream_app.normalise.payloads import Item, PayloadReader, with_faults

Readers = Mapping[tuple[Purpose, str], PayloadReader[Any]]
"""A reader for each purpose and channel."""

_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD1", "USDE", "USD", "BTC", "ETH", "U")
# DOTUSD_PERP would else end in TUSD.
_ENDINGS = (("USD_PERP", "USD"), *((quote, quote) for quote in _QUOTES))


class _FundingInfo(msgspec.Struct, gc=False, rename="camel"):
    """A row of fundingInfo, docs/exchanges/binance-usdm.md §9c and binance-coinm.md §6c."""

    symbol: str
    funding_interval_hours: Number = None
    adjusted_funding_rate_cap: Number = None
    adjusted_funding_rate_floor: Number = None


class _SymbolInfo(msgspec.Struct, gc=False, rename="camel"):
    """An entry of `symbols` in exchangeInfo: `status` of USD-M (docs/exchanges/binance-usdm.md §9c)
    is `contractStatus` of COIN-M (docs/exchanges/binance-coinm.md §5).
    """

    symbol: str
    status: Text = None
    contract_status: Text = None
    base_asset: Text = None
    quote_asset: Text = None
    onboard_date: Time = None


class _Ticker(msgspec.Struct, gc=False, rename="camel"):
    """A row of ticker/24hr, docs/exchanges/binance-usdm.md §9e and binance-coinm.md §6e.

    `volume` of COIN-M counts contracts, and it has no quote volume.
    """

    symbol: str
    quote_volume: Number = None
    base_volume: Number = None
    weighted_avg_price: Number = None


def _funding_info(row: _FundingInfo, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    facts = InstrumentUpdate(
        row.symbol,
        interval_hours=optional(hours, row.funding_interval_hours, "fundingIntervalHours", faults),
        rate_cap=optional(number, row.adjusted_funding_rate_cap, "adjustedFundingRateCap", faults),
        rate_floor=optional(
            number, row.adjusted_funding_rate_floor, "adjustedFundingRateFloor", faults
        ),
    )
    return with_faults(row.symbol, faults, facts)


def _ticker(row: _Ticker, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    turnover = optional(amount, row.quote_volume, "quoteVolume", faults)
    coins = optional(amount, row.base_volume, "baseVolume", faults)
    if turnover is None and coins is not None:
        average = optional(amount, row.weighted_avg_price, "weightedAvgPrice", faults)
        turnover = product(coins, average)
    return with_faults(row.symbol, faults, InstrumentUpdate(row.symbol, turnover_24h=turnover))


def _symbol_info_of(feed: FeedSpec) -> Callable[[_SymbolInfo, Item], Sequence[Update]]:
    def symbol_info(row: _SymbolInfo, _item: Item) -> Sequence[Update]:
        faults: list[str] = []
        asset = optional(text, row.base_asset, "baseAsset", faults)
        base, multiplier = canonical_asset(asset, feed.assets) if asset else (None, None)
        word = optional(text, row.contract_status, "contractStatus", faults)
        if row.contract_status in (None, ""):
            word = optional(text, row.status, "status", faults)
        facts = InstrumentUpdate(
            row.symbol,
            base=base,
            quote=optional(text, row.quote_asset, "quoteAsset", faults),
            multiplier=multiplier,
            status=feed.status_of(word) if word else None,
            status_word=word,
            listed_at=optional(past_time_us, row.onboard_date, "onboardDate", faults),
        )
        return with_faults(row.symbol, faults, facts)

    return symbol_info


def split_symbol(symbol: str) -> tuple[str, str]:
    """Guess (base, quote), as of BTCUSDT and BTCUSD_PERP."""
    return split_at_ending(symbol, _ENDINGS)


def fact_readers(feed: FeedSpec) -> Readers:
    """Return the readers of a market's facts."""
    return {
        ("contract", "fundingInfo"): PayloadReader(_FundingInfo, _funding_info),
        ("contract", "ticker/24hr"): PayloadReader(_Ticker, _ticker),
        ("contract", "exchangeInfo"): PayloadReader(_SymbolInfo, _symbol_info_of(feed)),
    }
