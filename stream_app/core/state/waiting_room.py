"""Items of symbols that the exchange does not list: kept for a while, in case it lists them.

An exchange may stream a new contract before its list names it. A contract exists once it is listed;
until then its newest items wait in the stored state of its partition, so that a crash loses none of
them and a replay does the same. Whatever exceeds the bounds below is returned to the caller, which
counts it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from schemas.records import MAX_CHANNEL_BYTES, Purpose, Transport
from schemas.times import US_PER_MINUTE

MAX_WAITING_SYMBOLS = 32
"""Symbols that wait in one partition at most; beyond that the one without news for longest goes."""
MAX_WAITING_ITEMS = 64
"""Items of one symbol that are kept at most, the newest ones: a push a second, for as long as a
producer may wait before it asks for the list again (producers/rest/instruments.py)."""
MAX_WAITING_BYTES = 16 << 10
"""Bytes of one symbol's payloads that are kept at most. A rate's has some hundred bytes."""
WAITING_US = 15 * US_PER_MINUTE
"""How long an item waits (µs): an exchange's list is fetched every 10 minutes at least."""


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
    """As `ItemContext.connection`."""

    @property
    def fits(self) -> bool:
        """True if it is small enough to wait."""
        has_channel = len(self.channel.encode()) <= MAX_CHANNEL_BYTES
        return has_channel and len(self.payload) <= MAX_WAITING_BYTES


class WaitingRoom:
    """The items that wait in one partition, by symbol, the one without news for longest first."""

    def __init__(self, items: Iterable[WaitingItem] = ()) -> None:
        self.by_symbol: dict[str, list[WaitingItem]] = {}
        """Each symbol's items, oldest first."""
        for item in items:
            self.by_symbol.setdefault(item.symbol, []).append(item)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self.by_symbol

    def put(self, item: WaitingItem) -> list[WaitingItem]:
        """Keep an item; return the items that are dropped for it, or itself if it is too large."""
        if not item.fits:
            return [item]
        items = self.by_symbol.pop(item.symbol, [])
        items.append(item)
        self.by_symbol[item.symbol] = items
        excess = max(0, len(items) - MAX_WAITING_ITEMS)
        size = sum(len(kept.payload) for kept in items[excess:])
        while size > MAX_WAITING_BYTES:
            size -= len(items[excess].payload)
            excess += 1
        dropped = items[:excess]
        del items[:excess]
        if len(self.by_symbol) > MAX_WAITING_SYMBOLS:
            dropped += self.by_symbol.pop(next(iter(self.by_symbol)))
        return dropped

    def take(self, symbol: str) -> list[WaitingItem]:
        """Take out and return a symbol's items, oldest first."""
        return self.by_symbol.pop(symbol, [])

    def expire(self, oldest_us: int) -> list[WaitingItem]:
        """Take out and return the items that were received before a time (µs)."""
        old = [item for item in self.items() if item.received_at < oldest_us]
        for item in old:
            left = self.by_symbol[item.symbol]
            left.remove(item)
            if not left:
                del self.by_symbol[item.symbol]
        return old

    def oldest_us(self) -> float:
        """Return when the oldest item was received (µs); infinite if none waits."""
        return min((item.received_at for item in self.items()), default=math.inf)

    def items(self) -> list[WaitingItem]:
        """Return all items, to be stored."""
        return [item for items in self.by_symbol.values() for item in items]
