"""What two sockets bring twice: the first that arrives counts, the other is left out. Pure.

A hot spare, and the overlap of a rotation, deliver the same pieces byte for byte. The worker knows
an update again by its event time; where frames have none only their bytes, the
sockets and the moment tell a repetition from a rate that did not move. So pieces are matched one to
one, within less than a push. Not responsible for: sockets (connection.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from producers.exchanges.spec import Slice
from schemas.feed_spec import SAME_PUSH_S

WINDOW_S = 5.0
"""How far one socket may be behind another, where equal bytes have the same event time."""
AGAIN_S = 0.25
"""The same bytes on the same socket, one after the other within this, are one piece that was sent
twice, where frames have no time."""
MAX_CONTRACTS = 10_000
"""What an exchange makes up beyond them may come twice."""
MAX_REMEMBERED_BYTES = 16 << 10
"""A longer piece may come twice, too: the worker knows it again by its time."""
REMEMBERED = 16
"""Pieces of a contract: a bound, more than are pushed within WINDOW_S."""


class _Seen:
    """A piece, and the connections that have brought it."""

    __slots__ = ("at_s", "by", "payload")

    def __init__(self, payload: bytes, at_s: float, connection: str) -> None:
        self.payload = payload
        self.at_s = at_s
        self.by = {connection}


class Deduplicator:
    """Remembers what arrived lately, by contract."""

    def __init__(self, *, timeless: bool) -> None:
        """`timeless`: the frames of this feed have no event time."""
        self._timeless = timeless
        self._window_s = SAME_PUSH_S if timeless else WINDOW_S
        self._seen: dict[str, deque[_Seen]] = {}
        self._listed: frozenset[str] = frozenset()
        self.total = 0

    def fresh(self, connection: str, pieces: Iterable[Slice], now_s: float) -> list[Slice]:
        """Return the pieces that no other connection has brought, in their order."""
        return [piece for piece in pieces if not self._repeated(connection, piece, now_s)]

    def _repeated(self, connection: str, piece: Slice, now_s: float) -> bool:
        if piece.symbol is None or len(piece.payload) > MAX_REMEMBERED_BYTES:
            return False
        if self._listed and piece.symbol not in self._listed:
            return False
        seen = self._seen.get(piece.symbol)
        if seen is None:
            if len(self._seen) >= MAX_CONTRACTS:
                return False
            seen = self._seen[piece.symbol] = deque(maxlen=REMEMBERED)
        while seen and seen[0].at_s < now_s - self._window_s:
            seen.popleft()
        for entry in seen:
            if entry.payload != piece.payload:
                continue
            if connection not in entry.by:
                entry.by.add(connection)
                self.total += 1
                return True
            if self._timeless and entry is seen[-1] and now_s - entry.at_s < AGAIN_S:
                self.total += 1
                return True
        seen.append(_Seen(piece.payload, now_s, connection))
        return False

    def keep(self, symbols: Iterable[str]) -> None:
        """Remember these contracts alone from now on."""
        self._listed = listed = frozenset(symbols)
        self._seen = {symbol: seen for symbol, seen in self._seen.items() if symbol in listed}
