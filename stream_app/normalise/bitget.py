"""Bitget payloads (docs/exchanges/bitget.md): tickers of both sockets, and rows of REST.

Frames name no interval: the lists do. A dated contract has a rate of "0" and no next funding time,
which means that it has no funding.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from schemas.errors import MalformedInputError
from schemas.venues.bitget import FEED
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    StreamColumns,
    Update,
)
from stream_app.normalise.assets import canonical_asset, split_at_ending
from stream_app.normalise.columns import (
    NAN,
    ColumnReader,
    next_times_us,
    optional_floats,
    prices,
    settled_rows,
    times_us,
)
from stream_app.normalise.numbers import (
    Number,
    Text,
    Time,
    amount,
    hours,
    next_time_us,
    number,
    optional,
    past_time_us,
    price,
    product,
    text,
    time_us,
)
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader, with_faults

_NO_TIME: tuple[Time, ...] = (None, "", "0", 0)
_ENDINGS = (("USDT", "USDT"), ("PERP", "USDC"), ("USD", "USD"))


class _Ticker(msgspec.Struct, gc=False, rename="camel"):
    """A row of the ticker channel, §2."""

    inst_id: Text = None
    symbol: Text = None
    funding_rate: Number = None
    next_funding_time: Time = None
    mark_price: Number = None
    index_price: Number = None
    ts: Time = None


class _TickerFrame(msgspec.Struct, gc=False):
    """A ticker frame of one row. Its own time is that of the push, later than the row's; v3 names
    the contract in `arg` alone (§2).
    """

    data: list[_Ticker]
    arg: object = None
    ts: Time = None


class _PlainTicker(msgspec.Struct, gc=False, rename="camel"):
    """A _Ticker of the v2 socket with the types that the exchange sends."""

    inst_id: str
    funding_rate: float
    next_funding_time: int
    mark_price: float
    index_price: float
    ts: int


class _PlainFrame(msgspec.Struct, gc=False):
    data: list[_PlainTicker]


class _CurrentRate(msgspec.Struct, gc=False, rename="camel"):
    """A row of current-fund-rate, §4a."""

    symbol: str
    funding_rate: Number = None
    funding_rate_interval: Number = None
    next_update: Time = None
    min_funding_rate: Number = None
    max_funding_rate: Number = None


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    """A row of history-fund-rate, §4b."""

    symbol: str
    funding_time: Time
    funding_rate: Number = None


class _PlainSettled(msgspec.Struct, gc=False, rename="camel"):
    """A _Settled with the types that the exchange sends."""

    symbol: str
    funding_time: int
    funding_rate: float


class _Contract(msgspec.Struct, gc=False, rename="camel"):
    """A row of contracts, §4c."""

    symbol: str
    base_coin: Text = None
    quote_coin: Text = None
    symbol_status: Text = None
    fund_interval: Number = None
    launch_time: Time = None


class _Liquidity(msgspec.Struct, gc=False, rename="camel"):
    """A row of tickers, §4d: `holdingAmount` in coins, `quoteVolume` in the quote currency."""

    symbol: str
    quote_volume: Number = None
    holding_amount: Number = None
    mark_price: Number = None


def _is_dated(rate: float, next_time: Time) -> bool:
    """A rate of 0 without a next funding time is that of a contract without funding (§2)."""
    return rate == 0 and next_time in _NO_TIME


def _no_rate(symbol: str, rate: float | None) -> NoRate:
    return NoRate(symbol, "no funding rate" if rate is None else "a dated contract: no funding")


def _hours(value: Number, field: str) -> float | None:
    """Return an interval in hours; None where there is none, as of a dated contract (0)."""
    return hours(value, field) if number(value, field) else None


def _frame(frame: _TickerFrame, item: Item) -> Sequence[Update]:
    if len(frame.data) != 1:
        raise MalformedInputError(f"a piece of {len(frame.data)} rows, not of one")
    row = frame.data[0]
    faults: list[str] = []
    symbol = _symbol(row, frame, faults)
    rate = number(row.funding_rate, "fundingRate")
    if rate is None or _is_dated(rate, row.next_funding_time):
        return (_no_rate(symbol, rate),)
    event_us = optional(past_time_us, row.ts, "ts", faults)
    if event_us is None:
        event_us = optional(past_time_us, frame.ts, "ts", faults)
    update = RateUpdate(
        symbol,
        rate,
        event_time=event_us,
        mark_price=optional(price, row.mark_price, "markPrice", faults),
        index_price=optional(price, row.index_price, "indexPrice", faults),
        next_funding_time=next_time_us(
            row.next_funding_time, item.received_at_us if event_us is None else event_us
        ),
    )
    return with_faults(symbol, faults, update)


def _symbol(row: _Ticker, frame: _TickerFrame, faults: list[str]) -> str:
    in_frame = frame.arg.get("symbol") if isinstance(frame.arg, dict) else None
    for value, field in (
        (row.inst_id, "instId"),
        (row.symbol, "symbol"),
        (in_frame, "arg.symbol"),
    ):
        symbol = optional(text, value, field, faults)
        if symbol:
            return symbol
    raise MalformedInputError("a ticker without a symbol")


def _frame_columns(frames: Sequence[_PlainFrame]) -> StreamColumns | None:
    rows = [frame.data[0] for frame in frames if len(frame.data) == 1]
    if len(rows) != len(frames):
        return None
    symbols, rates, due, marks, indexes, stamps = zip(
        *map(msgspec.structs.astuple, rows), strict=True
    )
    event_times = times_us(stamps)
    next_times = next_times_us(due, event_times)
    is_plain = (event_times > 0) & (next_times > 0)
    return StreamColumns(
        symbols,
        np.where(is_plain, optional_floats(rates), NAN),
        event_times,
        prices(marks),
        prices(indexes),
        next_times,
    )


def _current(row: _CurrentRate, item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None or _is_dated(rate, row.next_update):
        return (_no_rate(row.symbol, rate),)
    faults: list[str] = []
    update = RateUpdate(
        row.symbol,
        rate,
        next_funding_time=next_time_us(row.next_update, item.received_at_us),
        interval_hours=optional(_hours, row.funding_rate_interval, "fundingRateInterval", faults),
    )
    return with_faults(row.symbol, faults, update)


def _caps(row: _CurrentRate, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    facts = InstrumentUpdate(
        row.symbol,
        interval_hours=optional(_hours, row.funding_rate_interval, "fundingRateInterval", faults),
        rate_cap=optional(number, row.max_funding_rate, "maxFundingRate", faults),
        rate_floor=optional(number, row.min_funding_rate, "minFundingRate", faults),
    )
    return with_faults(row.symbol, faults, facts)


def _settlement(row: _Settled, _item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.symbol, "no settled rate"),)
    return (SettlementUpdate(row.symbol, time_us(row.funding_time, "fundingTime"), rate),)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Guess (base, quote), as of BTCUSDT, BTCPERP and BTCUSD (§5)."""
    return split_at_ending(symbol, _ENDINGS)


