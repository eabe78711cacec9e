"""One odd row in a message of many: it is cut out as it came and costs none of the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from producers.exchanges import exchange
from producers.exchanges.spec import Slice, unreadable
from schemas.feeds import FEEDS
from tests.venues.samples import samples

each_feed = pytest.mark.parametrize("feed", FEEDS)


def with_odd_row(value: Any) -> Any:
    """A message whose longest array of objects has a row that is none behind its first."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return [value[0], {"odd": 1}, *value[1:]]
    if isinstance(value, list):
        return [with_odd_row(inner) for inner in value]
    if isinstance(value, dict):
        return {
            key: with_odd_row(inner) if key in {"data", "d", "symbols"} else inner
            for key, inner in value.items()
        }
    return value


@each_feed
def test_an_odd_row_costs_no_other(feed: str) -> None:
    """Frames and replies: the others are cut as ever, and it is kept as it came."""
    found = exchange(feed)
    calls = {call.resource: call for call in (*found.fact_calls, *found.snapshot_calls([]))}
    cases: list[tuple[bytes, Callable[[bytes], Sequence[Slice]]]] = [
        (message, lambda text: found.slice_frame(text).slices) for message, _ in samples(feed).data
    ]
    cases += [
        (body, partial(found.slice_reply, calls[resource]))
        for resource, body in samples(feed).replies.items()
    ]
    tried = 0
    for message, cut in cases:
        grown = with_odd_row(json.loads(message))
        if grown == json.loads(message) or b'"universe"' in message:
            continue
        tried += 1
        good = cut(json.dumps(json.loads(message)).encode())
        more = cut(json.dumps(grown).encode())
        assert [piece for piece in more if piece.readable] == list(good)
        assert unreadable(more) == [Slice(None, b'{"odd": 1}', readable=False)]
        for call in found.fact_calls:
            found.listings(call, unreadable(more))
    assert tried or feed == "hyperliquid"


def test_an_odd_asset_of_hyperliquid_costs_no_other() -> None:
    """Contexts are joined by index, so its place is kept."""
    found = exchange("hyperliquid")
    metas = b'[{"universe":[{"name":"A"},{"odd":1}]},{"universe":7},{"universe":[{"name":"x:B"}]}]'
    assert found.slice_reply(found.fact_calls[0], metas) == [
        Slice("A", b'{"universe":[{"name":"A"}]}'),
        Slice(None, b'{"odd":1}', readable=False),
        Slice(None, b'{"universe":7}', readable=False),
        Slice("x:B", b'{"universe":[{"name":"x:B"}]}'),
    ]
    both = b'[{"universe":[{"name":"A"},{"odd":1},{"name":"C"}]},[{"f":1},{"f":2},{"f":3}]]'
    (call,) = found.snapshot_calls(["A"])
    assert found.slice_reply(call, both) == [
        Slice("A", b'{"f":1}'),
        Slice(None, b'{"f":2}', readable=False),
        Slice("C", b'{"f":3}'),
    ]


LISTS = (
    ("binance-usdm", b'{"symbols":[%s]}', b'{"symbol":"%s","contractType":"PERPETUAL"}'),
    ("binance-coinm", b'{"symbols":[%s]}', b'{"symbol":"%s","contractType":"PERPETUAL"}'),
    ("kucoin", b'{"code":"200000","data":[%s]}', b'{"symbol":"%s"}'),
    ("backpack", b"[%s]", b'{"symbol":"%s","marketType":"PERP"}'),
    ("hyperliquid", b'[{"universe":[%s]}]', b'{"name":"%s"}'),
)
"""A venue's list and an entry of it."""


@pytest.mark.parametrize(
    ("feed", "form", "entry", "name"),
    [
        *((*one, name) for one in LISTS for name in (b"", b" ", b"-")),
        *((*LISTS[-1], name) for name in (b":", b"x:", b":B")),
        *(("hyperliquid", b'[{"universe":[]},{"universe":[%s]}]', LISTS[-1][2], name)
          for name in (b"", b":", b"x:", b":B")),
    ],
)  # fmt: skip
def test_a_symbol_that_is_none_makes_no_contract(
    feed: str, form: bytes, entry: bytes, name: bytes
) -> None:
    """Neither `feed:` nor `feed:x:`: the entry is an unreadable one, and counted as such."""
    found = exchange(feed)
    call = found.fact_calls[0]
    odd = entry % name
    good = entry % (b"x:A" if form.startswith(b'[{"universe":[]}') else b"A")
    slices = found.slice_reply(call, form % (good + b"," + odd))
    assert unreadable(slices) == [Slice(None, odd, readable=False)]
    listings = found.listings(call, slices)
    assert listings is not None
    assert [entry.symbol for entry in listings] == [slices[0].symbol]


@pytest.mark.parametrize(
    ("feed", "reply"),
    [
        ("binance-usdm", b'{"symbols":[{"symbol":"A"},{"symbol":"B","status":5}]}'),
        ("binance-coinm", b'{"symbols":[{"symbol":"A"},{"symbol":"B","contractType":5}]}'),
        ("kucoin", b'{"code":"200000","data":[{"symbol":"A"},{"symbol":"B","status":5}]}'),
        ("backpack", b'[{"symbol":"A"},{"symbol":"B","marketType":5}]'),
        ("hyperliquid", b'[{"universe":[{"name":"A"},{"name":"B","isDelisted":5}]}]'),
    ],
)  # fmt: skip
def test_a_fact_that_cannot_be_listed_is_cut_out(feed: str, reply: bytes) -> None:
    """Reading the list afterwards raises nothing: it would end the feed."""
    found = exchange(feed)
    call = found.fact_calls[0]
    slices = found.slice_reply(call, reply)
    assert [(piece.symbol, piece.readable) for piece in slices] == [("A", True), (None, False)]
    assert found.listings(call, slices) is not None
