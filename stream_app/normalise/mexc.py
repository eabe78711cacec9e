"""MEXC payloads (docs/exchanges/mexc.md): pushed rates, and rows of REST.

Values are JSON numbers. A rate of exactly 0 is common, and is the rate that is charged. A push
names no interval and no prices: the list of current rates does.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.errors import MalformedInputError
from schemas.venues.mexc import COINS, FEED
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Update,
)
from stream_app.normalise.assets import canonical_asset
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
    settled_us,
    text,
)
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader, with_faults

_QUOTES = frozenset({"USDT", "USDC", "USD1", "USD"})
_INVERSE = "_USD"
_SHARE = 2
CHANNEL = "push.funding.rate"


class _Push(msgspec.Struct, gc=False, rename="camel"):
    """The data of a push.funding.rate, §2."""

    symbol: str
    rate: Number = None
    next_settle_time: Time = None


class _PushFrame(msgspec.Struct, gc=False):
    channel: str
    data: _Push
    ts: Time = None


class _Current(msgspec.Struct, gc=False, rename="camel"):
    """A row of funding_rate, §4a. `collectCycle` is in hours."""

    symbol: str
    funding_rate: Number = None
    max_funding_rate: Number = None
    min_funding_rate: Number = None
    collect_cycle: Number = None
    next_settle_time: Time = None
    timestamp: Time = None
    idx_price: Number = None
    fair_price: Number = None


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    """A row of funding_rate/history, §4b."""

    symbol: str
    settle_time: Time
    funding_rate: Number = None
    collect_cycle: Number = None


class _Contract(msgspec.Struct, gc=False, rename="camel"):
    """A row of detail, §4c."""

    symbol: str
    base_coin: Text = None
    quote_coin: Text = None
    state: Number = None
    type: Number = None
    """1: a coin, 2: a share or another asset."""


class _Ticker(msgspec.Struct, gc=False, rename="camel"):
    """A row of ticker, §4d: `amount24` is in what the contract is settled in."""

    symbol: str
    amount24: Number = None
    fair_price: Number = None


def _frame(frame: _PushFrame, item: Item) -> Sequence[Update]:
    if frame.channel != CHANNEL:
        raise MalformedInputError(f"not a {CHANNEL}: channel is {frame.channel!r:.60}")
    row = frame.data
    rate = number(row.rate, "rate")
    if rate is None:
        return (NoRate(row.symbol, "no funding rate"),)
    faults: list[str] = []
    event_us = optional(past_time_us, frame.ts, "ts", faults)
    seen_us = item.received_at_us if event_us is None else event_us
    update = RateUpdate(
        row.symbol,
        rate,
        event_time=event_us,
        next_funding_time=next_time_us(row.next_settle_time, seen_us),
    )
    return with_faults(row.symbol, faults, update)


def _current(row: _Current, item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.symbol, "no funding rate"),)
    faults: list[str] = []
    event_us = optional(past_time_us, row.timestamp, "timestamp", faults)
    seen_us = item.received_at_us if event_us is None else event_us
    update = RateUpdate(
        row.symbol,
        rate,
        event_time=event_us,
        mark_price=optional(price, row.fair_price, "fairPrice", faults),
        index_price=optional(price, row.idx_price, "idxPrice", faults),
        next_funding_time=next_time_us(row.next_settle_time, seen_us),
        interval_hours=optional(hours, row.collect_cycle, "collectCycle", faults),
    )
    return with_faults(row.symbol, faults, update)


def _caps(row: _Current, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    facts = InstrumentUpdate(
        row.symbol,
        interval_hours=optional(hours, row.collect_cycle, "collectCycle", faults),
        rate_cap=optional(number, row.max_funding_rate, "maxFundingRate", faults),
        rate_floor=optional(number, row.min_funding_rate, "minFundingRate", faults),
    )
    return with_faults(row.symbol, faults, facts)


def _settlement(row: _Settled, _item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.symbol, "no settled rate"),)
    faults: list[str] = []
    update = SettlementUpdate(
        row.symbol,
        settled_us(row.settle_time, "settleTime"),
        rate,
        interval_hours=optional(hours, row.collect_cycle, "collectCycle", faults),
    )
    return with_faults(row.symbol, faults, update)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Guess (base, quote), as of BTC_USDT and BTC_USD (§5)."""
    base, _, quote = symbol.rpartition("_")
    return (base, quote) if base and quote in _QUOTES else (symbol, "")


def _contract(row: _Contract, _item: Item) -> Sequence[Update]:
    guessed_base, guessed_quote = split_symbol(row.symbol)
    faults: list[str] = []
    base = optional(text, row.base_coin, "baseCoin", faults) or guessed_base
    state = optional(number, row.state, "state", faults)
    word = None if state is None else f"{state:.12g}"
    kind = optional(number, row.type, "type", faults)
    asset, multiplier = canonical_asset(base, FEED.assets if kind == _SHARE else COINS)
    facts = InstrumentUpdate(
        row.symbol,
        base=asset,
        quote=optional(text, row.quote_coin, "quoteCoin", faults) or guessed_quote or None,
        multiplier=multiplier,
        status=FEED.status_of(word) if word else None,
        status_word=word,
    )
    return with_faults(row.symbol, faults, facts)


def _ticker(row: _Ticker, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    turnover = optional(amount, row.amount24, "amount24", faults)
    mark = optional(price, row.fair_price, "fairPrice", faults)
    if row.symbol.endswith(_INVERSE):
        turnover = product(turnover, mark)
    facts = InstrumentUpdate(row.symbol, mark_price=mark, turnover_24h=turnover)
    return with_faults(row.symbol, faults, facts)


_read_current = PayloadReader(_Current, _current)
normalise = ChannelNormaliser(
    {
        ("stream", CHANNEL): PayloadReader(_PushFrame, _frame),
        ("fallback", "funding_rate"): _read_current,
        ("reconcile", "funding_rate"): _read_current,
        ("history", "funding_rate/history"): PayloadReader(_Settled, _settlement),
        ("contract", "detail"): PayloadReader(_Contract, _contract),
        ("contract", "funding_rate"): PayloadReader(_Current, _caps),
        ("contract", "ticker"): PayloadReader(_Ticker, _ticker),
    },
)
