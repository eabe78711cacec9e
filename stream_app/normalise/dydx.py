"""dYdX payloads (docs/exchanges/dydx.md): rows of markets, settled rates.

Every estimate is per hour and for the coming full hour; no row carries a time or a next one. A row
of the stream is completed by the producers, and has the form of a row of the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.times import US_PER_HOUR, hour_floor
from schemas.venues.dydx import FEED, has_price, status_of
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettledColumns,
    SettlementUpdate,
    Update,
)
from stream_app.normalise.assets import canonical_asset
from stream_app.normalise.columns import NAN, ColumnReader, numbers
from stream_app.normalise.numbers import (
    Number,
    Text,
    amount,
    number,
    optional,
    price,
    product,
    text,
)
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader, with_faults

INTERVAL_HOURS = 1.0
QUOTE = "USD"
_ENDING = "-USD"
_FIRST_YEAR = 2001
"""No later than this year nothing can have settled."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class _Market(msgspec.Struct, gc=False, rename="camel"):
    """A row of a market, §2 and §4a. A change that nothing completes may lack its ticker."""

    ticker: str | None = None
    status: Text = None
    next_funding_rate: Number = None
    oracle_price: Number = None
    """Null where the market has none."""
    volume_24h: Number = msgspec.field(name="volume24H", default=None)
    open_interest: Number = None


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    """A row of historicalFunding, §4b."""

    ticker: str
    effective_at: datetime
    rate: Number = None


class _PlainSettled(msgspec.Struct, gc=False, rename="camel"):
    """A _Settled with the types that the exchange sends."""

    ticker: str
    effective_at: datetime
    rate: str


def _rate(row: _Market, item: Item) -> Sequence[Update]:
    """Stamped on receipt: `event_time` stays None (§2)."""
    symbol = item.symbol if row.ticker is None else row.ticker
    faults: list[str] = []
    word = optional(text, row.status, "status", faults)
    status = ContractStatus.TRADING if word is None else FEED.status_of(word)
    if not status.streams:
        is_halted = status is ContractStatus.HALTED
        return (NoRate(symbol, f"the market is {word:.40}", halted=is_halted),)
    rate = number(row.next_funding_rate, "nextFundingRate")
    if rate is None:
        return (NoRate(symbol, "no funding rate"),)
    if not has_price(row.oracle_price):
        return (NoRate(symbol, "a rate without an oracle price", halted=True),)
    oracle_price = optional(price, row.oracle_price, "oraclePrice", faults)
    update = RateUpdate(
        symbol,
        rate,
        mark_price=oracle_price,
        index_price=oracle_price,
        next_funding_time=hour_floor(item.received_at_us) + US_PER_HOUR,
        interval_hours=INTERVAL_HOURS,
    )
    return with_faults(symbol, faults, update)


def _at_us(time: datetime) -> int:
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _US


def _settlement(row: _Settled, _item: Item) -> Sequence[Update]:
    rate = number(row.rate, "rate")
    if rate is None:
        return (NoRate(row.ticker, "no settled rate"),)
    if row.effective_at.year <= _FIRST_YEAR:
        raise MalformedInputError(f"effectiveAt is no time of a settlement: {row.effective_at}")
    return (SettlementUpdate(row.ticker, _at_us(row.effective_at), rate),)


def _settled_columns(rows: Sequence[_PlainSettled]) -> SettledColumns:
    symbols, times, rates = zip(*map(msgspec.structs.astuple, rows), strict=True)
    is_good = np.array([time.year > _FIRST_YEAR for time in times])
    times_raw = np.array([_at_us(time) for time in times], dtype=np.int64)
    return SettledColumns(symbols, times_raw, np.where(is_good, numbers(rates), NAN))


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return (base, quote), as of BTC-USD; a long name begins with the asset (§3)."""
    if not symbol.endswith(_ENDING) or symbol == _ENDING:
        return symbol, ""
    name = symbol.removesuffix(_ENDING)
    return name.partition(",")[0] or name, QUOTE


def _facts(row: _Market, item: Item) -> Sequence[Update]:
    symbol = item.symbol if row.ticker is None else row.ticker
    faults: list[str] = []
    word = optional(text, row.status, "status", faults)
    oracle_price = optional(price, row.oracle_price, "oraclePrice", faults)
    base, quote = split_symbol(symbol)
    asset, multiplier = canonical_asset(base, FEED.assets)
    facts = InstrumentUpdate(
        symbol,
        base=asset,
        quote=quote,
        multiplier=multiplier,
        # What is missing or cannot be read says nothing about its state.
        status=None if word is None or faults else status_of(word, oracle_price),
        status_word=word,
        interval_hours=INTERVAL_HOURS,
    )
    return with_faults(symbol, faults, facts)


def _liquidity(row: _Market, item: Item) -> Sequence[Update]:
    """The turnover is in USD; open interest is in units of the asset (§4a)."""
    symbol = item.symbol if row.ticker is None else row.ticker
    faults: list[str] = []
    held = optional(amount, row.open_interest, "openInterest", faults)
    unit_price = optional(price, row.oracle_price, "oraclePrice", faults)
    facts = InstrumentUpdate(
        symbol,
        turnover_24h=optional(amount, row.volume_24h, "volume24H", faults),
        open_interest=product(held, unit_price),
    )
    return with_faults(symbol, faults, facts)


_read_rate = PayloadReader(_Market, _rate)
normalise = ChannelNormaliser(
    {
        ("stream", "v4_markets"): _read_rate,
        ("fallback", "perpetualMarkets"): _read_rate,
        ("reconcile", "perpetualMarkets"): _read_rate,
        ("history", "historicalFunding"): PayloadReader(_Settled, _settlement),
        ("contract", "perpetualMarkets"): PayloadReader(_Market, _facts),
        ("contract", "liquidity"): PayloadReader(_Market, _liquidity),
    },
    settled_readers={"historicalFunding": ColumnReader(_PlainSettled, _settled_columns)},
)
