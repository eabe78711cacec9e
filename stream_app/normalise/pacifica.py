"""Pacifica payloads (docs/exchanges/pacifica.md): prices, settled rates, the list.

`funding` is the last settled rate and `next_funding` the estimate; both are fractions per hour. No
payload names a funding time: every contract settles at each full hour.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from schemas.times import US_PER_HOUR, hour_floor, minute_round
from schemas.venues.pacifica import FEED
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

CHANNEL = "prices"
QUOTE = "USDC"
INTERVAL_HOURS = 1.0


class _Price(msgspec.Struct, gc=False):
    """A row of `prices` and of /info/prices, §6. `funding`, which is settled, is not read."""

    symbol: str
    timestamp: Time = None
    next_funding: Number = None
    mark: Number = None
    oracle: Number = None


class _Frame(msgspec.Struct, gc=False):
    """A frame of one row."""

    data: tuple[_Price]


class _PlainPrice(msgspec.Struct, gc=False):
    """A _Price with the types that the exchange sends."""

    symbol: str
    timestamp: int
    next_funding: str
    mark: str
    oracle: str


class _PlainFrame(msgspec.Struct, gc=False):
    data: tuple[_PlainPrice]


class _Settled(msgspec.Struct, gc=False):
    """A row of /funding_rate/history, §9b: it names no symbol."""

    created_at: Time
    funding_rate: Number = None


class _Market(msgspec.Struct, gc=False):
    """A row of /info, §9c."""

    symbol: str
    base_asset: Text = None


class _Liquidity(msgspec.Struct, gc=False):
    """A row of /info/prices, for what is traded and held: quote currency, and units of the base."""

    symbol: str
    volume_24h: Number = None
    open_interest: Number = None
    mark: Number = None


def _price(row: _Price, item: Item) -> Sequence[Update]:
    rate = number(row.next_funding, "next_funding")
    if rate is None:
        return (NoRate(row.symbol, "no funding rate"),)
    faults: list[str] = []
    event_us = optional(past_time_us, row.timestamp, "timestamp", faults)
    at_us = item.received_at_us if event_us is None else event_us
    update = RateUpdate(
        row.symbol,
        rate,
        event_time=event_us,
        mark_price=optional(price, row.mark, "mark", faults),
        index_price=optional(price, row.oracle, "oracle", faults),
        next_funding_time=hour_floor(at_us) + US_PER_HOUR,
    )
    return with_faults(row.symbol, faults, update)


def _frame(frame: _Frame, item: Item) -> Sequence[Update]:
    (row,) = frame.data
    return _price(row, item)


def _frame_columns(frames: Sequence[_PlainFrame]) -> StreamColumns:
    rows = [row for frame in frames for row in frame.data]
    symbols, times, rates, marks, oracles = zip(*map(msgspec.structs.astuple, rows), strict=True)
    event_times = times_us(times)
    return StreamColumns(
        symbols,
        np.where(event_times > 0, floats(rates), NAN),
        event_times,
        text_prices(marks),
        text_prices(oracles),
        event_times // US_PER_HOUR * US_PER_HOUR + US_PER_HOUR,
    )


def _hour_of(created_us: int) -> int:
    """Return when a row settled: all do at full hours, while a row may be written at any time.

    It names the rate that settled last and the one predicted for the next hour (§9b), so it belongs
    to the hour that has begun. A stamp within half a minute of an hour stays as it is.
    """
    return created_us if minute_round(created_us) % US_PER_HOUR == 0 else hour_floor(created_us)


def _settlement(row: _Settled, item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "funding_rate")
    if rate is None:
        return (NoRate(item.symbol, "no settled rate"),)
    at_us = _hour_of(settled_us(row.created_at, "created_at"))
    return (SettlementUpdate(item.symbol, at_us, rate, interval_hours=INTERVAL_HOURS),)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return (base, quote): a symbol is the base, and everything is settled in USDC (§8)."""
    return symbol, QUOTE


def _facts(row: _Market, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    stated = optional(text, row.base_asset, "base_asset", faults)
    # The symbol tells that it is 1000 units (kBONK), whether or not the base does so as well. Where
    # it does not, the base that is stated comes before it.
    base, multiplier = canonical_asset(row.symbol, FEED.assets)
    if multiplier == 1.0 and stated:
        base, multiplier = canonical_asset(stated, FEED.assets)
    facts = InstrumentUpdate(
        row.symbol,
        base=base,
        quote=QUOTE,
        multiplier=multiplier,
        status=FEED.status_of("trading"),
        interval_hours=INTERVAL_HOURS,
    )
    return with_faults(row.symbol, faults, facts)


def _liquidity(row: _Liquidity, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    volume = optional(amount, row.volume_24h, "volume_24h", faults)
    held = optional(amount, row.open_interest, "open_interest", faults)
    mark = optional(price, row.mark, "mark", faults)
    facts = InstrumentUpdate(
        row.symbol,
        turnover_24h=volume,
        open_interest=product(held, mark),
        # Where the row has no mark, the newest one that is known is good.
        open_interest_units=held,
    )
    return with_faults(row.symbol, faults, facts)


_read_price = PayloadReader(_Price, _price)
normalise = ChannelNormaliser(
    {
        ("stream", CHANNEL): PayloadReader(_Frame, _frame),
        ("fallback", "info/prices"): _read_price,
        ("reconcile", "info/prices"): _read_price,
        ("history", "funding_rate/history"): PayloadReader(_Settled, _settlement),
        ("contract", "info"): PayloadReader(_Market, _facts),
        ("contract", "liquidity"): PayloadReader(_Liquidity, _liquidity),
    },
    {CHANNEL: ColumnReader(_PlainFrame, _frame_columns)},
)
