"""WhiteBIT payloads (docs/exchanges/whitebit.md): pushes of one row, entries of the list, settled
rates.

Rows of a push are positional. The rate is that of the contract's interval, which the list states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from schemas.errors import MalformedInputError
from schemas.times import US_PER_S
from schemas.venues.whitebit import FEED
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettledColumns,
    SettlementUpdate,
    StreamColumns,
    Update,
)
from stream_app.normalise.assets import canonical_asset, split_at_ending
from stream_app.normalise.columns import (
    NAN,
    ColumnReader,
    floats,
    integers,
    next_times_us,
    numbers,
    text_prices,
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
    price,
    product,
    text,
    time_us,
)
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader, with_faults

QUOTE = "USDT"
_ENDINGS = (("_PERP", QUOTE),)
_METHOD = "premiumIndex_update"
_MINUTES_PER_HOUR = 60
_MIN_S, _MAX_S = 10**9, 10**10
"""Seconds from 2001 to 2286: ms begin beyond."""


class _Premium(msgspec.Struct, gc=False, array_like=True):
    """A row of a push, §2."""

    market: str
    mark: Number
    index: Number
    rate: Number
    next_time: Time
    sent_s: Number = None


class _Push(msgspec.Struct, gc=False):
    """A push cut to one row; that of a single named market is the row itself."""

    method: str
    params: list[msgspec.Raw]


class _PlainPremium(msgspec.Struct, gc=False, array_like=True):
    """A _Premium with the types that the exchange sends."""

    market: str
    mark: str
    index: str
    rate: str
    next_time: object
    sent_s: float


class _PlainPush(msgspec.Struct, gc=False):
    method: str
    params: tuple[_PlainPremium]


class _Future(msgspec.Struct, gc=False):
    """An entry of GET /futures, §4a and c."""

    ticker_id: str
    stock_currency: Text = None
    money_currency: Text = None
    last_price: Number = None
    money_volume: Number = None
    open_interest: Number = None
    index_price: Number = None
    mark_price: Number = None
    funding_rate: Number = None
    next_funding_rate_timestamp: Time = None
    funding_interval_minutes: Number = None
    funding_cap: Number = None
    funding_floor: Number = None


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    """A row of GET /funding-history, §4b. When the rate was calculated is not read."""

    market: str
    funding_time: Time
    funding_rate: Number = None


class _PlainSettled(msgspec.Struct, gc=False, rename="camel"):
    """A _Settled with the types that the exchange sends."""

    market: str
    funding_time: str
    funding_rate: str


_premium: Callable[[bytes], _Premium] = msgspec.json.Decoder(_Premium).decode


def _us_of_seconds(value: Time, field: str) -> int:
    """Return a time in seconds, with or without a fraction, as µs; one in ms is told by its size.

    Raises:
        MalformedInputError: it is no time.
    """
    seconds = number(value, field)
    if seconds is not None and _MIN_S <= seconds < _MAX_S:
        return round(seconds * US_PER_S)
    return time_us(value, field)


def _next_us(value: Time, now_us: int) -> int | None:
    """Return a next funding time, in ms as it is sent or in seconds as it is documented (§2)."""
    try:
        return next_time_us(_us_of_seconds(value, "next funding time"), now_us)
    except MalformedInputError:
        return None


def _sent_us(value: Time, field: str) -> int | None:
    """Return when a row was sent, which is in seconds (µs); None where it does not say."""
    return _us_of_seconds(value, field) if number(value, field) else None


def _row(push: _Push) -> _Premium:
    """Return the row of a push, which stands in an array of its own or is the array (§2)."""
    params = [bytes(raw) for raw in push.params]
    try:
        return _premium(params[0] if len(params) == 1 else b"[%b]" % b",".join(params))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInputError(f"not a premiumIndex row: {error}") from None


def _push(push: _Push, item: Item) -> Sequence[Update]:
    if push.method != _METHOD:
        raise MalformedInputError(f"not a premiumIndex: method is {push.method!r:.60}")
    row = _row(push)
    rate = number(row.rate, "rate")
    if rate is None:
        return (NoRate(row.market, "no funding rate"),)
    faults: list[str] = []
    event_us = optional(_sent_us, row.sent_s, "send time", faults)
    update = RateUpdate(
        row.market,
        rate,
        event_time=event_us,
        mark_price=optional(price, row.mark, "mark", faults),
        index_price=optional(price, row.index, "index", faults),
        next_funding_time=_next_us(
            row.next_time, item.received_at_us if event_us is None else event_us
        ),
    )
    return with_faults(row.market, faults, update)


def _push_columns(pushes: Sequence[_PlainPush]) -> StreamColumns | None:
    rows = [push.params[0] for push in pushes]
    symbols, marks, indexes, rates, due, sent = zip(
        *map(msgspec.structs.astuple, rows), strict=True
    )
    coming = integers(due)
    if coming is None or {push.method for push in pushes} != {_METHOD}:
        return None
    seconds = np.array(sent, dtype=np.float64)
    is_time = (seconds >= _MIN_S) & (seconds < _MAX_S)
    event_times = np.where(is_time, np.rint(np.where(is_time, seconds, 0.0) * US_PER_S), 0).astype(
        np.int64
    )
    next_times = next_times_us(coming, event_times)
    is_plain = is_time & (next_times > 0)
    return StreamColumns(
        symbols,
        np.where(is_plain, floats(rates), NAN),
        event_times,
        text_prices(marks),
        text_prices(indexes),
        next_times,
    )


def _interval_hours(value: Number, field: str) -> float | None:
    """Return an interval given in minutes as hours; None where there is none."""
    minutes = number(value, field)
    return hours(minutes / _MINUTES_PER_HOUR, field) if minutes else None


def _snapshot(row: _Future, item: Item) -> Sequence[Update]:
    """The list is served from a cache of unknown age: `event_time` stays None (§4a)."""
    rate = number(row.funding_rate, "funding_rate")
    if rate is None:
        return (NoRate(row.ticker_id, "no funding rate"),)
    faults: list[str] = []
    update = RateUpdate(
        row.ticker_id,
        rate,
        mark_price=optional(price, row.mark_price, "mark_price", faults),
        index_price=optional(price, row.index_price, "index_price", faults),
        next_funding_time=_next_us(row.next_funding_rate_timestamp, item.received_at_us),
        interval_hours=optional(
            _interval_hours, row.funding_interval_minutes, "funding_interval_minutes", faults
        ),
    )
    return with_faults(row.ticker_id, faults, update)


def _settlement(row: _Settled, _item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.market, "no settled rate"),)
    return (SettlementUpdate(row.market, _us_of_seconds(row.funding_time, "fundingTime"), rate),)


def _settled_columns(rows: Sequence[_PlainSettled]) -> SettledColumns:
    symbols, times, rates = zip(*map(msgspec.structs.astuple, rows), strict=True)
    is_seconds = [t.isascii() and t.isdigit() and len(t) == len(str(_MIN_S)) for t in times]
    times_raw = np.array(
        [int(t) * US_PER_S if plain else 0 for t, plain in zip(times, is_seconds, strict=True)],
        dtype=np.int64,
    )
    return SettledColumns(symbols, times_raw, np.where(times_raw > 0, numbers(rates), NAN))


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return (base, quote), as of BTC_PERP (§3)."""
    return split_at_ending(symbol, _ENDINGS)


