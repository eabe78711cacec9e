"""OKX payloads (docs/exchanges/okx.md): rates of the stream and of REST, settled rates, the list.

All numbers and times are texts; an empty one means that there is none. A row of current rates is an
estimate for `fundingTime`, with the settlement before it beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.errors import MalformedInputError
from schemas.times import US_PER_S
from schemas.venues.okx import FEED
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Update,
)
from stream_app.normalise.assets import canonical_asset
from stream_app.normalise.columns import ColumnReader, settled_rows
from stream_app.normalise.numbers import (
    Number,
    Text,
    Time,
    amount,
    interval_hours_of_ms,
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

SETTLED_AFTER_US = 90 * US_PER_S
"""For so long after a settlement the rate beside the estimate may still be that of the one before
(§3); the next push says it again."""
SETTLED_UNTIL_US = 20 * 60 * US_PER_S
"""For so long each push tells the settlement again; then the history has it, which would come as a
row of holes where the stream had told its newest settlement first."""
_SWAP = "SWAP"
_US_PER_MS = 1_000


class _Rate(msgspec.Struct, gc=False, rename="camel"):
    """A row of the channel and of the call public/funding-rate, §2 and §4a."""

    inst_id: str
    inst_type: Text = None
    funding_rate: Number = None
    prev_funding_time: Time = None
    funding_time: Time = None
    next_funding_time: Time = None
    sett_funding_rate: Number = None
    sett_state: Text = None
    max_funding_rate: Number = None
    min_funding_rate: Number = None
    ts: Time = None


class _RateFrame(msgspec.Struct, gc=False):
    """A frame that is cut to one row, §2."""

    data: tuple[_Rate]


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    """A row of funding-rate-history, §4b; `fundingRate` is what was predicted."""

    inst_id: str
    funding_time: Time
    realized_rate: Number = None


class _PlainSettled(msgspec.Struct, gc=False, rename="camel"):
    """A _Settled whose texts are numbers."""

    inst_id: str
    funding_time: int
    realized_rate: float


class _Instrument(msgspec.Struct, gc=False, rename="camel"):
    """A row of instruments, §4c; it says neither the interval nor caps."""

    inst_id: str
    state: Text = None
    inst_family: Text = None
    uly: Text = None
    list_time: Time = None


class _Ticker(msgspec.Struct, gc=False, rename="camel"):
    """A row of tickers, §4d."""

    inst_id: str
    last: Number = None
    coins_24h: Number = msgspec.field(name="volCcy24h", default=None)


class _OpenInterest(msgspec.Struct, gc=False, rename="camel"):
    """A row of open-interest, §4d."""

    inst_id: str
    oi_usd: Number = None


class _Mark(msgspec.Struct, gc=False, rename="camel"):
    """A row of mark-price, §4d."""

    inst_id: str
    mark_px: Number = None


def _interval_hours(row: _Rate, faults: list[str]) -> float | None:
    """Return the interval that the estimate is of: it ends at `fundingTime`.

    The interval behind it, which may be another one, stands in where the one before is not told.
    """
    before = optional(past_time_us, row.prev_funding_time, "prevFundingTime", faults)
    at = optional(past_time_us, row.funding_time, "fundingTime", faults)
    if at is None:
        return None
    if before is not None:
        length_us = at - before
    else:
        after = optional(past_time_us, row.next_funding_time, "nextFundingTime", faults)
        length_us = 0 if after is None else after - at
    return optional(interval_hours_of_ms, length_us / _US_PER_MS, "fundingTime", faults)


def _last_settled(row: _Rate, event_us: int, faults: list[str]) -> Sequence[SettlementUpdate]:
    """Return the settlement before the estimate, where its time is told and it is done."""
    rate = optional(number, row.sett_funding_rate, "settFundingRate", faults)
    at = optional(past_time_us, row.prev_funding_time, "prevFundingTime", faults)
    state = optional(text, row.sett_state, "settState", faults)
    if rate is None or at is None or state != "settled":
        return ()
    if not SETTLED_AFTER_US <= event_us - at < SETTLED_UNTIL_US:
        return ()
    coming = optional(past_time_us, row.funding_time, "fundingTime", faults)
    if coming is not None and event_us >= coming:
        # Times that have not moved on yet, beside a rate that may have.
        return ()
    return (SettlementUpdate(row.inst_id, at, rate, source="stream"),)


def _estimate(row: _Rate, stated_us: int | None, item: Item, faults: list[str]) -> Update:
    """`stated_us`: when the row was made; None: as rows of before 2023, it does not say."""
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return NoRate(row.inst_id, "no funding rate")
    return RateUpdate(
        row.inst_id,
        rate,
        event_time=stated_us,
        next_funding_time=next_time_us(row.funding_time, stated_us or item.received_at_us),
        interval_hours=_interval_hours(row, faults),
    )


def _is_no_swap(row: _Rate) -> bool:
    """Other products have the same channel and the same call (§3).

    Where a row does not say which it is of, its symbol does.
    """
    if isinstance(row.inst_type, str) and row.inst_type:
        return row.inst_type != _SWAP
    return not row.inst_id.endswith(f"-{_SWAP}")


def _streamed(frame: _RateFrame, item: Item) -> Sequence[Update]:
    (row,) = frame.data
    if _is_no_swap(row):
        return (NoRate(row.inst_id, "no swap"),)
    faults: list[str] = []
    stated_us = optional(past_time_us, row.ts, "ts", faults)
    before = _last_settled(row, stated_us or item.received_at_us, faults)
    updates: Sequence[Update]
    try:
        updates = (_estimate(row, stated_us, item, faults), *before)
    except MalformedInputError as error:
        if not before:
            raise
        # The settlement beside a bad estimate is good.
        faults.append(str(error))
        updates = before
    return with_faults(row.inst_id, list(dict.fromkeys(faults)), *updates)


def _polled(row: _Rate, item: Item) -> Sequence[Update]:
    if _is_no_swap(row):
        return (NoRate(row.inst_id, "no swap"),)
    faults: list[str] = []
    stated_us = optional(past_time_us, row.ts, "ts", faults)
    update = _estimate(row, stated_us, item, faults)
    return with_faults(row.inst_id, list(dict.fromkeys(faults)), update)


def _terms(row: _Rate, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    facts = InstrumentUpdate(
        row.inst_id,
        interval_hours=_interval_hours(row, faults),
        rate_cap=optional(number, row.max_funding_rate, "maxFundingRate", faults),
        rate_floor=optional(number, row.min_funding_rate, "minFundingRate", faults),
    )
    return with_faults(row.inst_id, faults, facts)


def _settlement(row: _Settled, _item: Item) -> Sequence[Update]:
    rate = number(row.realized_rate, "realizedRate")
    if rate is None:
        return (NoRate(row.inst_id, "no settled rate"),)
    return (SettlementUpdate(row.inst_id, time_us(row.funding_time, "fundingTime"), rate),)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Guess (base, quote), as of BTC-USDT-SWAP (§3)."""
    base, dash, quote = symbol.removesuffix("-SWAP").rpartition("-")
    return (base, quote) if dash and base and quote else (symbol, "")


