"""Which silent contracts are quiet: nothing of them changes, so nothing is pushed. Pure.

A contract is quiet while a connection that is to bring it is open and brings data of others, if
that connection has brought it before, or REST has shown it since the connection was opened. Its
rate is known then: a change would have been pushed. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_NEVER = float("-inf")
_NONE: frozenset[str] = frozenset()


class _Connection:
    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.newest_s = _NEVER
        self.known: set[str] = set()
        """Contracts that it has brought, or that REST has shown since it was opened."""


class QuietContracts:
    """What the open connections of a feed have brought, and what REST has shown meanwhile."""

    def __init__(self, alive_s: float) -> None:
        """`alive_s`: a connection that has brought no data for so long says nothing."""
        self._alive_s = alive_s
        self._carried: Mapping[str, frozenset[str]] = {}
        self._open: dict[str, _Connection] = {}
        """By connection id."""

    def carry(self, carried: Mapping[str, frozenset[str]]) -> None:
        """Set the contracts that each socket is to bring, by its name."""
        self._carried = carried

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
            connection.known |= self._carried_by(connection).intersection(symbols)

    def shown(self, symbols: Iterable[str]) -> None:
        """Note the contracts of a REST reply."""
        brought = frozenset(symbols)
        for connection in self._open.values():
            connection.known |= self._carried_by(connection) & brought

    def among(self, silent: Iterable[str], now_s: float) -> frozenset[str]:
        """Return which of the silent contracts are quiet."""
        quiet: set[str] = set()
        for connection in self._open.values():
            if connection.newest_s >= now_s - self._alive_s:
                quiet |= connection.known & self._carried_by(connection)
        return frozenset(quiet.intersection(silent))

    def _carried_by(self, connection: _Connection) -> frozenset[str]:
        return self._carried.get(connection.socket, _NONE)
