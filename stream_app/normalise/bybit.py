"""Bybit payloads (docs/exchanges/bybit.md): tickers of the stream and of REST, settled rates, list.

A row of the stream is complete when it comes here: what it did not name was added to it. All
numbers and times are texts; an empty one means that there is none.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.venues.bybit import FEED
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Update,
)
from stream_app.normalise.assets import canonical_asset, split_at_ending
from stream_app.normalise.columns import ColumnReader, settled_rows
from stream_app.normalise.numbers import (
    Number,
    Text,
    Time,
    amount,
    hours,
    interval_hours_of_ms,
    next_time_us,
    number,
    optional,
    past_time_us,
    price,
    text,
    time_us,
)
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader, with_faults

_ENDINGS = (("USDT", "USDT"), ("PERP", "USDC"), ("USD", "USD"))
_INVERSE_QUOTE = "USD"
_MS_PER_MINUTE = 60_000
_NO_TIME: tuple[Time, ...] = (None, "", "0", 0)


class _Ticker(msgspec.Struct, gc=False, rename="camel"):
    """A row of tickers, §2 and §4a."""

    symbol: str
    funding_rate: Number = None
    funding_interval_hour: Number = None
    next_funding_time: Time = None
    mark_price: Number = None
    index_price: Number = None
    delivery_time: Number = None
    cur_pre_listing_phase: Text = None
    turnover_24h: Number = msgspec.field(name="turnover24h", default=None)
    volume_24h: Number = msgspec.field(name="volume24h", default=None)
    open_interest: Number = None
    open_interest_value: Number = None
    single_open_interest: Number = None
    single_open_interest_value: Number = None


class _TickerFrame(msgspec.Struct, gc=False):
    """A frame of the topic `tickers`, §2."""

    data: _Ticker
    ts: Time = None


class _TickerList(msgspec.Struct, gc=False):
    list: tuple[_Ticker]


class _TickerReply(msgspec.Struct, gc=False):
    """A reply of tickers that is cut to one row, §4a."""

    result: _TickerList
    time: Time = None


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    """A row of funding/history, §4b."""

    symbol: str
    funding_rate_timestamp: Time
    funding_rate: Number = None


class _PlainSettled(msgspec.Struct, gc=False, rename="camel"):
    """A _Settled whose texts are numbers."""

    symbol: str
    funding_rate_timestamp: int
    funding_rate: float


class _Instrument(msgspec.Struct, gc=False, rename="camel"):
    """A row of instruments-info, §4c; the interval is in minutes."""

    symbol: str
    status: Text = None
    base_coin: Text = None
    quote_coin: Text = None
    launch_time: Time = None
    funding_interval: Number = None
    upper_funding_rate: Number = None
    lower_funding_rate: Number = None


def _rate(row: _Ticker, stamp: Time, field: str, item: Item) -> Sequence[Update]:
    """Read a row. `stamp`: when it was made; without one the time of receipt stands in for it."""
    faults: list[str] = []
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.symbol, "no funding rate"),)
    phase = optional(text, row.cur_pre_listing_phase, "curPreListingPhase", faults)
    if phase:
        return (NoRate(row.symbol, "before its listing"),)
    interval_hours = optional(hours, row.funding_interval_hour, "fundingIntervalHour", faults)
    delivery = optional(number, row.delivery_time, "deliveryTime", faults)
    if delivery and row.next_funding_time in _NO_TIME:
        return (NoRate(row.symbol, "a dated contract"),)
    event_us = optional(past_time_us, stamp, field, faults)
    at_us = item.received_at_us if event_us is None else event_us
    update = RateUpdate(
        row.symbol,
        rate,
        event_time=event_us,
        mark_price=optional(price, row.mark_price, "markPrice", faults),
        index_price=optional(price, row.index_price, "indexPrice", faults),
        next_funding_time=next_time_us(row.next_funding_time, at_us),
        interval_hours=interval_hours,
    )
    return with_faults(row.symbol, faults, update)


def _streamed(frame: _TickerFrame, item: Item) -> Sequence[Update]:
    return _rate(frame.data, frame.ts, "ts", item)


def _polled(reply: _TickerReply, item: Item) -> Sequence[Update]:
    return _rate(reply.result.list[0], reply.time, "time", item)


def _liquidity(reply: _TickerReply, _item: Item) -> Sequence[Update]:
    """Read turnover and open interest in the quote currency.

    An inverse contract is worth one USD: what it counts in contracts is the amount (§3).
    """
    row = reply.result.list[0]
    faults: list[str] = []
    if split_symbol(row.symbol)[1] == _INVERSE_QUOTE:
        turnover = optional(amount, row.volume_24h, "volume24h", faults)
        one_side = optional(amount, row.single_open_interest, "singleOpenInterest", faults)
        both_sides = optional(amount, row.open_interest, "openInterest", faults)
    else:
        turnover = optional(amount, row.turnover_24h, "turnover24h", faults)
        one_side = optional(
            amount, row.single_open_interest_value, "singleOpenInterestValue", faults
        )
        both_sides = optional(amount, row.open_interest_value, "openInterestValue", faults)
    if one_side is None and both_sides is not None:
        one_side = both_sides / 2
    facts = InstrumentUpdate(row.symbol, turnover_24h=turnover, open_interest=one_side)
    return with_faults(row.symbol, faults, facts)


def _settlement(row: _Settled, _item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.symbol, "no settled rate"),)
    at = time_us(row.funding_rate_timestamp, "fundingRateTimestamp")
    return (SettlementUpdate(row.symbol, at, rate),)


def _interval_hours(value: Number, field: str) -> float | None:
    minutes = number(value, field)
    return None if minutes is None else interval_hours_of_ms(minutes * _MS_PER_MINUTE, field)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Guess (base, quote), as of BTCUSDT, BTCPERP and BTCUSD (§3)."""
    return split_at_ending(symbol, _ENDINGS)


