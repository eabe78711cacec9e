"""Lighter payloads (docs/exchanges/lighter.md): statistics of markets, settled rates, the list.

The stream and the history send percent per hour, the list of current rates a fraction per 8 hours.
No payload names the next funding time: every market settles at each full hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import numpy as np

from schemas.errors import MalformedInputError
from schemas.times import US_PER_HOUR, US_PER_MINUTE, US_PER_S, hour_floor, minute_round
from schemas.venues.lighter import FEED
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    StreamColumns,
    Update,
)
from stream_app.normalise.assets import canonical_asset
from stream_app.normalise.columns import NAN, ColumnReader, floats, text_prices, times_us
from stream_app.normalise.numbers import (
    Number,
    Text,
    Time,
    amount,
    number,
    optional,
    past_time_us,
    price,
    product,
    settled_us,
    text,
)
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader, with_faults

CHANNEL = "market_stats"
QUOTE = "USDC"
INTERVAL_HOURS = 1.0
RATE_HOURS = 8
"""funding-rates states the rate of so many hours, of which each hour pays a part (§9a)."""
SETTLED_SAID_US = 15 * US_PER_MINUTE
"""A frame names the last settlement all hour long; for so long after it, it is read (§6)."""
SETTLED_AFTER_US = 3 * US_PER_S
"""Not in the first moments after it: its time may be the new one and its rate the old one."""
_DECIMALS = 12
"""Of a fraction per hour; what is further behind is noise of the exchange's own division (§9a)."""
_SIGNS = {"long": 1.0, "short": -1.0}


class _Stats(msgspec.Struct, gc=False):
    """A market in `market_stats`, §6. Rates are percent per hour."""

    symbol: str
    current_funding_rate: Number = None
    funding_rate: Number = None
    funding_timestamp: Time = None
    mark_price: Number = None
    index_price: Number = None


class _Frame(msgspec.Struct, gc=False):
    """A frame: the row of a single market, or a map with one."""

    market_stats: msgspec.Raw
    timestamp: Time = None


class _PlainStats(msgspec.Struct, gc=False):
    """A _Stats with the types that the exchange sends."""

    symbol: str
    current_funding_rate: str
    funding_timestamp: int
    mark_price: str
    index_price: str


class _PlainFrame(msgspec.Struct, gc=False):
    market_stats: dict[str, _PlainStats]
    timestamp: int


class _Rate(msgspec.Struct, gc=False):
    """A row of /funding-rates, §9a."""

    symbol: str
    exchange: str
    rate: Number = None


class _Settled(msgspec.Struct, gc=False):
    """A row of /fundings, §9b: it names no market."""

    timestamp: Time
    direction: str
    rate: Number = None


class _Market(msgspec.Struct, gc=False):
    """A row of /orderBookDetails, §9c."""

    symbol: str
    status: Text = None


class _Liquidity(msgspec.Struct, gc=False):
    """The same row, for what is traded and held: quote currency, and units of the base."""

    symbol: str
    daily_quote_token_volume: Number = None
    open_interest: Number = None
    mark_price: Number = None


_one = msgspec.json.Decoder(_Stats).decode
_map = msgspec.json.Decoder(dict[str, _Stats]).decode


def fraction(percent: Number, field: str) -> float | None:
    """Return a rate in percent as a fraction, to the nearest double; None where there is none.

    Raises:
        MalformedInputError: it is no number.
    """
    parsed = number(percent, field)
    return None if parsed is None else float(Decimal(repr(parsed)).scaleb(-2))


