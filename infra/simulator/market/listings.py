"""Which contracts of a simulated feed are listed right now.

Responsible for: the life of a contract: held back, then listed, then delisted; asked by every
exchange's file, changed by `POST /control/list` and `/control/delist`. Kept in memory: a restart
begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.errors import ConfigurationError


class Listings:
    """The listing state of a fixed list of symbols; a row is a position in that list.

    A held back contract is absent from everything: REST lists, streams, settlements, truth. A
    delisted one no longer updates nor settles, and REST shows it as the exchange shows such ones.

    Args:
        symbols: all contracts, in the order of the market.
        held_back: how many of the last ones are not listed at first.
    """

    def __init__(self, symbols: Sequence[str], held_back: int = 0) -> None:
        self._rows = {symbol: row for row, symbol in enumerate(symbols)}
        first = max(0, len(symbols) - held_back)
        self._held: dict[str, None] = dict.fromkeys(symbols[first:])
        self._delisted: set[str] = set()
        self._newest: list[str] = []
        self.version = 0
        """Grows with each change: what was derived from an older version is out of date."""

    def is_listed(self, symbol: str) -> bool:
        """Whether it trades: listed and not delisted. False for an unknown symbol."""
        return symbol in self._rows and symbol not in self._held and symbol not in self._delisted

    def is_delisted(self, symbol: str) -> bool:
        """Whether it was listed once and is no longer."""
        return symbol in self._delisted

    def rows(self) -> list[int]:
        """The rows that are listed, ascending."""
        return [row for symbol, row in self._rows.items() if self.is_listed(symbol)]

    def known_rows(self) -> list[int]:
        """The rows that are listed or were, ascending."""
        return [row for symbol, row in self._rows.items() if symbol not in self._held]

    def list_next(self) -> str | None:
        """List the first contract that is held back; None when none is left."""
        symbol = next(iter(self._held), None)
        if symbol is not None:
            self.list_symbol(symbol)
        return symbol

    def list_symbol(self, symbol: str) -> None:
        """List a held back contract, or one that was delisted.

        Raises:
            ConfigurationError: it is listed already, or the feed has no such contract.
        """
        self._require(symbol, listed=False)
        self._held.pop(symbol, None)
        self._delisted.discard(symbol)
        self._newest.append(symbol)
        self.version += 1

    def delist(self, symbol: str) -> None:
        """Delist a listed contract.

        Raises:
            ConfigurationError: it is not listed.
        """
        self._require(symbol, listed=True)
        self._delisted.add(symbol)
        if symbol in self._newest:
            self._newest.remove(symbol)
        self.version += 1

    def delist_one(self) -> str | None:
        """Delist what was listed last, else a contract from the middle; None when none is left."""
        listed = [symbol for symbol in self._rows if self.is_listed(symbol)]
        if not listed:
            return None
        symbol = self._newest[-1] if self._newest else listed[len(listed) // 2]
        self.delist(symbol)
        return symbol

    def touch(self) -> None:
        """Something else that is derived from the contracts has changed."""
        self.version += 1

    def _require(self, symbol: str, *, listed: bool) -> None:
        if symbol not in self._rows:
            raise ConfigurationError(f"the feed has no contract {symbol!r}")
        if self.is_listed(symbol) is not listed:
            state = "not listed" if listed else "listed already"
            raise ConfigurationError(f"{symbol} is {state}")