def _facts(row: _Future, _item: Item) -> Sequence[Update]:
    """What is in the list trades: an entry has no state (§4c)."""
    faults: list[str] = []
    base = optional(text, row.stock_currency, "stock_currency", faults)
    asset, multiplier = canonical_asset(base or split_symbol(row.ticker_id)[0], FEED.assets)
    facts = InstrumentUpdate(
        row.ticker_id,
        base=asset,
        quote=optional(text, row.money_currency, "money_currency", faults) or QUOTE,
        multiplier=multiplier,
        status=FEED.status_of("listed"),
        interval_hours=optional(
            _interval_hours, row.funding_interval_minutes, "funding_interval_minutes", faults
        ),
        rate_cap=optional(number, row.funding_cap, "funding_cap", faults),
        rate_floor=optional(number, row.funding_floor, "funding_floor", faults),
    )
    return with_faults(row.ticker_id, faults, facts)


def _liquidity(row: _Future, _item: Item) -> Sequence[Update]:
    """The turnover is in USDT; open interest is in units of the asset (§4c)."""
    faults: list[str] = []
    held = optional(amount, row.open_interest, "open_interest", faults)
    mark = optional(price, row.mark_price, "mark_price", faults)
    unit_price = mark or optional(price, row.last_price, "last_price", faults)
    facts = InstrumentUpdate(
        row.ticker_id,
        turnover_24h=optional(amount, row.money_volume, "money_volume", faults),
        open_interest=product(held, unit_price),
        # Where the row has no price, the newest mark that is known is good.
        open_interest_units=held,
    )
    return with_faults(row.ticker_id, faults, facts)


_read_snapshot = PayloadReader(_Future, _snapshot)
normalise = ChannelNormaliser(
    {
        ("stream", "premiumIndex"): PayloadReader(_Push, _push),
        ("fallback", "futures"): _read_snapshot,
        ("reconcile", "futures"): _read_snapshot,
        ("history", "funding-history"): PayloadReader(_Settled, _settlement),
        ("contract", "futures"): PayloadReader(_Future, _facts),
        ("contract", "liquidity"): PayloadReader(_Future, _liquidity),
    },
    {"premiumIndex": ColumnReader(_PlainPush, _push_columns)},
    {"funding-history": ColumnReader(_PlainSettled, _settled_columns)},
)