def _contract(row: _Contract, _item: Item) -> Sequence[Update]:
    guessed_base, guessed_quote = split_symbol(row.symbol)
    faults: list[str] = []
    base = optional(text, row.base_coin, "baseCoin", faults) or guessed_base
    word = optional(text, row.symbol_status, "symbolStatus", faults)
    asset, multiplier = canonical_asset(base, FEED.assets)
    facts = InstrumentUpdate(
        row.symbol,
        base=asset,
        quote=optional(text, row.quote_coin, "quoteCoin", faults) or guessed_quote or None,
        multiplier=multiplier,
        status=FEED.status_of(word) if word else None,
        status_word=word,
        interval_hours=optional(_hours, row.fund_interval, "fundInterval", faults),
        listed_at=optional(past_time_us, row.launch_time, "launchTime", faults),
    )
    return with_faults(row.symbol, faults, facts)


def _liquidity(row: _Liquidity, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    coins = optional(amount, row.holding_amount, "holdingAmount", faults)
    mark = optional(price, row.mark_price, "markPrice", faults)
    facts = InstrumentUpdate(
        row.symbol,
        turnover_24h=optional(amount, row.quote_volume, "quoteVolume", faults),
        open_interest=product(coins, mark),
    )
    return with_faults(row.symbol, faults, facts)


_read_current = PayloadReader(_CurrentRate, _current)
_read_contract = PayloadReader(_Contract, _contract)
normalise = ChannelNormaliser(
    {
        ("stream", "ticker"): PayloadReader(_TickerFrame, _frame),
        ("fallback", "current-fund-rate"): _read_current,
        ("reconcile", "current-fund-rate"): _read_current,
        ("history", "history-fund-rate"): PayloadReader(_Settled, _settlement),
        ("contract", "contracts"): _read_contract,
        ("contract", "contracts-usdc"): _read_contract,
        ("contract", "contracts-coin"): _read_contract,
        ("contract", "current-fund-rate"): PayloadReader(_CurrentRate, _caps),
        ("contract", "tickers"): PayloadReader(_Liquidity, _liquidity),
    },
    {"ticker": ColumnReader(_PlainFrame, _frame_columns, texts_as_numbers=True)},
    {"history-fund-rate": ColumnReader(_PlainSettled, settled_rows, texts_as_numbers=True)},
)