def _facts(row: _Instrument, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    family = optional(text, row.inst_family, "instFamily", faults)
    family = family or optional(text, row.uly, "uly", faults) or row.inst_id
    coin, quote = split_symbol(family)
    base, multiplier = canonical_asset(coin, FEED.assets)
    word = optional(text, row.state, "state", faults)
    facts = InstrumentUpdate(
        row.inst_id,
        base=base,
        quote=quote or None,
        multiplier=multiplier,
        status=FEED.status_of(word) if word else None,
        status_word=word,
        listed_at=optional(past_time_us, row.list_time, "listTime", faults),
    )
    return with_faults(row.inst_id, faults, facts)


def _turnover(row: _Ticker, _item: Item) -> Sequence[Update]:
    """Read what was traded in coins, at the last price (§4d)."""
    faults: list[str] = []
    coins = optional(amount, row.coins_24h, "volCcy24h", faults)
    last = optional(price, row.last, "last", faults)
    facts = InstrumentUpdate(row.inst_id, turnover_24h=product(coins, last))
    return with_faults(row.inst_id, faults, facts)


def _held(row: _OpenInterest, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    held = optional(amount, row.oi_usd, "oiUsd", faults)
    return with_faults(row.inst_id, faults, InstrumentUpdate(row.inst_id, open_interest=held))


def _marked(row: _Mark, _item: Item) -> Sequence[Update]:
    """Read the mark price, which the stream of rates lacks."""
    faults: list[str] = []
    mark = optional(price, row.mark_px, "markPx", faults)
    return with_faults(row.inst_id, faults, InstrumentUpdate(row.inst_id, mark_price=mark))


_read_polled = PayloadReader(_Rate, _polled)
normalise = ChannelNormaliser(
    {
        ("stream", "funding-rate"): PayloadReader(_RateFrame, _streamed),
        ("fallback", "public/funding-rate"): _read_polled,
        ("reconcile", "public/funding-rate"): _read_polled,
        ("contract", "public/funding-rate"): PayloadReader(_Rate, _terms),
        ("contract", "instruments"): PayloadReader(_Instrument, _facts),
        ("contract", "tickers"): PayloadReader(_Ticker, _turnover),
        ("contract", "open-interest"): PayloadReader(_OpenInterest, _held),
        ("contract", "mark-price"): PayloadReader(_Mark, _marked),
        ("history", "funding-rate-history"): PayloadReader(_Settled, _settlement),
    },
    settled_readers={
        "funding-rate-history": ColumnReader(_PlainSettled, settled_rows, texts_as_numbers=True)
    },
)
