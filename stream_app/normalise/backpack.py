"""Backpack payloads (docs/exchanges/backpack.md): mark prices, settled rates, markets.

What is sent is the rate of the market's interval, which its list of markets states.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from schemas.errors import MalformedInputError
from schemas.venues.backpack import FEED
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettledColumns,
    SettlementUpdate,
    StreamColumns,
    Update,
)
from stream_app.normalise.assets import canonical_asset
from stream_app.normalise.columns import (
    NAN,
    ColumnReader,
    integers,
    next_times_us,
    numbers,
    optional_floats,
    prices,
    times_us,
)
from stream_app.normalise.numbers import (
    Number,
    Text,
    Time,
    amount,
    interval_hours_of_ms,
    next_time_us,
    number,
    optional,
    price,
    text,
    time_us,
)
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader, with_faults

_QUOTES = frozenset({"USDC", "USDT", "USD"})
_BPS = 10_000
FIRST_YEAR = 2001
"""No later than this year nothing can have settled."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class _MarkPrice(msgspec.Struct, gc=False):
    """The data of a `markPrice` frame, §2: E in µs, n in ms.

    Prediction markets have no f, i and n. T, the engine's time, is not read.
    """

    event: str = msgspec.field(name="e")
    event_time: Time = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    mark_price: Number = msgspec.field(name="p", default=None)
    index_price: Number = msgspec.field(name="i", default=None)
    rate: Number = msgspec.field(name="f", default=None)
    next_funding_time: Time = msgspec.field(name="n", default=None)


class _MarkPriceFrame(msgspec.Struct, gc=False):
    data: _MarkPrice


class _PlainMarkPrice(msgspec.Struct, gc=False):
    """A _MarkPrice with the types that the exchange sends."""

    event: str = msgspec.field(name="e")
    event_time: object = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    mark_price: float = msgspec.field(name="p")
    index_price: float = msgspec.field(name="i")
    rate: float = msgspec.field(name="f")
    next_funding_time: object = msgspec.field(name="n")


class _PlainFrame(msgspec.Struct, gc=False):
    data: _PlainMarkPrice


class _Snapshot(msgspec.Struct, gc=False, rename="camel"):
    """A row of GET /api/v1/markPrices, §4a."""

    symbol: str
    funding_rate: Number = None
    mark_price: Number = None
    index_price: Number = None
    next_funding_timestamp: Time = None


class _FundingRate(msgspec.Struct, gc=False, rename="camel"):
    """A row of GET /api/v1/fundingRates, §4b. A time without a zone is UTC."""

    symbol: str
    interval_end_timestamp: datetime
    funding_rate: Number = None


class _PlainFundingRate(msgspec.Struct, gc=False, rename="camel"):
    """A _FundingRate with the types that the exchange sends."""

    symbol: str
    interval_end_timestamp: datetime
    funding_rate: float | str


class _Market(msgspec.Struct, gc=False, rename="camel"):
    """A row of GET /api/v1/markets, §4c. Bounds are in basis points (§3)."""

    symbol: str
    base_symbol: Text = None
    quote_symbol: Text = None
    order_book_state: Text = None
    funding_interval: Number = None
    funding_rate_upper_bound: Number = None
    funding_rate_lower_bound: Number = None


class _Ticker(msgspec.Struct, gc=False, rename="camel"):
    """A row of GET /api/v1/tickers, §4e."""

    symbol: str
    quote_volume: Number = None


class _OpenInterest(msgspec.Struct, gc=False, rename="camel"):
    """A row of GET /api/v1/openInterest, §4e: in units of the base asset."""

    symbol: str
    open_interest: Number = None


def _frame(frame: _MarkPriceFrame, _item: Item) -> Sequence[Update]:
    row = frame.data
    if row.event != "markPrice":
        raise MalformedInputError(f"not a markPrice: e is {row.event!r:.60}")
    rate = number(row.rate, "f")
    if rate is None:
        return (NoRate(row.symbol, "no funding rate"),)
    event_us = time_us(row.event_time, "E")
    faults: list[str] = []
    update = RateUpdate(
        row.symbol,
        rate,
        event_time=event_us,
        mark_price=optional(price, row.mark_price, "p", faults),
        index_price=optional(price, row.index_price, "i", faults),
        next_funding_time=next_time_us(row.next_funding_time, event_us),
    )
    return with_faults(row.symbol, faults, update)


def _frame_columns(frames: Sequence[_PlainFrame]) -> StreamColumns | None:
    rows = [frame.data for frame in frames]
    events, stamps, symbols, marks, indexes, rates, due = zip(
        *map(msgspec.structs.astuple, rows), strict=True
    )
    times, coming = integers(stamps), integers(due)
    if times is None or coming is None:
        return None
    event_times = times_us(times)
    next_times = next_times_us(coming, event_times)
    is_plain = (event_times > 0) & (next_times > 0)
    if set(events) != {"markPrice"}:
        is_plain &= [event == "markPrice" for event in events]
    return StreamColumns(
        symbols,
        np.where(is_plain, optional_floats(rates), NAN),
        event_times,
        prices(marks),
        prices(indexes),
        next_times,
    )


