"""KuCoin Futures payloads, of the UTA and the classic socket and of REST.

Texts, numbers and exponents are met in any field. Estimates around a settlement are read like
others; the core ignores them (`FeedSpec.settling_s`). The facts are in docs/exchanges/kucoin.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.errors import MalformedInputError
from schemas.times import US_PER_S, minute_round
from schemas.venues.kucoin import FEED
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Update,
)
from stream_app.normalise.assets import canonical_asset, split_at_ending
from stream_app.normalise.columns import ColumnReader, settled_rows
from stream_app.normalise.numbers import (
    MAX_NEXT_AHEAD_US,
    Flag,
    Number,
    Text,
    Time,
    amount,
    flag,
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

_ENDINGS = (("USDTM", "USDT"), ("USDCM", "USDC"), ("USDM", "USD"))
UTA_CHANNELS = ("funding-fee-all-symbols", "funding-fee")
ESTIMATE_GRANULARITY_MS = 60_000
MIN_SETTLED_GRANULARITY_MS = 3_600_000
"""`granularity` of funding.rate: a minute for estimates, the interval for settled rates (§B)."""


SETTLED_AFTER_US = 90 * US_PER_S
"""For so long old and new values may mix (§3); what UTA pushes then is UNVERIFIED."""


class _UtaRow(msgspec.Struct, gc=False):
    """A row of the funding-fee channels, §A; fc and ff are read from contracts/active."""

    symbol: str = msgspec.field(name="s")
    rate: Number = msgspec.field(name="fr", default=None)
    settled_rate: Number = msgspec.field(name="lfr", default=None)
    settled_time: Time = msgspec.field(name="ft", default=None)
    next_funding_time: Time = msgspec.field(name="nt", default=None)
    interval_ms: Number = msgspec.field(name="gl", default=None)


class _UtaFrame(msgspec.Struct, gc=False):
    """A frame of the UTA socket cut to one row, §A. `P` is in ns."""

    channel: str = msgspec.field(name="T")
    push_time: Time = msgspec.field(name="P")
    data: list[_UtaRow] | _UtaRow = msgspec.field(name="d")


class _InstrumentRate(msgspec.Struct, gc=False, rename="camel"):
    granularity: Time
    timestamp: Time
    funding_rate: Number = None
    symbol: Text = None


class _InstrumentFrame(msgspec.Struct, gc=False):
    """A frame of subject funding.rate, §B. The symbol stands in the topic."""

    topic: str
    subject: str
    data: _InstrumentRate


class _Announcement(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    funding_time: Time
    funding_rate: Number = None


class _AnnouncementFrame(msgspec.Struct, gc=False):
    """A frame of /contract/announcement, §B."""

    subject: str
    data: _Announcement


class _Contract(msgspec.Struct, gc=False, rename="camel"):
    """A row of contracts/active, §5a. Dated contracts have no funding fields (§4).

    `multiplier`, the coins in a lot, changes no price. Inverse contracts have lots of one dollar,
    and no source says in what their turnover is counted.
    """

    symbol: str
    base_currency: Text = None
    quote_currency: Text = None
    status: Text = None
    funding_fee_rate: Number = None
    funding_rate_granularity: Number = None
    current_funding_rate_granularity: Number = None
    funding_rate_cap: Number = None
    funding_rate_floor: Number = None
    mark_price: Number = None
    index_price: Number = None
    next_funding_rate_time: Number = None
    next_funding_rate_date_time: Time = None
    first_open_date: Time = None
    is_inverse: Flag = None
    multiplier: Number = None
    open_interest: Number = None
    turnover: Number = msgspec.field(name="turnoverOf24h", default=None)


class _FundingRate(msgspec.Struct, gc=False, rename="camel"):
    """A row of contract/funding-rates, §5b."""

    symbol: str
    timepoint: Time
    funding_rate: Number = None


class _PlainFundingRate(msgspec.Struct, gc=False, rename="camel"):
    """A _FundingRate with the types that the exchange sends."""

    symbol: str
    timepoint: int
    funding_rate: float | str


def _uta(frame: _UtaFrame, _item: Item) -> Sequence[Update]:
    if frame.channel not in UTA_CHANNELS:
        raise MalformedInputError(f"not a funding-fee frame: T is {frame.channel!r:.60}")
    if not isinstance(frame.data, list):
        row = frame.data
    elif len(frame.data) == 1:
        row = frame.data[0]
    else:
        raise MalformedInputError(f"a piece of {len(frame.data)} rows, not of one")
    faults: list[str] = []
    settled = _uta_settled(row, frame.push_time, faults)
    updates: Sequence[Update]
    try:
        updates = (_uta_estimate(row, frame.push_time, faults), *settled)
    except MalformedInputError as error:
        if not settled:
            raise
        # The settlement beside a bad estimate is good.
        faults.append(str(error))
        updates = settled
    return with_faults(row.symbol, faults, *updates)


def _uta_settled(row: _UtaRow, push_time: Time, faults: list[str]) -> Sequence[SettlementUpdate]:
    settled = optional(number, row.settled_rate, "lfr", faults)
    at = optional(_settled_time, row.settled_time, "ft", faults)
    if settled is None or at is None:
        return ()
    # `gl` is the interval that began at `ft`, not the one that `lfr` was settled for: at a change
    # the two differ.
    if 0 <= time_us(push_time, "P") - at < SETTLED_AFTER_US:
        # `ft` may have advanced before `lfr` has; the next push says it again.
        return ()
    return (SettlementUpdate(row.symbol, at, settled, source="stream"),)


def _settled_time(at: Time, field: str) -> int | None:
    """Return a time in µs; a contract that has not settled yet has a time of 0."""
    return time_us(at, field) if (number(at, field) or 0.0) > 0.0 else None


def _uta_estimate(row: _UtaRow, push_time: Time, faults: list[str]) -> Update:
    rate = number(row.rate, "fr")
    if rate is None:
        return NoRate(row.symbol, "no funding rate")
    event_us = time_us(push_time, "P")
    return RateUpdate(
        row.symbol,
        rate,
        event_time=event_us,
        next_funding_time=next_time_us(row.next_funding_time, event_us),
        interval_hours=optional(interval_hours_of_ms, row.interval_ms, "gl", faults),
    )


def _instrument(frame: _InstrumentFrame, _item: Item) -> Sequence[Update]:
    if frame.subject != "funding.rate":
        raise MalformedInputError(f"not a funding.rate: subject is {frame.subject!r:.60}")
    row = frame.data
    # A topic of many (":ALL") names the symbol in the data.
    faults: list[str] = []
    symbol = optional(text, row.symbol, "symbol", faults) or frame.topic.rpartition(":")[2]
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(symbol, "no funding rate"),)
    at = time_us(row.timestamp, "timestamp")
    granularity_ms = number(row.granularity, "granularity") or 0.0
    if granularity_ms == ESTIMATE_GRANULARITY_MS:
        return with_faults(symbol, faults, RateUpdate(symbol, rate, event_time=at))
    if granularity_ms < MIN_SETTLED_GRANULARITY_MS:
        raise MalformedInputError(f"granularity of no known kind: {granularity_ms:g}")
    hours = interval_hours_of_ms(granularity_ms, "granularity")
    settlement = SettlementUpdate(symbol, at, rate, source="stream", interval_hours=hours)
    return with_faults(symbol, faults, settlement)


def _announcement(frame: _AnnouncementFrame, _item: Item) -> Sequence[Update]:
    if frame.subject not in ("funding.begin", "funding.end"):
        raise MalformedInputError(f"not a settlement: subject is {frame.subject!r:.60}")
    row = frame.data
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.symbol, "no settled rate"),)
    at = time_us(row.funding_time, "fundingTime")
    return (SettlementUpdate(row.symbol, at, rate, source="stream"),)


def _interval_hours(row: _Contract, faults: list[str]) -> float | None:
    """The interval in force; `fundingRateGranularity` alone may be one that is yet to begin."""
    current = optional(
        interval_hours_of_ms,
        row.current_funding_rate_granularity,
        "currentFundingRateGranularity",
        faults,
    )
    listed = optional(
        interval_hours_of_ms, row.funding_rate_granularity, "fundingRateGranularity", faults
    )
    return current or listed


def _next_funding_us(row: _Contract, received_at_us: int) -> int | None:
    """`nextFundingRateTime` is a countdown in ms, only `…DateTime` is a time (§5a)."""
    for stated in (row.next_funding_rate_date_time, row.next_funding_rate_time):
        at = next_time_us(stated, received_at_us)
        if at is not None:
            return at
    countdown_ms = optional(number, row.next_funding_rate_time, "nextFundingRateTime", [])
    if countdown_ms is None or not 0 <= countdown_ms <= MAX_NEXT_AHEAD_US // 1_000:
        return None
    # What the reply took on its way is in the sum: settlements are on full minutes.
    coming_us = minute_round(received_at_us + int(countdown_ms * 1_000))
    return next_time_us(coming_us, received_at_us)


def _liquidity(
    row: _Contract, faults: list[str], mark_faults: list[str]
) -> tuple[float | None, float | None]:
    """Return turnover and open interest, in the quote currency.

    `mark_faults`: where it is told that the mark price cannot be read.
    """
    lots = optional(amount, row.open_interest, "openInterest", faults)
    coins = optional(number, row.multiplier, "multiplier", faults)
    if optional(flag, row.is_inverse, "isInverse", faults):
        return None, lots
    turnover = optional(amount, row.turnover, "turnoverOf24h", faults)
    mark = optional(price, row.mark_price, "markPrice", mark_faults)
    return turnover, product(lots, coins, mark)


def _compared(row: _Contract, item: Item) -> Sequence[Update]:
    """The hourly snapshot tells liquidity beside the rate, without a call of its own."""
    faults: list[str] = []
    turnover, held = _liquidity(row, faults, [])
    updates = list(_snapshot(row, item))
    if turnover is not None or held is not None:
        facts = InstrumentUpdate(row.symbol, turnover_24h=turnover, open_interest=held)
        updates.append(facts)
    return with_faults(row.symbol, faults, *updates)


def _snapshot(row: _Contract, item: Item) -> Sequence[Update]:
    rate = number(row.funding_fee_rate, "fundingFeeRate")
    if rate is None:
        return (NoRate(row.symbol, "no funding rate"),)
    faults: list[str] = []
    update = RateUpdate(
        row.symbol,
        rate,
        mark_price=optional(price, row.mark_price, "markPrice", faults),
        index_price=optional(price, row.index_price, "indexPrice", faults),
        next_funding_time=_next_funding_us(row, item.received_at_us),
        interval_hours=_interval_hours(row, faults),
    )
    return with_faults(row.symbol, faults, update)


def _facts(row: _Contract, _item: Item) -> Sequence[Update]:
    faults: list[str] = []
    asset = optional(text, row.base_currency, "baseCurrency", faults)
    base, multiplier = canonical_asset(asset, FEED.assets) if asset else (None, None)
    word = optional(text, row.status, "status", faults)
    turnover, held = _liquidity(row, faults, faults)
    facts = InstrumentUpdate(
        row.symbol,
        base=base,
        quote=optional(text, row.quote_currency, "quoteCurrency", faults),
        multiplier=multiplier,
        status=FEED.status_of(word) if word else None,
        status_word=word,
        interval_hours=_interval_hours(row, faults),
        rate_cap=optional(number, row.funding_rate_cap, "fundingRateCap", faults),
        rate_floor=optional(number, row.funding_rate_floor, "fundingRateFloor", faults),
        listed_at=optional(past_time_us, row.first_open_date, "firstOpenDate", faults),
        turnover_24h=turnover,
        open_interest=held,
    )
    return with_faults(row.symbol, faults, facts)


def _settlement(row: _FundingRate, _item: Item) -> Sequence[Update]:
    rate = number(row.funding_rate, "fundingRate")
    if rate is None:
        return (NoRate(row.symbol, "no settled rate"),)
    return (SettlementUpdate(row.symbol, time_us(row.timepoint, "timepoint"), rate),)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Guess (base, quote), as of XBTUSDTM and ETHUSDM (§4)."""
    return split_at_ending(symbol, _ENDINGS)


_read_uta = PayloadReader(_UtaFrame, _uta)
_read_announcement = PayloadReader(_AnnouncementFrame, _announcement)
_read_snapshot = PayloadReader(_Contract, _snapshot)
normalise = ChannelNormaliser(
    {
        ("stream", "funding-fee-all-symbols"): _read_uta,
        ("stream", "funding-fee"): _read_uta,
        ("stream", "instrument:funding.rate"): PayloadReader(_InstrumentFrame, _instrument),
        ("stream", "announcement:funding.begin"): _read_announcement,
        ("stream", "announcement:funding.end"): _read_announcement,
        ("fallback", "contracts/active"): _read_snapshot,
        ("reconcile", "contracts/active"): PayloadReader(_Contract, _compared),
        ("history", "funding-rates"): PayloadReader(_FundingRate, _settlement),
        ("contract", "contracts/active"): PayloadReader(_Contract, _facts),
    },
    settled_readers={"funding-rates": ColumnReader(_PlainFundingRate, settled_rows)},
)
