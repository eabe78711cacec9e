"""Leaves out pieces of messages that a second connection brings again. Pure.

A spare connection and the overlap of a rotation deliver the same pieces byte for byte: the first
that arrives is published. The worker recognises a repeated update by its event time. Where frames
have none, a repetition and a rate that did not move look the same; they can only be told apart by
the connection and the time of arrival. So pieces are matched one to one between connections, within
less than the time between two pushes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from producers.exchanges.spec import Slice
from schemas.feed_spec import SAME_PUSH_S

WINDOW_S = 5.0
"""How far one connection may be behind another, where equal bytes have the same event time."""
AGAIN_S = 0.25
"""Where frames have no event time: equal bytes on the same connection, one directly after the other
within this time, are one piece that was sent twice."""
MAX_CONTRACTS = 10_000
"""Contracts that are remembered; further ones, which the exchange made up, may come twice."""
MAX_REMEMBERED_BYTES = 16 << 10
"""A longer piece is not remembered; the worker recognises it by its event time."""
REMEMBERED = 16
"""Pieces that are remembered of a contract: more than are pushed within WINDOW_S."""


class _Seen:
    """A piece and the ids of the connections that have brought it."""

    __slots__ = ("at_s", "by", "payload")

    def __init__(self, payload: bytes, at_s: float, connection: str) -> None:
        self.payload = payload
        self.at_s = at_s
        self.by = {connection}


class Deduplicator:
    """Remembers, for each contract, the pieces that arrived lately."""

    def __init__(self, *, timeless: bool) -> None:
        """`timeless`: the frames of this feed have no event time."""
        self._timeless = timeless
        self._window_s = SAME_PUSH_S if timeless else WINDOW_S
        self._seen: dict[str, deque[_Seen]] = {}
        self._listed: frozenset[str] = frozenset()
        self.total = 0

    def fresh(self, connection: str, pieces: Iterable[Slice], now_s: float) -> list[Slice]:
        """Return the pieces that no other connection has brought yet, in their order."""
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
        """Remember only these contracts from now on and forget the others."""
        self._listed = listed = frozenset(symbols)
        self._seen = {symbol: seen for symbol, seen in self._seen.items() if symbol in listed}
