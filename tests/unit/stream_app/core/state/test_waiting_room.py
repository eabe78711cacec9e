"""The waiting room of a block: how much waits, who gives way, what comes back from the store."""

from __future__ import annotations

import pytest

from schemas.records import MAX_CHANNEL_BYTES
from stream_app.core.state.waiting_room import (
    MAX_WAITING_BYTES,
    MAX_WAITING_ITEMS,
    MAX_WAITING_SYMBOLS,
    WaitingItem,
    WaitingRoom,
)


def item(symbol: str, offset: int, payload: bytes = b"{}", channel: str = "c") -> WaitingItem:
    """An item that is received at its offset."""
    return WaitingItem(symbol, offset, 0, offset, "stream", "ws", channel, payload)


def test_the_newest_items_of_a_symbol_wait() -> None:
    """Older ones give way, and are handed back to be counted."""
    room = WaitingRoom()
    dropped = [room.put(item("A", offset)) for offset in range(MAX_WAITING_ITEMS + 2)]
    assert [[i.raw_offset for i in each] for each in dropped[-2:]] == [[0], [1]]
    assert [i.raw_offset for i in room.take("A")] == list(range(2, MAX_WAITING_ITEMS + 2))
    assert "A" not in room


def test_the_payloads_of_a_symbol_are_bounded_together() -> None:
    """As many of the newest as fit."""
    room = WaitingRoom()
    third = b"x" * (MAX_WAITING_BYTES // 3)
    dropped = [room.put(item("A", offset, third)) for offset in range(5)]
    assert [[i.raw_offset for i in each] for each in dropped] == [[], [], [], [0], [1]]
    whole = item("A", 5, b"x" * MAX_WAITING_BYTES)
    assert [i.raw_offset for i in room.put(whole)] == [2, 3, 4]
    assert room.items() == [whole]


def test_the_symbol_that_was_heard_of_the_longest_ago_gives_way() -> None:
    """A contract that streams stays among any number of symbols that come once."""
    room = WaitingRoom()
    dropped: list[WaitingItem] = []
    for offset in range(1_000):
        dropped += room.put(item(f"X{offset}", offset))
        if offset % 10 == 0:
            dropped += room.put(item("REAL", offset))
    assert "REAL" in room
    assert len({i.symbol for i in room.items()}) == MAX_WAITING_SYMBOLS
    assert len(dropped) + len(room.items()) == 1_100


@pytest.mark.parametrize(
    "large",
    [
        item("A", 1, payload=b"x" * (MAX_WAITING_BYTES + 1)),
        item("A", 1, channel="c" * (MAX_CHANNEL_BYTES + 1)),
    ],
)
def test_what_is_too_large_does_not_wait(large: WaitingItem) -> None:
    """And pushes nothing out."""
    room = WaitingRoom([item("A", 0)])
    assert room.put(large) == [large]
    assert room.items() == [item("A", 0)]


def test_what_is_too_old_is_handed_back() -> None:
    """Item by item; a symbol without any is forgotten."""
    room = WaitingRoom([item("A", 5), item("B", 6), item("A", 7)])
    assert room.expire(5) == []
    assert [i.raw_offset for i in room.expire(7)] == [5, 6]
    assert ("A" in room, "B" in room) == (True, False)


def test_the_order_is_stored() -> None:
    """Who gives way is the same after a restart."""
    room = WaitingRoom()
    for offset, symbol in enumerate("ABCA"):
        room.put(item(symbol, offset))
    again = WaitingRoom(room.items())
    assert [i.symbol for i in again.items()] == ["B", "C", "A", "A"]
    assert WaitingRoom().by_symbol == {}