def _stats_of(raw: msgspec.Raw) -> _Stats:
    try:
        rows = list(_map(raw).values())
    except msgspec.ValidationError:
        return _single(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInputError(f"not market_stats: {error}") from None
    if len(rows) != 1:
        raise MalformedInputError(f"{len(rows)} markets in one item")
    return rows[0]


def _single(raw: msgspec.Raw) -> _Stats:
    try:
        return _one(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInputError(f"not market_stats: {error}") from None


def _frame(frame: _Frame, item: Item) -> Sequence[Update]:
    row = _stats_of(frame.market_stats)
    faults: list[str] = []
    event_us = optional(past_time_us, frame.timestamp, "timestamp", faults)
    at_us = item.received_at_us if event_us is None else event_us
    last_us = optional(past_time_us, row.funding_timestamp, "funding_timestamp", faults)
    settled = _last_settled(row, last_us, at_us, faults)
    try:
        rate = fraction(row.current_funding_rate, "current_funding_rate")
    except MalformedInputError as error:
        if not settled:
            raise
        # The settlement beside a bad estimate is good.
        faults.append(str(error))
        return with_faults(row.symbol, faults, *settled)
    if rate is None:
        return with_faults(row.symbol, faults, NoRate(row.symbol, "no funding rate"), *settled)
    update = RateUpdate(
        row.symbol,
        rate,
        event_time=event_us,
        mark_price=optional(price, row.mark_price, "mark_price", faults),
        index_price=optional(price, row.index_price, "index_price", faults),
        next_funding_time=_next_us(last_us, at_us),
    )
    return with_faults(row.symbol, faults, update, *settled)


def _next_us(last_us: int | None, at_us: int) -> int:
    """Return the hour that the estimate is for: the next one.

    While the last settlement that a row names is that of an hour earlier than it should be, the
    exchange has not turned to the new hour yet, and the estimate is still for the one just ended.
    `last_us`: when that was, a little before or after its hour.
    """
    hour_us = hour_floor(at_us)
    is_behind = last_us is not None and hour_us - hour_floor(minute_round(last_us)) == US_PER_HOUR
    return hour_us if is_behind else hour_us + US_PER_HOUR


def _last_settled(
    row: _Stats, last_us: int | None, at_us: int, faults: list[str]
) -> Sequence[SettlementUpdate]:
    """Return the last settlement if it happened in the last minutes, else nothing.

    Every frame of the hour names it. `last_us`: when it was, as the row says.
    """
    if last_us is None or not SETTLED_AFTER_US <= at_us - last_us < SETTLED_SAID_US:
        return ()
    rate = optional(fraction, row.funding_rate, "funding_rate", faults)
    if rate is None:
        return ()
    return (
        SettlementUpdate(row.symbol, last_us, rate, source="stream", interval_hours=INTERVAL_HOURS),
    )


def _frame_columns(frames: Sequence[_PlainFrame]) -> StreamColumns | None:
    """Read frames that bring an estimate alone.

    Those of the first minutes after a settlement bring it as well: their rate is NaN here, so that
    `_frame` reads them.
    """
    rows = [row for frame in frames for row in frame.market_stats.values()]
    if len(rows) != len(frames) or not all(frame.market_stats for frame in frames):
        return None
    event_times = times_us([frame.timestamp for frame in frames])
    symbols, rates, settled, marks, indexes = zip(*map(msgspec.structs.astuple, rows), strict=True)
    settled_times = times_us(settled)
    is_plain = (event_times > 0) & (settled_times > 0)
    is_plain &= event_times - settled_times >= SETTLED_SAID_US
    hours_us = event_times // US_PER_HOUR * US_PER_HOUR
    # To the nearest minute, as in `_next_us`.
    settled_hours = (settled_times + US_PER_MINUTE // 2) // US_PER_HOUR * US_PER_HOUR
    is_behind = hours_us - settled_hours == US_PER_HOUR
    found = floats([f"{rate}e-2" for rate in rates])
    return StreamColumns(
        symbols,
        np.where(is_plain, found, NAN),
        event_times,
        text_prices(marks),
        text_prices(indexes),
        hours_us + np.where(is_behind, 0, US_PER_HOUR),
    )


def _current(row: _Rate, item: Item) -> Sequence[Update]:
    if row.exchange != FEED.name:
        raise MalformedInputError(f"the rate of another exchange: {row.exchange!r:.60}")
    rate = number(row.rate, "rate")
    if rate is None:
        return (NoRate(row.symbol, "no funding rate"),)
    return (
        RateUpdate(
            row.symbol,
            round(rate / RATE_HOURS, _DECIMALS),
            next_funding_time=hour_floor(item.received_at_us) + US_PER_HOUR,
        ),
    )


def _settlement(row: _Settled, item: Item) -> Sequence[Update]:
    rate = fraction(row.rate, "rate")
    if rate is None:
        return (NoRate(item.symbol, "no settled rate"),)
    sign = _SIGNS.get(row.direction)
    if sign is None or rate < 0:
        raise MalformedInputError(f"no size and direction: {row.rate!r:.40} {row.direction!r:.40}")
    at_us = settled_us(row.timestamp, "timestamp")
    # +0: a rate of nothing has no sign.
    return (SettlementUpdate(item.symbol, at_us, sign * rate + 0.0, interval_hours=INTERVAL_HOURS),)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return (base, quote): a symbol is the base, and everything is settled in USDC (§8)."""
    return symbol, QUOTE


def _facts(row: _Market, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    word = optional(text, row.status, "status", faults)
    base, multiplier = canonical_asset(row.symbol, FEED.assets)
    facts = InstrumentUpdate(
        row.symbol,
        base=base,
        quote=QUOTE,
        multiplier=multiplier,
        status=FEED.status_of(word) if word else None,
        status_word=word,
        interval_hours=INTERVAL_HOURS,
    )
    return with_faults(row.symbol, faults, facts)


def _liquidity(row: _Liquidity, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    volume = optional(amount, row.daily_quote_token_volume, "daily_quote_token_volume", faults)
    held = optional(amount, row.open_interest, "open_interest", faults)
    mark = optional(price, row.mark_price, "mark_price", faults)
    facts = InstrumentUpdate(
        row.symbol,
        mark_price=mark,
        turnover_24h=volume,
        open_interest=product(held, mark),
        # Where the row has no mark, the newest one that is known is good.
        open_interest_units=held,
    )
    return with_faults(row.symbol, faults, facts)


_read_rate = PayloadReader(_Rate, _current)
normalise = ChannelNormaliser(
    {
        ("stream", CHANNEL): PayloadReader(_Frame, _frame),
        ("fallback", "funding-rates"): _read_rate,
        ("reconcile", "funding-rates"): _read_rate,
        ("history", "fundings"): PayloadReader(_Settled, _settlement),
        ("contract", "orderBookDetails"): PayloadReader(_Market, _facts),
        ("contract", "liquidity"): PayloadReader(_Liquidity, _liquidity),
    },
    {CHANNEL: ColumnReader(_PlainFrame, _frame_columns)},
)
