"""A field that may be absent may be null as well, and null says no more than its absence does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import msgspec
import pytest

from producers.exchanges import binance, exchange
from schemas.feeds import FEEDS, spec
from tests.support.every_exchange import each_feed
from tests.venues.samples import documented


def structs() -> Iterator[type[msgspec.Struct]]:
    """Every struct by which a description reads foreign JSON."""
    for module in (*(import_module(spec(feed).description) for feed in FEEDS), binance):
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, msgspec.Struct):
                yield found


class Optional(NamedTuple):
    """A field of a struct that may be absent."""

    owner: type[msgspec.Struct]
    field: msgspec.structs.FieldInfo

    @property
    def name(self) -> str:
        """For the name of the test."""
        return f"{self.owner.__module__}.{self.owner.__name__}.{self.field.name}"


def optional_fields() -> list[Optional]:
    """Those that have a default."""
    return [
        Optional(owner, field)
        for owner in dict.fromkeys(structs())
        for field in msgspec.structs.fields(owner)
        if field.default is not msgspec.NODEFAULT or field.default_factory is not msgspec.NODEFAULT
    ]


@pytest.mark.parametrize("of", optional_fields(), ids=lambda of: of.name)
def test_an_optional_field_accepts_null(of: Optional) -> None:
    """By its type; the others are required, and null makes their row unreadable."""
    msgspec.json.decode(b"null", type=of.field.type)


@each_feed
def test_a_listed_contract_with_nulls_is_listed_as_one_without_the_keys(feed: str) -> None:
    """In the same state: a coin with `isDelisted` null trades."""
    found, page = exchange(feed), documented(feed).contracts
    call, name = found.fact_calls[0], page.names[0]
    entry = page.entry(name)

    def listed(row: Mapping[str, Any]) -> list[Any]:
        slices = found.slice_reply(call, page.reply([json.dumps(row)]).encode())
        assert all(piece.readable for piece in slices)
        return list(found.listings(call, slices) or ())

    plain = listed(entry)
    assert [one.symbol for one in plain] == [name]
    assert listed({**entry, **dict.fromkeys(page.optional)}) == plain
    for key in page.optional:
        assert listed({**entry, key: None}) == plain


@pytest.mark.parametrize(
    ("feed", "frame", "keys"),
    [
        ("binance-usdm", {"data": [{"s": "A", "r": "0.1"}]}, ("stream",)),
        ("binance-coinm", {"data": {"s": "A", "r": "0.1", "E": None}}, ("stream",)),
        ("binance-usdm", {"s": "A", "r": "0.1"}, ("E", "st", "ap")),
        ("kucoin", {"T": "all", "d": [{"s": "A"}]}, ("P", "type", "result", "topic")),
        ("kucoin", {"type": "ack"}, ("T", "d", "result", "message", "data", "pingInterval")),
        ("kucoin", {"message": "welcome"}, ("T", "d", "P", "type", "pingInterval")),
        ("hyperliquid", {"channel": "pong"}, ("data",)),
        ("backpack", {"stream": "m.A", "data": {"s": "A"}}, ("error",)),
        ("backpack", {"error": {"code": 5}}, ("stream", "data", "id")),
    ],
)
def test_a_frame_with_nulls_is_read_as_one_without_the_keys(
    feed: str, frame: dict[str, Any], keys: tuple[str, ...]
) -> None:
    """Data stays data, an error one, and an acknowledgement is no refusal."""
    found = exchange(feed)
    plain = found.slice_frame(json.dumps(frame).encode())
    for key in keys:
        read = found.slice_frame(json.dumps({**frame, key: None}).encode())
        assert (read.channel, read.control, read.event_us) == (
            plain.channel,
            plain.control,
            plain.event_us,
        )
        assert [piece.symbol for piece in read.slices] == [piece.symbol for piece in plain.slices]
