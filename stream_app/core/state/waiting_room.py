"""Items of symbols that the exchange does not list: kept for a while, until its list knows them.

An exchange may stream a new contract before its list has it. A contract exists when it is listed;
until then its newest items wait in the stored state of its partition, so that a crash loses none of
them and a replay does the same. Whatever exceeds the bounds below is returned to the caller, which
counts it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from schemas.records import MAX_CHANNEL_BYTES, Purpose, Transport
from schemas.times import US_PER_MINUTE

MAX_WAITING_SYMBOLS = 32
"""Of one partition: more make the one that was heard of the longest ago give way."""
MAX_WAITING_ITEMS = 64
"""Of one symbol, the newest ones: a push a second, for as long as a producer may have to wait until
it asks for the list again (producers/rest/instruments.py)."""
MAX_WAITING_BYTES = 16 << 10
"""Of the payloads of one symbol, the newest ones. A rate's have some hundred bytes each."""
WAITING_US = 15 * US_PER_MINUTE
"""An exchange's list is asked for every 10 minutes at least."""


class WaitingItem(msgspec.Struct, array_like=True, gc=False):
    """An item of a raw record, with all that is needed to apply it later."""

    symbol: str
    raw_offset: int
    raw_item: int
    received_at: int
    purpose: Purpose
    transport: Transport
    channel: str
    payload: bytes
    connection: int = 0
    """As Position has it."""

    @property
    def fits(self) -> bool:
        """True if it is small enough to wait."""
        has_channel = len(self.channel.encode()) <= MAX_CHANNEL_BYTES
        return has_channel and len(self.payload) <= MAX_WAITING_BYTES


class WaitingRoom:
    """The items that wait in one partition, the symbol that was heard of the longest ago first."""

    def __init__(self, items: Iterable[WaitingItem] = ()) -> None:
        self._items: dict[str, list[WaitingItem]] = {}
        for item in items:
            self._items.setdefault(item.symbol, []).append(item)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._items

    def __bool__(self) -> bool:
        return bool(self._items)

    def put(self, item: WaitingItem) -> list[WaitingItem]:
        """Keep an item; return those that have to give way, itself if it is too large."""
        if not item.fits:
            return [item]
        items = self._items.pop(item.symbol, [])
        items.append(item)
        self._items[item.symbol] = items
        excess = max(0, len(items) - MAX_WAITING_ITEMS)
        size = sum(len(kept.payload) for kept in items[excess:])
        while size > MAX_WAITING_BYTES:
            size -= len(items[excess].payload)
            excess += 1
        dropped = items[:excess]
        del items[:excess]
        if len(self._items) > MAX_WAITING_SYMBOLS:
            dropped += self._items.pop(next(iter(self._items)))
        return dropped

    def take(self, symbol: str) -> list[WaitingItem]:
        """Take out and return a symbol's items, oldest first."""
        return self._items.pop(symbol, [])

    def expire(self, oldest_us: int) -> list[WaitingItem]:
        """Take out and return the items that were received before a time (µs)."""
        old = [item for item in self.items() if item.received_at < oldest_us]
        for item in old:
            left = self._items[item.symbol]
            left.remove(item)
            if not left:
                del self._items[item.symbol]
        return old

    def items(self) -> list[WaitingItem]:
        """Return all items, to be stored."""
        return [item for items in self._items.values() for item in items]
