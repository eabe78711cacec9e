"""Binance payloads of both futures markets: their rows are the same.

What differs is data: the market's number, and where exchangeInfo says the status
(docs/exchanges/binance-usdm.md, docs/exchanges/binance-coinm.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from schemas.errors import MalformedInputError
from schemas.feed_spec import FeedSpec
from stream_app.model import (
    NoRate,
    Normaliser,
    RateUpdate,
    SettledColumns,
    SettlementUpdate,
    StreamColumns,
    Update,
)
from stream_app.normalise.binance_facts import Readers, fact_readers
from stream_app.normalise.columns import (
    NAN,
    ColumnReader,
    integers,
    next_times_us,
    optional_floats,
    prices,
    settled,
    times_us,
)
from stream_app.normalise.numbers import (
    Number,
    Text,
    Time,
    next_time_us,
    number,
    optional,
    price,
    text,
    time_us,
)
from stream_app.normalise.payloads import (
    ANY_CHANNEL,
    ChannelNormaliser,
    Item,
    PayloadReader,
    with_faults,
)

USD_M = 1
COIN_M = 2
"""`st` of the rows of each market (docs/exchanges/binance-usdm.md §6, since 2026-06)."""
UNMARKED = None
"""The market of an exchange that took over this interface, whose rows have no `st`."""
NO_READERS: Readers = {}
COIN_M_SUFFIX = "_PERP"
"""USD-M symbols have none (docs/exchanges/binance-usdm.md §8, binance-coinm.md §5): COIN-M rows in
its arrays may lack `st`."""

_REGULAR = frozenset({"regular", ""})
"""`rateType` of regular settlements; rows of before 2026-04 lack it. Any other word means extra
funding (docs/exchanges/binance-usdm.md §9b)."""


class _MarkPrice(msgspec.Struct, gc=False):
    """A row of the mark-price streams, docs/exchanges/binance-usdm.md §6 and binance-coinm.md §4.

    `P` is no predicted rate and is not read. Dated contracts may lack `r` and `T`.
    """

    event: str = msgspec.field(name="e")
    event_time: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    mark_price: Number = msgspec.field(name="p", default=None)
    next_funding_time: Time = msgspec.field(name="T", default=None)
    rate: Number = msgspec.field(name="r", default=None)
    index_price: Number = msgspec.field(name="i", default=None)
    market: Number = msgspec.field(name="st", default=None)


class _PlainMarkPrice(msgspec.Struct, gc=False):
    """A _MarkPrice with the types that the exchange sends for perpetual contracts."""

    event: str = msgspec.field(name="e")
    event_time: object = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    next_funding_time: object = msgspec.field(name="T")
    rate: float | None = msgspec.field(name="r")
    mark_price: float | None = msgspec.field(name="p", default=None)
    index_price: float | None = msgspec.field(name="i", default=None)
    market: object = msgspec.field(name="st", default=None)


class _PremiumIndex(msgspec.Struct, gc=False, rename="camel"):
    """A row of premiumIndex, docs/exchanges/binance-usdm.md §9a and binance-coinm.md §6a."""

    symbol: str
    time: int
    mark_price: Number = None
    next_funding_time: Time = None
    last_funding_rate: Number = None
    index_price: Number = None
    estimated_settle_price: Number = None


class _FundingRate(msgspec.Struct, gc=False, rename="camel"):
    """A row of fundingRate, docs/exchanges/binance-usdm.md §9b and binance-coinm.md §6b."""

    symbol: str
    funding_time: int
    funding_rate: Number = None
    rate_type: Text = None


class _PlainFundingRate(msgspec.Struct, gc=False, rename="camel"):
    """A _FundingRate with the types that the exchange sends."""

    symbol: str
    funding_time: int
    funding_rate: float | str
    rate_type: str | None = None


def _rate(
    symbol: str,
    rate_text: Number,
    event_time: int,
    mark_price: Number,
    index_price: Number,
    next_funding_time: Time,
) -> Sequence[Update]:
    """Delivery contracts have an empty rate or T = 0, some "0.00000000" with T = 0
    (docs/exchanges/binance-usdm.md §8).
    """
    rate = number(rate_text, "rate")
    if rate is None:
        return (NoRate(symbol, "empty rate"),)
    if next_funding_time is None:
        raise MalformedInputError("a rate without a next funding time")
    if next_funding_time == 0 and next_funding_time is not False:
        return (NoRate(symbol, "no next funding time"),)
    event_us = time_us(event_time, "event time")
    faults: list[str] | None = None
    try:
        mark, index = price(mark_price, "mark price"), price(index_price, "index price")
    except MalformedInputError:
        # Rare. To read each price by `optional` at once would cost every row a tenth more time.
        faults = []
        mark = optional(price, mark_price, "mark price", faults)
        index = optional(price, index_price, "index price", faults)
    update = RateUpdate(
        symbol,
        rate,
        event_time=event_us,
        mark_price=mark,
        index_price=index,
        next_funding_time=next_time_us(next_funding_time, event_us),
    )
    return (update,) if faults is None else with_faults(symbol, faults, update)


def _mark_price_of(market: int | None) -> Callable[[_MarkPrice, Item], Sequence[Update]]:
    def mark_price(row: _MarkPrice, _item: Item) -> Sequence[Update]:
        if row.event != "markPriceUpdate":
            raise MalformedInputError(f"not a markPriceUpdate: e is {row.event!r:.60}")
        faults: list[str] | None = None
        if market is not None and (row.market != market or row.market is True):
            faults = []
            other = _other_market(row, market, faults)
            if other is not None:
                return with_faults(row.symbol, faults, NoRate(row.symbol, other))
        updates = _rate(
            row.symbol,
            row.rate,
            row.event_time,
            row.mark_price,
            row.index_price,
            row.next_funding_time,
        )
        return updates if faults is None else with_faults(row.symbol, faults, *updates)

    return mark_price


def _mark_price_columns_of(
    market: int | None,
) -> Callable[[Sequence[_PlainMarkPrice]], StreamColumns | None]:
    def columns(rows: Sequence[_PlainMarkPrice]) -> StreamColumns | None:
        events, stamps, symbols, due, rates, marks, indexes, markets = zip(
            *map(msgspec.structs.astuple, rows), strict=True
        )
        times, coming = integers(stamps), integers(due)
        if times is None or coming is None:
            return None
        found = optional_floats(rates)
        event_times = times_us(times)
        next_times = next_times_us(coming, event_times)
        is_plain = (event_times > 0) & (next_times > 0)
        if set(events) != {"markPriceUpdate"}:
            is_plain &= [event == "markPriceUpdate" for event in events]
        if market is not None and not (integers(markets) and set(markets) == {market}):
            is_usd_m = market == USD_M
            # Rows that do not say their market are told apart by `_other_market`.
            is_plain &= [
                (own == market and type(own) is int)
                or (own is None and not (is_usd_m and _is_coin_m(symbol)))
                for own, symbol in zip(markets, symbols, strict=True)
            ]
        return StreamColumns(
            symbols,
            np.where(is_plain, found, NAN),
            event_times,
            prices(marks),
            prices(indexes),
            next_times,
        )

    return columns


def _is_coin_m(symbol: str) -> bool:
    return symbol.endswith(COIN_M_SUFFIX)


def _other_market(row: _MarkPrice, market: int, faults: list[str]) -> str | None:
    """Return why a row is none of this market's; None if it is one, or nothing tells."""
    stated = optional(number, row.market, "st", faults)
    if stated is None:
        is_other = market == USD_M and _is_coin_m(row.symbol)
        return "a COIN-M contract in a USD-M array" if is_other else None
    return None if stated == market else f"a row of another market: st is {stated:g}"


