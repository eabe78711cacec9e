"""What the made-up venue's payloads mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from schemas.records import Purpose
from stream_app.model import InstrumentUpdate, NoRate, RateUpdate, SettlementUpdate, Update
from stream_app.normalise.assets import canonical_asset
from stream_app.normalise.numbers import MAX_INTERVAL_HOURS, next_time_us, number, time_us
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader
from tests.support.made_up_venue.facts import FEED


class _Current(msgspec.Struct):
    c: str
    at: int
    fr: str
    next: int


class _Settled(msgspec.Struct):
    c: str
    at: int
    fr: str


class _Contract(msgspec.Struct):
    c: str
    state: str
    hours: Annotated[float, msgspec.Meta(gt=0, le=MAX_INTERVAL_HOURS)]


def _current(row: _Current, _item: Item) -> Sequence[Update]:
    rate, event_us = number(row.fr, "fr"), time_us(row.at, "at")
    if rate is None:
        return (NoRate(row.c, "no rate"),)
    return (
        RateUpdate(
            row.c,
            rate,
            event_time=event_us,
            next_funding_time=next_time_us(row.next, event_us),
        ),
    )


def _settled(row: _Settled, _item: Item) -> Sequence[Update]:
    rate = number(row.fr, "fr")
    if rate is None:
        return (NoRate(row.c, "no settled rate"),)
    return (SettlementUpdate(row.c, time_us(row.at, "at"), rate),)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return (base, quote), with a slash between."""
    base, _, quote = symbol.partition("/")
    return base, quote


def _contract(row: _Contract, _item: Item) -> Sequence[Update]:
    base, quote = split_symbol(row.c)
    asset, multiplier = canonical_asset(base, FEED.assets)
    return (
        InstrumentUpdate(
            row.c,
            base=asset,
            quote=quote,
            multiplier=multiplier,
            status=FEED.status_of(row.state),
            interval_hours=row.hours,
        ),
    )


_read_current = PayloadReader(_Current, _current)
READERS: Mapping[tuple[Purpose, str], PayloadReader[Any]] = {
    ("stream", "all"): _read_current,
    ("fallback", "current"): _read_current,
    ("reconcile", "current"): _read_current,
    ("history", "settled"): PayloadReader(_Settled, _settled),
    ("contract", "contracts"): PayloadReader(_Contract, _contract),
}
normalise = ChannelNormaliser(READERS)
