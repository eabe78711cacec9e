"""Thins what each connection of a feed brings, contract by contract. Pure.

The rule is that of `schemas.thinning`; each connection follows it by itself, so that two of them
keep the same pieces and the second copies are recognised as such.
"""

from __future__ import annotations

from collections.abc import Iterable

from producers.exchanges.spec import Slice
from schemas.thinning import Thinning

MAX_CONTRACTS = 10_000
"""Contracts that are remembered of a connection beside the listed ones, which always have room.
Pieces of further ones, which the exchange made up, are all published."""


class Thinner:
    """Decides which pieces of one feed are published."""

    def __init__(self) -> None:
        self._contracts: dict[str, dict[str, Thinning[bytes]]] = {}
        """By connection id and symbol."""
        self._listed: frozenset[str] = frozenset()
        self.total = 0
        """Pieces that were left out."""

    def kept(self, connection: str, slices: Iterable[Slice], frame_us: int | None) -> list[Slice]:
        """Return the pieces of a frame that are published, in their order.

        `frame_us`: the exchange's time of the frame, for rows without one of their own. A piece
        without terms or without a time is always published.
        """
        contracts = self._contracts.setdefault(connection, {})
        pieces = []
        for piece in slices:
            event_us = frame_us if piece.event_us is None else piece.event_us
            symbol, terms = piece.symbol, piece.terms
            if event_us is not None and symbol is not None and terms is not None:
                thinning = contracts.get(symbol)
                if thinning is None and self._has_room(contracts, symbol):
                    thinning = contracts[symbol] = Thinning()
                if thinning is not None and not thinning.keeps(event_us, terms):
                    self.total += 1
                    continue
            pieces.append(piece)
        return pieces

    def _has_room(self, contracts: dict[str, Thinning[bytes]], symbol: str) -> bool:
        return symbol in self._listed or len(contracts) < MAX_CONTRACTS

    def keep(self, symbols: Iterable[str]) -> None:
        """Set the contracts that always have room."""
        self._listed = frozenset(symbols)

    def closed(self, connection: str) -> None:
        """Forget a connection."""
        self._contracts.pop(connection, None)
