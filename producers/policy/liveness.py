"""Which contracts the stream delivers, and over which connection. Pure.

Only data frames count, never acknowledgements. A contract is live while a connection that is still
open has brought it within the silence limit; otherwise it is silent and REST is asked for it. Times
are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_CONTRACTS = 10_000
"""Contracts that are remembered of a connection; further ones were made up by the exchange."""
_NEVER = float("-inf")


class Liveness:
    """When each contract was last delivered by a connection that is still open."""

    def __init__(self, silent_s: float) -> None:
        """`silent_s`: a contract that was not delivered for this long is silent."""
        self._silent_s = silent_s
        self._newest: dict[str, float] = {}
        """When each expected contract was delivered last by any open connection; before its first
        delivery, the time from which it was expected."""
        self._waiting: set[str] = set()
        """Expected contracts that no connection has delivered yet."""
        self._delivered: dict[str, dict[str, float]] = {}
        """By connection id: when each contract was delivered last."""
        self.last_data_s: float | None = None

    def expect(self, symbols: Iterable[str], since_s: float) -> None:
        """Set the contracts that should deliver, new ones from `since_s` on; forget the others."""
        before, newest = self._newest, {}
        for symbol in symbols:
            known_s = before.get(symbol)
            if known_s is None:
                known_s = self._over_all(symbol)
                if known_s == _NEVER:
                    known_s = since_s
                    self._waiting.add(symbol)
            newest[symbol] = known_s
        self._newest = newest
        self._waiting &= newest.keys()

    def data(self, connection: str, symbols: Iterable[str | None], at_s: float) -> list[str]:
        """Note a data frame; return symbols in it that are not expected.

        `at_s`: the time that the frame's data is about. A frame that was long on its way shows an
        earlier state of the contract than one that has just been made.
        """
        self.last_data_s = at_s if self.last_data_s is None else max(at_s, self.last_data_s)
        delivered = self._delivered.setdefault(connection, {})
        newest, waiting, unknown = self._newest, self._waiting, []
        for symbol in symbols:
            if symbol is None:
                continue
            if symbol not in newest and len(delivered) >= MAX_CONTRACTS:
                unknown.append(symbol)
                continue
            # A frame may be overtaken by a newer one on another connection.
            delivered[symbol] = max(at_s, delivered.get(symbol, _NEVER))
            known_s = newest.get(symbol)
            if known_s is None:
                unknown.append(symbol)
            elif at_s > known_s or symbol in waiting:
                newest[symbol] = at_s
                waiting.discard(symbol)
        return unknown

    def closed(self, connection: str) -> None:
        """Forget a connection: contracts that only it delivered are silent from now on."""
        for symbol in self._delivered.pop(connection, ()):
            if symbol in self._newest:
                self._newest[symbol] = self._over_all(symbol)

    def _over_all(self, symbol: str) -> float:
        return max((of.get(symbol, _NEVER) for of in self._delivered.values()), default=_NEVER)

    @property
    def expected(self) -> int:
        """Contracts that should deliver."""
        return len(self._newest)

    def silent(self, now_s: float) -> set[str]:
        """Return the expected contracts that the stream does not deliver."""
        return self.unseen_since(now_s - self._silent_s)

    def unseen_since(self, since_s: float) -> set[str]:
        """Return the expected contracts that no open connection has delivered since then."""
        return {symbol for symbol, at_s in self._newest.items() if at_s < since_s}

    def live(self, now_s: float) -> int:
        """Count the expected contracts that the stream delivers.

        Before a list of contracts is known, all that are delivered are counted.
        """
        oldest, waiting = now_s - self._silent_s, self._waiting
        if not self._newest:
            return sum(at_s >= oldest for of in self._delivered.values() for at_s in of.values())
        return sum(
            1 for symbol, at_s in self._newest.items() if at_s >= oldest and symbol not in waiting
        )
