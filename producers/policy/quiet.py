"""Which silent contracts are quiet: nothing of them changes, so nothing is pushed. Pure.

A contract is quiet while a connection that the exchange has taken it on is open and brings data of
others, if that connection has brought it before, or REST has shown it since the exchange took it.
Its rate is known then: a change would have been pushed. Where REST shows a change that is not, the
contract is not quiet until it is pushed again. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

_NEVER = float("-inf")
MAX_KNOWN = 10_000
"""When more contracts of a connection are known, those that the exchange made up are forgotten."""

Taken = Callable[[str], AbstractSet[str]]
"""Returns the contracts that the exchange has taken on a connection, by its id."""


class _Connection:
    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.newest_s = _NEVER
        self.known: set[str] = set()
        """Contracts that it has brought, or that REST has shown since they were taken."""


class QuietContracts:
    """What the open connections of a feed have brought, and what REST has shown meanwhile."""

    def __init__(self, alive_s: float, push_s: float) -> None:
        """`alive_s`: a connection that has brought no data for so long says nothing.

        `push_s`: a change that REST shows is pushed within so long, if it is pushed at all.
        """
        self._alive_s = alive_s
        self._push_s = push_s
        self._rates: dict[str, bytes] = {}
        """Of contracts that no connection has brought since: the rate that REST has shown."""
        self._changed_s: dict[str, float] = {}
        """Since when REST shows another rate, of contracts that no connection has brought since."""
        self._taken: Taken = lambda _identity: frozenset()
        self._open: dict[str, _Connection] = {}
        """By connection id."""

    def carry(self, taken: Taken) -> None:
        """Set what tells which contracts are taken on a connection.

        Not one whose subscription is held back, is still to be sent, or waits for its answer.
        """
        self._taken = taken

    def opened(self, socket: str, identity: str) -> None:
        """Note a new connection of a socket."""
        self._open.setdefault(identity, _Connection(socket))

    def closed(self, identity: str, *, handed_over: bool) -> None:
        """Forget a connection: what has changed since is not known.

        `handed_over`: its successor on the socket was open before, and knows what it knew.
        """
        gone = self._open.pop(identity, None)
        if gone is None or not handed_over:
            return
        for connection in self._open.values():
            if connection.socket == gone.socket:
                connection.known |= gone.known

    def data(self, identity: str, symbols: Iterable[str], at_s: float) -> None:
        """Note data that is about the time `at_s`."""
        connection = self._open.get(identity)
        if connection is not None:
            connection.newest_s = max(connection.newest_s, at_s)
            connection.known.update(symbols)
            if len(connection.known) > MAX_KNOWN:
                connection.known &= self._taken(identity)
            if self._rates:
                for symbol in symbols:
                    self._rates.pop(symbol, None)
                    self._changed_s.pop(symbol, None)

    def missed(self, identity: str, symbols: Iterable[str] | None) -> None:
        """Note that changes of these contracts were missed on a connection; None: of all of its."""
        connection = self._open.get(identity)
        if connection is None:
            return
        if symbols is None:
            connection.known.clear()
        else:
            connection.known.difference_update(symbols)

    def shown(self, rates: Mapping[str, bytes], now_s: float) -> frozenset[str]:
        """Note the contracts of a REST reply and their rates, as sent; empty: it is not known.

        Returns those of them of which the stream has not pushed a change.
        """
        for symbol, rate in rates.items():
            if rate and self._rates.setdefault(symbol, rate) != rate:
                self._rates[symbol] = rate
                self._changed_s.setdefault(symbol, now_s)
        brought = frozenset(rates)
        for identity, connection in self._open.items():
            taken = self._taken(identity)
            connection.known &= taken
            connection.known |= brought & taken
        return brought & self._unpushed(now_s)

    def among(self, silent: frozenset[str], now_s: float) -> frozenset[str]:
        """Return which of the silent contracts are quiet."""
        quiet: frozenset[str] = frozenset()
        for identity, connection in self._open.items():
            # What is no longer taken is not known any more when it is taken again.
            connection.known &= self._taken(identity)
            if connection.newest_s >= now_s - self._alive_s:
                quiet |= connection.known
        for noted in (self._rates, self._changed_s):
            for symbol in noted.keys() - silent:
                del noted[symbol]
        return quiet.intersection(silent) - self._unpushed(now_s)

    def _unpushed(self, now_s: float) -> frozenset[str]:
        return frozenset(
            symbol for symbol, at_s in self._changed_s.items() if now_s - at_s > self._push_s
        )
