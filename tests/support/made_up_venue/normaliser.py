"""What the made-up venue's payloads mean."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stream_app.model import InstrumentUpdate, RateUpdate, SettlementUpdate, Update
from stream_app.normalise.assets import canonical_asset
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader


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
    hours: int


def _current(row: _Current, _item: Item) -> Sequence[Update]:
    return (
        RateUpdate(
            row.c,
            float(row.fr),
            event_time=row.at * 1_000,
            next_funding_time=row.next * 1_000,
        ),
    )


def _settled(row: _Settled, _item: Item) -> Sequence[Update]:
    return (SettlementUpdate(row.c, row.at * 1_000, float(row.fr)),)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return (base, quote), with a slash between."""
    base, _, quote = symbol.partition("/")
    return base, quote


def _contract(row: _Contract, _item: Item) -> Sequence[Update]:
    base, quote = split_symbol(row.c)
    asset, multiplier = canonical_asset(base)
    return (
        InstrumentUpdate(
            row.c,
            base=asset,
            quote=quote,
            multiplier=multiplier,
            status=row.state,
            interval_hours=float(row.hours),
        ),
    )


_read_current = PayloadReader(_Current, _current)
normalise = ChannelNormaliser(
    {
        ("stream", "all"): _read_current,
        ("fallback", "current"): _read_current,
        ("reconcile", "current"): _read_current,
        ("history", "settled"): PayloadReader(_Settled, _settled),
        ("contract", "contracts"): PayloadReader(_Contract, _contract),
    }
)
