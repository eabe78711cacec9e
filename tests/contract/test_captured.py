"""Messages that others captured are cut and mean what their sources state, where they are at hand.

Each venue lists its own in tests/venues. They go the way of a frame: cut by the description, then
read by the normaliser; a row of changes is read as it was sent.
"""

from __future__ import annotations

import pytest

from producers.exchanges import exchange
from producers.exchanges.spec import RestCall, Slice
from schemas.feeds import FEEDS
from stream_app.normalise import normaliser
from tests.support.paths import SHARED_FIXTURES
from tests.venues.samples import Captured, captured, in_its_frame

MESSAGES = SHARED_FIXTURES / "messages"
CASES = [
    pytest.param(feed, one, id=f"{feed}-{one.file}-{one.symbol}")
    for feed in FEEDS
    for one in captured(feed)
]


def body(one: Captured) -> bytes:
    """The message as it was captured; of a session the last one."""
    path = MESSAGES / one.file
    if not path.exists():
        pytest.skip("the captured messages are not here")
    text = path.read_bytes().strip()
    return text.splitlines()[-1] if path.suffix == ".jsonl" else text


def pieces_of(feed: str, one: Captured, message: bytes) -> list[Slice]:
    """What the description cuts out of a message, as it is published."""
    if one.kind == "reply":
        return list(exchange(feed).slice_reply(RestCall(one.channel, "/"), message))
    frame = exchange(feed).slice_frame(message)
    assert (frame.control is not None) == (one.kind == "control")
    assert frame.published == (one.kind != "ignored")
    if one.kind == "data":
        assert frame.channel == one.channel
    return list(frame.slices)


@pytest.mark.parametrize(("feed", "one"), CASES)
def test_a_captured_message_is_cut_and_read(feed: str, one: Captured) -> None:
    """Channel and contracts are found, and the numbers are those that its source states."""
    pieces = pieces_of(feed, one, body(one))
    assert all(piece.readable for piece in pieces)
    if one.symbols is not None:
        assert [piece.symbol for piece in pieces] == list(one.symbols)
    if not one.symbol:
        return
    (piece,) = [piece for piece in pieces if piece.symbol == one.symbol]
    if one.means:
        payload, at_us = in_its_frame(piece), one.received_at_us
        found = normaliser(feed)(one.purpose, one.channel, one.symbol, payload, at_us)
        assert tuple(found) == one.means
