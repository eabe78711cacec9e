"""Gate payloads (docs/exchanges/gate.md): frames of one row, rows of REST.

Times of funding and intervals are in seconds, the time of a price in ms. The rate is the running
estimate of the settlement at `funding_next_apply`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import msgspec

from schemas.errors import MalformedInputError
from schemas.venues.gate import FEED, IN_DELISTING
from stream_app.model import InstrumentUpdate, NoRate, RateUpdate, SettlementUpdate, Update
from stream_app.normalise.assets import canonical_asset
from stream_app.normalise.numbers import (
    Flag,
    Number,
    Text,
    Time,
    amount,
    flag,
    hours,
    next_time_us,
    number,
    optional,
    past_time_us,
    price,
    product,
    settled_us,
    text,
)
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader, with_faults

_S_PER_HOUR = 3_600
_MS_PER_S = 1_000


class _Ticker(msgspec.Struct, gc=False):
    """A row of futures.tickers, §6. Rows of before 2024 lack interval, next time and `t`."""

    contract: str
    funding_rate: Number = None
    mark_price: Number = None
    index_price: Number = None
    funding_interval: Number = None
    funding_next_apply: Time = None
    t: Time = None


class _TickerFrame(msgspec.Struct, gc=False):
    """A frame of one row. Its own time is that of the push, later than the row's."""

    result: list[_Ticker]
    time_ms: Time = None


class _Settled(msgspec.Struct, gc=False):
    """A row of funding_rate, §9b: it names no contract."""

    t: Time
    r: Number = None


class _Contract(msgspec.Struct, gc=False):
    """A row of contracts, §9a: the facts of a contract and its current rate."""

    name: str
    status: Text = None
    in_delisting: Flag = None
    is_pre_market: Flag = None
    type: Text = None
    quanto_multiplier: Number = None
    position_size: Number = None
    funding_rate: Number = None
    funding_interval: Number = None
    funding_next_apply: Time = None
    funding_rate_limit: Number = None
    mark_price: Number = None
    index_price: Number = None
    launch_time: Time = None


class _Liquidity(msgspec.Struct, gc=False):
    """A row of tickers, §9c."""

    contract: str
    volume_24h_quote: Number = None


def _hours(value: Number, field: str) -> float | None:
    """Return an interval given in seconds as hours; None where there is none (0 included).

    Raises:
        MalformedInputError: not within a quarter of an hour and a day, so in another unit.
    """
    in_s = number(value, field)
    return hours(in_s / _S_PER_HOUR, field) if in_s else None


def _ms(value: Time) -> Time:
    """Return a time given in seconds in ms; what is none stays as it is."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:19])
    elif isinstance(value, float) and isfinite(value):
        value = int(value)
    return value * _MS_PER_S if type(value) is int else None


def _launch_us(value: Time, field: str) -> int | None:
    return past_time_us(_ms(value), field) if number(value, field) else None


def _frame(frame: _TickerFrame, item: Item) -> Sequence[Update]:
    if len(frame.result) != 1:
        raise MalformedInputError(f"a piece of {len(frame.result)} rows, not of one")
    row = frame.result[0]
    rate = number(row.funding_rate, "funding_rate")
    if rate is None:
        return (NoRate(row.contract, "no funding rate: a dated contract"),)
    faults: list[str] = []
    event_us = optional(past_time_us, row.t, "t", faults)
    if event_us is None:
        event_us = optional(past_time_us, frame.time_ms, "time_ms", faults)
    update = RateUpdate(
        row.contract,
        rate,
        event_time=event_us,
        mark_price=optional(price, row.mark_price, "mark_price", faults),
        index_price=optional(price, row.index_price, "index_price", faults),
        next_funding_time=next_time_us(
            _ms(row.funding_next_apply), item.received_at_us if event_us is None else event_us
        ),
        interval_hours=optional(_hours, row.funding_interval, "funding_interval", faults),
    )
    return with_faults(row.contract, faults, update)


def _current(row: _Contract, item: Item) -> Sequence[Update]:
    """A row has no time of its own: that of receipt stands in for it."""
    faults: list[str] = []
    if optional(flag, row.is_pre_market, "is_pre_market", faults):
        return (NoRate(row.name, "a contract of the pre-market"),)
    rate = number(row.funding_rate, "funding_rate")
    if rate is None:
        return (NoRate(row.name, "no funding rate"),)
    update = RateUpdate(
        row.name,
        rate,
        mark_price=optional(price, row.mark_price, "mark_price", faults),
        index_price=optional(price, row.index_price, "index_price", faults),
        next_funding_time=next_time_us(_ms(row.funding_next_apply), item.received_at_us),
        interval_hours=optional(_hours, row.funding_interval, "funding_interval", faults),
    )
    return with_faults(row.name, faults, update)


def _settlement(row: _Settled, item: Item) -> Sequence[Update]:
    rate = number(row.r, "r")
    if rate is None:
        return (NoRate(item.symbol, "no settled rate"),)
    return (SettlementUpdate(item.symbol, settled_us(row.t, "t"), rate),)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Split a name at its last underscore, as of BTC_USDT (§8)."""
    base, _, quote = symbol.rpartition("_")
    return (base, quote) if base else (symbol, "")


def _facts(row: _Contract, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    base, quote = split_symbol(row.name)
    asset, multiplier = canonical_asset(base, FEED.assets)
    word = optional(text, row.status, "status", faults) or None
    if word and optional(flag, row.in_delisting, "in_delisting", faults):
        word = IN_DELISTING.get(word, word)
    cap = optional(number, row.funding_rate_limit, "funding_rate_limit", faults)
    facts = InstrumentUpdate(
        row.name,
        base=asset,
        quote=quote or None,
        multiplier=multiplier,
        status=FEED.status_of(word) if word else None,
        status_word=word,
        interval_hours=optional(_hours, row.funding_interval, "funding_interval", faults),
        rate_cap=cap,
        rate_floor=None if cap is None else -cap,
        listed_at=optional(_launch_us, row.launch_time, "launch_time", faults),
        open_interest=_open_interest(row, faults),
    )
    return with_faults(row.name, faults, facts)


def _open_interest(row: _Contract, faults: list[str]) -> float | None:
    """An inverse contract is of one unit of the quote currency, others of so many coins (§8)."""
    size = optional(amount, row.position_size, "position_size", faults)
    if size is None or row.type == "inverse":
        return size
    coins = optional(amount, row.quanto_multiplier, "quanto_multiplier", faults)
    mark = optional(price, row.mark_price, "mark_price", faults)
    return product(size, coins or None, mark)


def _liquidity(row: _Liquidity, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    turnover = optional(amount, row.volume_24h_quote, "volume_24h_quote", faults)
    return with_faults(row.contract, faults, InstrumentUpdate(row.contract, turnover_24h=turnover))


_read_facts = PayloadReader(_Contract, _facts)
_read_current = PayloadReader(_Contract, _current)
_LISTS = ("contracts", "contracts-usd1", "contracts-btc")
normalise = ChannelNormaliser(
    {
        ("stream", "futures.tickers"): PayloadReader(_TickerFrame, _frame),
        **{("fallback", channel): _read_current for channel in _LISTS},
        **{("reconcile", channel): _read_current for channel in _LISTS},
        **{("contract", channel): _read_facts for channel in _LISTS},
        ("contract", "tickers"): PayloadReader(_Liquidity, _liquidity),
        ("history", "funding_rate"): PayloadReader(_Settled, _settlement),
    }
)
