"""Gaps of a feed's sockets: which connections deliver, and what a gap between two of them missed.

Pure. A gap begins with the last data of a connection that nothing replaces and ends with the first
data of the next one of the same socket.
"""

from __future__ import annotations

from dataclasses import dataclass

from producers.policy.monitoring.events import SettlementsMissed
from producers.policy.outages import Ended, Filled, Outages
from schemas.control_items import FeedEvent
from schemas.times import US_PER_HOUR


@dataclass(slots=True)
class _Delivering:
    """A connection that has brought data."""

    socket: str
    filled: Filled
    """What REST had brought at its last data."""


class ConnectionGaps:
    """The delivering connections of one feed, and the gaps between them."""

    def __init__(self, feed: str) -> None:
        self._outages = Outages(feed)
        self._connections: dict[str, _Delivering] = {}
        self._sockets: dict[str, str] = {}
        """Names of the sockets of open connections, by connection id."""
        self._left_silent: set[str] = set()
        """Sockets whose end left contracts that no other connection delivers."""

    def opened(self, socket: str, identity: str) -> None:
        """Note which socket a new connection belongs to."""
        self._sockets[identity] = socket

    def data(
        self, identity: str, received_at: int, filled: Filled
    ) -> tuple[FeedEvent | SettlementsMissed, ...]:
        """Note data of a connection; its first may end a gap.

        `filled` is what REST has brought so far instead of the stream.
        """
        connection = self._connections.get(identity)
        if connection is not None:
            connection.filled = filled
            return ()
        # A connection that was not announced counts as a socket of its own.
        socket = self._sockets.get(identity, identity)
        self._connections[identity] = _Delivering(socket, filled)
        gap = self._outages.delivers(socket, identity, received_at, filled)
        left_silent = socket in self._left_silent
        self._left_silent.discard(socket)
        if gap is None:
            return ()
        over_an_hour = gap.first_event_time // US_PER_HOUR < received_at // US_PER_HOUR
        return (gap, SettlementsMissed(socket)) if over_an_hour and left_silent else (gap,)

    def handed_over(self, identity: str) -> None:
        """Note the end of a connection that another one has replaced: it leaves no gap."""
        self._connections.pop(identity, None)
        self._sockets.pop(identity, None)

    def closed(
        self, ended: Ended, last_data_at: int | None, at_us: int, *, silences: bool
    ) -> tuple[FeedEvent, ...]:
        """Note the end of a connection; it begins a gap where it delivered and no other does.

        `last_data_at`: receipt of its newest data, µs; None: it brought none. `silences`: contracts
        are silent now.
        """
        socket = ended.socket
        delivered = self._connections.pop(ended.connection_id, None)
        self._sockets.pop(ended.connection_id, None)
        if silences:
            self._left_silent.add(socket)
        others = (connection.socket for connection in self._connections.values())
        if delivered is None or socket in others:
            return ()
        since_us = last_data_at or at_us
        gap = self._outages.lost(ended, since_us, at_us, delivered.filled)
        return () if gap is None else (gap,)
