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
from tests.venues.samples import Documented, documented, samples

each_feed = pytest.mark.parametrize("feed", FEEDS)


ODD, ODD_KEYED = b'{"odd": 1}', b"7"
"""A row of an array that is none, and one of a map."""


def with_odd_row(value: Any, page: Documented) -> Any:
    """A message whose rows have one that is none behind the first."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return [value[0], json.loads(ODD), *value[1:]]
    if isinstance(value, list):
        return [with_odd_row(inner, page) for inner in value]
    if not isinstance(value, dict):
        return value
    grown = {}
    for key, inner in value.items():
        if key in page.keyed_in:
            first, *others = inner.items()
            grown[key] = dict([first, ("ODD-ROW", json.loads(ODD_KEYED)), *others])
        else:
            grown[key] = with_odd_row(inner, page) if key in page.rows_in else inner
    return grown


@each_feed
def test_an_odd_row_costs_no_other(feed: str) -> None:
    """Frames and replies: the others are cut as ever, and it is kept as it came."""
    found, page = exchange(feed), documented(feed)
    if page.joined:
        pytest.skip("its rows are joined by their places: it has a test of its own")
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
        grown = with_odd_row(json.loads(message), page)
        if grown == json.loads(message):
            continue
        tried += 1
        good = cut(json.dumps(json.loads(message)).encode())
        more = cut(json.dumps(grown).encode())
        assert [piece for piece in more if piece.readable] == list(good)
        (odd,) = unreadable(more)
        assert (odd.symbol, odd.payload) in {(None, ODD), (None, ODD_KEYED)}
        for call in found.fact_calls:
            found.listings(call, unreadable(more))
    assert tried


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


@each_feed
def test_a_symbol_that_is_none_makes_no_contract(feed: str) -> None:
    """Neither `feed:` nor `feed:x:`: the entry is an unreadable one, and counted as such."""
    found, page = exchange(feed), documented(feed).contracts
    call = found.fact_calls[0]
    for name in page.odd_names:
        rows = [json.dumps(page.entry(each)) for each in (page.names[0], name)]
        slices = found.slice_reply(call, page.reply(rows).encode())
        assert [piece.symbol for piece in unreadable(slices)] == [None], name
        assert rows[1].encode() in unreadable(slices)[0].payload
        listings = found.listings(call, slices)
        assert listings is not None
        assert [entry.symbol for entry in listings] == [page.names[0]]


@pytest.mark.parametrize("name", ["", ":", "x:", ":B"])
def test_a_symbol_of_another_dex_that_is_none_makes_no_contract(name: str) -> None:
    """Of the dexes that builders run, whose coins have a prefix."""
    found = exchange("hyperliquid")
    call, odd = found.fact_calls[0], json.dumps({"name": name})
    reply = f'[{{"universe":[]}},{{"universe":[{{"name":"x:A"}},{odd}]}}]'
    slices = found.slice_reply(call, reply.encode())
    assert unreadable(slices) == [Slice(None, odd.encode(), readable=False)]
    listings = found.listings(call, slices)
    assert listings is not None
    assert [entry.symbol for entry in listings] == ["x:A"]


@each_feed
def test_a_fact_that_cannot_be_listed_is_cut_out(feed: str) -> None:
    """Reading the list afterwards raises nothing: it would end the feed."""
    found, page = exchange(feed), documented(feed).contracts
    call = found.fact_calls[0]
    good, bad = (page.entry(name) for name in page.names)
    rows = [json.dumps(good), json.dumps({**bad, **page.unlistable})]
    slices = found.slice_reply(call, page.reply(rows).encode())
    assert [(piece.symbol, piece.readable) for piece in slices] == [
        (page.names[0], True),
        (None, False),
    ]
    assert found.listings(call, slices) is not None
