"""Which contracts of a simulated feed are listed right now.

Responsible for: the life of a contract: held back, then listed, then delisted, and the states that
faults put it into meanwhile; asked by every exchange's file, changed by fault control. Kept in
memory: a restart begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class State:
    """A state of a listed contract in which it does not trade as ever.

    Attributes:
        name: as the exchange's list prints it; empty: as that of a contract that trades.
        rated: whether its rates and settlements go on.
        dead: it trades no more, while the call for current rates shows zeros of this moment.
    """

    name: str
    rated: bool
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Oddities:
    """What is wrong with the lists and settlements of a feed for now, by the faults that run.

    Attributes:
        states: of contracts that do not trade as ever, by symbol.
        twice: symbols that the list names a second time, with another status.
        nameless: whether the list has an entry with an empty symbol.
        missing: row and funding time (ms) of settlements that are not shown.
    """

    states: Mapping[str, State]
    twice: frozenset[str] = frozenset()
    nameless: bool = False
    missing: frozenset[tuple[int, int]] = frozenset()


NO_ODDITIES = Oddities({})


class Listings:
    """The listing state of a fixed list of symbols; a row is a position in that list.

    A held back contract is absent from everything: REST lists, streams, settlements, truth. A
    delisted one no longer updates nor settles, and REST shows it as the exchange shows such ones.
    One that is halted without rates counts as neither listed nor delisted until that is over.

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
        self._odd = NO_ODDITIES
        self._derived: tuple[int, Sequence[int], Sequence[int]] | None = None
        self.version = 0
        """Grows with each change: what was derived from an older version is out of date."""

    def is_listed(self, symbol: str) -> bool:
        """Whether it has rates: listed, not delisted nor halted. False for an unknown symbol."""
        state = self._odd.states.get(symbol)
        return self._is_on_the_list(symbol) and (state is None or state.rated)

    def _is_on_the_list(self, symbol: str) -> bool:
        return symbol in self._rows and symbol not in self._held and symbol not in self._delisted

    def state(self, symbol: str) -> State | None:
        """The state of a listed contract that does not trade as ever; None: it does."""
        return self._odd.states.get(symbol) if self._is_on_the_list(symbol) else None

    @property
    def twice(self) -> frozenset[str]:
        """Symbols that the list names a second time, with another status."""
        return self._odd.twice

    @property
    def nameless(self) -> bool:
        """Whether the list has an entry with an empty symbol."""
        return self._odd.nameless

    @property
    def missing(self) -> frozenset[tuple[int, int]]:
        """Row and funding time (ms) of settlements that are not shown."""
        return self._odd.missing

    def set_oddities(self, odd: Oddities) -> None:
        """From now on exactly this is wrong."""
        if odd != self._odd:
            self._odd = odd
            self.version += 1

    def is_delisted(self, symbol: str) -> bool:
        """Whether it was listed once and is no longer."""
        return symbol in self._delisted

    def rows(self) -> Sequence[int]:
        """The rows that have rates: listed and not halted, ascending."""
        return self._current()[1]

    def known_rows(self) -> Sequence[int]:
        """The rows that are listed or were, ascending."""
        return self._current()[2]

    def is_known(self, symbol: str) -> bool:
        """Whether a contract is listed or was."""
        return symbol in self._rows and symbol not in self._held

    def _current(self) -> tuple[int, Sequence[int], Sequence[int]]:
        """The version, the rows that have rates and those that are known; asked at each tick."""
        if self._derived is None or self._derived[0] != self.version:
            rated = [row for symbol, row in self._rows.items() if self.is_listed(symbol)]
            known = [row for symbol, row in self._rows.items() if symbol not in self._held]
            self._derived = self.version, rated, known
        return self._derived

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
        listed = [symbol for symbol in self._rows if self._is_on_the_list(symbol)]
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
        if self._is_on_the_list(symbol) is not listed:
            state = "not listed" if listed else "listed already"
            raise ConfigurationError(f"{symbol} is {state}")