def _snapshot(row: _Snapshot, item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.symbol, "no funding rate"),)
    faults: list[str] = []
    update = RateUpdate(
        row.symbol,
        rate,
        mark_price=optional(price, row.mark_price, "markPrice", faults),
        index_price=optional(price, row.index_price, "indexPrice", faults),
        next_funding_time=next_time_us(row.next_funding_timestamp, item.received_at_us),
    )
    return with_faults(row.symbol, faults, update)


def _end_us(end: datetime) -> int:
    return ((end if end.tzinfo else end.replace(tzinfo=UTC)) - _EPOCH) // _US


def _settlement(row: _FundingRate, item: Item) -> Sequence[Update]:
    end = row.interval_end_timestamp
    end_us = _end_us(end)
    # The newest row is the interval still running: an estimate (§4b).
    if end_us > item.received_at_us:
        return (NoRate(row.symbol, "interval still running"),)
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.symbol, "no settled rate"),)
    if end.year <= FIRST_YEAR:
        raise MalformedInputError(f"intervalEndTimestamp is no time of a settlement: {end}")
    return (SettlementUpdate(row.symbol, end_us, rate),)


def _settled_columns(rows: Sequence[_PlainFundingRate]) -> SettledColumns:
    """An interval that still runs ends after its receipt, which makes it none for the core."""
    symbols, ends, rates = zip(*map(msgspec.structs.astuple, rows), strict=True)
    is_good = np.array([end.year > FIRST_YEAR for end in ends])
    times_raw = np.array([_end_us(end) for end in ends], dtype=np.int64)
    return SettledColumns(symbols, times_raw, np.where(is_good, numbers(rates), NAN))


def _bound(value: Number, field: str) -> float | None:
    """Return a bound as a fraction; None where it cannot be one in basis points."""
    bps = number(value, field)
    return bps / _BPS if bps is not None and 1 <= abs(bps) <= _BPS else None


def split_symbol(symbol: str) -> tuple[str, str]:
    """Guess (base, quote), as of BTC_USDC_PERP (§3)."""
    base, _, quote = symbol.removesuffix("_PERP").rpartition("_")
    return (base, quote) if base and quote in _QUOTES else (symbol, "")


def _market(row: _Market, _item: Item) -> Sequence[Update]:
    guessed_base, guessed_quote = split_symbol(row.symbol)
    faults: list[str] = []
    base = optional(text, row.base_symbol, "baseSymbol", faults) or guessed_base
    quote = optional(text, row.quote_symbol, "quoteSymbol", faults) or guessed_quote or None
    word = optional(text, row.order_book_state, "orderBookState", faults)
    asset, multiplier = canonical_asset(base, FEED.assets)
    facts = InstrumentUpdate(
        row.symbol,
        base=asset,
        quote=quote,
        multiplier=multiplier,
        status=FEED.status_of(word) if word else None,
        status_word=word,
        interval_hours=optional(
            interval_hours_of_ms, row.funding_interval, "fundingInterval", faults
        ),
        rate_cap=optional(_bound, row.funding_rate_upper_bound, "fundingRateUpperBound", faults),
        rate_floor=optional(_bound, row.funding_rate_lower_bound, "fundingRateLowerBound", faults),
    )
    return with_faults(row.symbol, faults, facts)


def _ticker(row: _Ticker, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    turnover = optional(amount, row.quote_volume, "quoteVolume", faults)
    return with_faults(row.symbol, faults, InstrumentUpdate(row.symbol, turnover_24h=turnover))


def _open_interest(row: _OpenInterest, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    units = optional(amount, row.open_interest, "openInterest", faults)
    return with_faults(row.symbol, faults, InstrumentUpdate(row.symbol, open_interest_units=units))


_read_snapshot = PayloadReader(_Snapshot, _snapshot)
normalise = ChannelNormaliser(
    {
        ("stream", "markPrice"): PayloadReader(_MarkPriceFrame, _frame),
        ("fallback", "markPrices"): _read_snapshot,
        ("reconcile", "markPrices"): _read_snapshot,
        ("history", "fundingRates"): PayloadReader(_FundingRate, _settlement),
        ("contract", "markets"): PayloadReader(_Market, _market),
        ("contract", "tickers"): PayloadReader(_Ticker, _ticker),
        ("contract", "openInterest"): PayloadReader(_OpenInterest, _open_interest),
    },
    {"markPrice": ColumnReader(_PlainFrame, _frame_columns, texts_as_numbers=True)},
    {"fundingRates": ColumnReader(_PlainFundingRate, _settled_columns)},
)
