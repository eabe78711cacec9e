"""Gaps of a feed's sockets: which connections deliver, and what a gap between two of them missed.

Pure. A gap begins with the last data of a connection that nothing replaces and ends with the first
data of the next one of the same socket.
"""

from __future__ import annotations

from dataclasses import dataclass

from producers.policy.monitoring.events import SettlementsMissed
from producers.policy.outages import Filled, Outages
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
        self._left_silent: set[str] = set()
        """Sockets whose end left contracts that no other connection delivers."""

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
        socket = socket_of(identity)
        self._connections[identity] = _Delivering(socket, filled)
        gap = self._outages.delivers(socket, received_at, filled)
        left_silent = socket in self._left_silent
        self._left_silent.discard(socket)
        if gap is None:
            return ()
        over_an_hour = gap.first_event_time // US_PER_HOUR < received_at // US_PER_HOUR
        return (gap, SettlementsMissed(socket)) if over_an_hour and left_silent else (gap,)

    def handed_over(self, identity: str) -> None:
        """Note the end of a connection that another one has replaced: it leaves no gap."""
        self._connections.pop(identity, None)

    def closed(
        self,
        identity: str,
        socket: str,
        reason: str,
        last_data_at: int | None,
        at_us: int,
        *,
        silences: bool,
    ) -> tuple[FeedEvent, ...]:
        """Note the end of a connection; it begins a gap where it delivered and no other does.

        `last_data_at`: receipt of its newest data, µs; None: it brought none. `silences`: contracts
        are silent now.
        """
        delivered = self._connections.pop(identity, None)
        if silences:
            self._left_silent.add(socket)
        others = (connection.socket for connection in self._connections.values())
        if delivered is None or socket in others:
            return ()
        since_us = last_data_at or at_us
        gap = self._outages.lost(socket, since_us, at_us, reason, delivered.filled)
        return () if gap is None else (gap,)


def socket_of(identity: str) -> str:
    """Return the socket in the id of a connection, `<feed>/<socket>/<time>`."""
    return identity.rpartition("/")[0].partition("/")[2]