def _facts(row: _Instrument, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    coin = optional(text, row.base_coin, "baseCoin", faults)
    base, multiplier = canonical_asset(coin, FEED.assets) if coin else (None, None)
    word = optional(text, row.status, "status", faults)
    facts = InstrumentUpdate(
        row.symbol,
        base=base,
        quote=optional(text, row.quote_coin, "quoteCoin", faults),
        multiplier=multiplier,
        status=FEED.status_of(word) if word else None,
        status_word=word,
        interval_hours=optional(_interval_hours, row.funding_interval, "fundingInterval", faults),
        rate_cap=optional(number, row.upper_funding_rate, "upperFundingRate", faults),
        rate_floor=optional(number, row.lower_funding_rate, "lowerFundingRate", faults),
        listed_at=optional(past_time_us, row.launch_time, "launchTime", faults),
    )
    return with_faults(row.symbol, faults, facts)


_FAMILIES = ("linear", "inverse")
_read_polled = PayloadReader(_TickerReply, _polled)
_read_liquidity = PayloadReader(_TickerReply, _liquidity)
_read_facts = PayloadReader(_Instrument, _facts)
normalise = ChannelNormaliser(
    {
        ("stream", "tickers"): PayloadReader(_TickerFrame, _streamed),
        **{("fallback", f"tickers/{family}"): _read_polled for family in _FAMILIES},
        **{("reconcile", f"tickers/{family}"): _read_polled for family in _FAMILIES},
        **{("contract", f"tickers/{family}"): _read_liquidity for family in _FAMILIES},
        **{("contract", f"instruments-info/{family}"): _read_facts for family in _FAMILIES},
        ("history", "funding/history"): PayloadReader(_Settled, _settlement),
    },
    settled_readers={
        "funding/history": ColumnReader(_PlainSettled, settled_rows, texts_as_numbers=True)
    },
)
