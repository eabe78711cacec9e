"""What the payloads of the venue that sends what has changed mean."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.errors import MalformedInputError
from stream_app.model import NoRate, RateUpdate, Update
from stream_app.normalise.numbers import next_time_us, number, time_us
from stream_app.normalise.payloads import ChannelNormaliser, Item, PayloadReader
from tests.support.made_up_venue.normaliser import READERS, split_symbol

__all__ = ["normalise", "split_symbol"]


class _Row(msgspec.Struct):
    at: int
    fr: str
    next: int


class _Frame(msgspec.Struct):
    rows: dict[str, _Row]


def _frame(frame: _Frame, _item: Item) -> Sequence[Update]:
    if len(frame.rows) != 1:
        raise MalformedInputError(f"{len(frame.rows)} rows")
    ((symbol, row),) = frame.rows.items()
    rate, event_us = number(row.fr, "fr"), time_us(row.at, "at")
    if rate is None:
        return (NoRate(symbol, "no rate"),)
    next_us = next_time_us(row.next, event_us)
    return (RateUpdate(symbol, rate, event_time=event_us, next_funding_time=next_us),)


normalise = ChannelNormaliser({**READERS, ("stream", "changes"): PayloadReader(_Frame, _frame)})
