"""Gaps of connections: from the last data of one to the first of the next, and what filled them.

Pure. Gaps of single contracts are found by the worker, in the log.
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.audit_facts import AuditCause, AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.control_items import FeedEvent
from schemas.times import US_PER_S


class Filled(NamedTuple):
    """What REST has brought so far: polls that succeeded, rates in them."""

    polls: int
    rates: int


class Ended(NamedTuple):
    """A connection that has ended."""

    socket: str
    connection_id: str
    cause: AuditCause
    reason: str
    """The cause in words, for people."""


class _Open(NamedTuple):
    from_us: int
    filled: Filled
    ended: Ended


class Outages:
    """The open gaps of a feed, by socket."""

    def __init__(self, feed: str) -> None:
        self._feed = feed
        self._open: dict[str, _Open] = {}

    @property
    def open(self) -> int:
        """Sockets without a connection that delivers."""
        return len(self._open)

    def lost(
        self, ended: Ended, last_data_at: int, now_us: int, filled: Filled
    ) -> FeedEvent | None:
        """Note that a connection that delivered has ended and none took over; times in µs.

        Returns the beginning of its socket's gap; None if the socket has an open gap already.
        """
        if ended.socket in self._open:
            return None
        self._open[ended.socket] = _Open(last_data_at, filled, ended)
        return FeedEvent(
            AuditKind.GAP_OPENED,
            self._feed,
            last_data_at,
            now_us,
            detail=f"socket {ended.socket}: {ended.reason}",
            facts=AuditFacts(
                cause=ended.cause, socket=ended.socket, connection_id=ended.connection_id
            ),
        )

    def delivers(
        self, socket: str, connection_id: str, now_us: int, filled: Filled
    ) -> FeedEvent | None:
        """Note the first data of a connection; return the end of its socket's gap, if any."""
        gap = self._open.pop(socket, None)
        if gap is None:
            return None
        polls = filled.polls - gap.filled.polls
        rates = filled.rates - gap.filled.rates
        by = f"REST filled it with {rates} rates of {polls} polls" if polls else "nothing filled it"
        length_s = (now_us - gap.from_us) / US_PER_S
        return FeedEvent(
            AuditKind.GAP_CLOSED,
            self._feed,
            gap.from_us,
            now_us,
            detail=f"socket {socket}: {length_s:.1f} s ({gap.ended.reason}); {by}",
            facts=AuditFacts(
                cause=gap.ended.cause,
                socket=socket,
                connection_id=connection_id,
                rest_polls=polls,
                rest_updates=rates,
            ),
        )
