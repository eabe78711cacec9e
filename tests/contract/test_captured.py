"""Messages that others captured are cut and mean what their sources state, where they are at hand.

Each venue lists its own in tests/venues. They go the way of a frame: cut by the description, then
read by the normaliser; a row of changes is read as it was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from producers.exchanges import exchange
from producers.exchanges.spec import RestCall, Slice
from schemas.errors import MalformedInputError
from schemas.feeds import FEEDS
from schemas.times import MS_PER_HOUR
from stream_app.model import Update
from stream_app.normalise import normaliser
from tests.support.paths import SHARED_FIXTURES
from tests.venues.samples import Captured, captured, in_its_frame

MESSAGES = SHARED_FIXTURES / "messages"
SPAN_MS = 20 * 24 * MS_PER_HOUR
"""So far back that a walk begins before the rows of any page that was captured."""


def _cases(*kinds: str) -> list[Any]:
    return [
        pytest.param(feed, one, id=f"{feed}-{one.file}-{one.symbol}")
        for feed in FEEDS
        for one in captured(feed)
        if one.kind in kinds
    ]


CASES = _cases("data", "control", "ignored", "reply", "history")
OF_LIMITS, REFUSED = _cases("barred"), _cases("refused")


def body(one: Captured) -> bytes:
    """The message as it was captured; of a session the last one."""
    path = MESSAGES / one.file
    if not path.exists():
        pytest.skip("the captured messages are not here")
    text = path.read_bytes().strip()
    before, after = one.around
    return before + (text.splitlines()[-1] if path.suffix == ".jsonl" else text) + after


def pieces_of(feed: str, one: Captured, message: bytes) -> list[Slice]:
    """What the description cuts out of a message, as it is published."""
    if one.kind == "reply":
        return list(exchange(feed).slice_reply(RestCall(one.channel, "/"), message))
    if one.kind == "history":
        return settled_in(feed, one, message)
    frame = exchange(feed).slice_frame(message)
    assert (frame.control is not None) == (one.kind == "control")
    assert frame.published == (one.kind != "ignored")
    if one.kind == "data":
        assert frame.channel == one.channel
    return list(frame.slices)


def settled_in(feed: str, one: Captured, message: bytes) -> list[Slice]:
    """What a walk over the days before finds, where every page is this one."""
    until_ms = one.received_at_us // 1_000
    walk = exchange(feed).history([one.symbol], until_ms - SPAN_MS, until_ms, {one.symbol: "1"})
    found: list[Slice] = []
    pages = 0
    while (call := walk.next_call()) is not None:
        assert call.resource == one.channel
        found += walk.take(message).slices
        pages += 1
        assert pages < 5
    return found


def means(feed: str, one: Captured, piece: Slice) -> Sequence[Update]:
    """What the normaliser makes of a piece."""
    purpose = "history" if one.kind == "history" else one.purpose
    payload, at_us = in_its_frame(piece), one.received_at_us
    return normaliser(feed)(purpose, one.channel, one.symbol, payload, at_us)


@pytest.mark.parametrize(("feed", "one"), OF_LIMITS)
def test_a_captured_refusal_bars_further_calls(feed: str, one: Captured) -> None:
    """It came with HTTP 200."""
    call, message = RestCall(one.channel, "/"), body(one)
    assert exchange(feed).barred_s(call, {}, message)
    assert exchange(feed).fault(call, {}, message)


@pytest.mark.parametrize(("feed", "one"), REFUSED)
def test_a_captured_frame_of_a_form_that_is_not_read_is_refused(feed: str, one: Captured) -> None:
    """It goes to the dead letters, and is no rate."""
    with pytest.raises(MalformedInputError):
        exchange(feed).slice_frame(body(one))


@pytest.mark.parametrize(("feed", "one"), CASES)
def test_a_captured_message_is_cut_and_read(feed: str, one: Captured) -> None:
    """Channel and contracts are found, and the numbers are those that its source states."""
    pieces = pieces_of(feed, one, body(one))
    assert all(piece.readable for piece in pieces)
    if one.symbols is not None:
        assert [piece.symbol for piece in pieces] == list(one.symbols)
    if not one.symbol:
        return
    mine = [piece for piece in pieces if piece.symbol == one.symbol]
    assert len(mine) == 1 or one.kind == "history"
    if one.means:
        found = [update for piece in mine for update in means(feed, one, piece)]
        assert tuple(found) == one.means