def _premium_index(row: _PremiumIndex, _item: Item) -> Sequence[Update]:
    """A contract that trades no more is listed on with a rate of 0, a current time and no estimated
    settle price, which a live contract with a rate of 0 has (docs/exchanges/binance-usdm.md §9a).
    """
    updates = _rate(
        row.symbol,
        row.last_funding_rate,
        row.time,
        row.mark_price,
        row.index_price,
        row.next_funding_time,
    )
    update = updates[0]
    if isinstance(update, RateUpdate) and update.rate == 0.0:
        faults: list[str] = []
        settles_at = optional(number, row.estimated_settle_price, "estimatedSettlePrice", faults)
        if settles_at == 0.0:
            return (NoRate(row.symbol, "a rate of 0 and no settle price: it trades no more"),)
        return with_faults(row.symbol, faults, *updates)
    return updates


def _settlement(row: _FundingRate, _item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.symbol, "empty settled rate"),)
    faults: list[str] = []
    kind = optional(text, row.rate_type, "rateType", faults) or ""
    is_regular = kind.casefold() in _REGULAR and not faults
    settlement = SettlementUpdate(
        row.symbol,
        time_us(row.funding_time, "fundingTime"),
        rate,
        # What may be special must not enter the statistics.
        kind="regular" if is_regular else "special",
    )
    return with_faults(row.symbol, faults, settlement)


def _settled_columns(rows: Sequence[_PlainFundingRate]) -> SettledColumns:
    symbols, times, rates, kinds = zip(*map(msgspec.structs.astuple, rows), strict=True)
    found = settled(symbols, times, rates)
    special = {kind for kind in set(kinds) if (kind or "").casefold() not in _REGULAR}
    if special:
        found.rates[[kind in special for kind in kinds]] = NAN
    return found


def normaliser_of(
    market: int | None, feed: FeedSpec, own_readers: Readers = NO_READERS
) -> Normaliser:
    """Return the normaliser of a market, `USD_M`, `COIN_M` or `UNMARKED`.

    Every stream of these feeds carries mark-price rows, whatever its name. `own_readers` are added,
    and stand in for those of the same purpose and channel.
    """
    premium_index = PayloadReader(_PremiumIndex, _premium_index)
    return ChannelNormaliser(
        {
            ("stream", ANY_CHANNEL): PayloadReader(_MarkPrice, _mark_price_of(market)),
            ("fallback", "premiumIndex"): premium_index,
            ("reconcile", "premiumIndex"): premium_index,
            ("history", "fundingRate"): PayloadReader(_FundingRate, _settlement),
            **fact_readers(feed),
            **own_readers,
        },
        {
            ANY_CHANNEL: ColumnReader(
                _PlainMarkPrice,
                _mark_price_columns_of(market),
                texts_as_numbers=True,
                blank=b'"r":""',
            )
        },
        {"fundingRate": ColumnReader(_PlainFundingRate, _settled_columns)},
    )
