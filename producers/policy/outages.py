"""Gaps of connections: from the last data of one to the first of the next, and what filled them.

Pure. Not responsible for: gaps of contracts, which the worker sees in the log (stream_app).
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.control_items import FeedEvent
from schemas.times import US_PER_S


class Filled(NamedTuple):
    """What REST has brought so far: polls that succeeded, rates in them."""

    polls: int
    rates: int


class _Open(NamedTuple):
    from_us: int
    filled: Filled
    reason: str


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
        self, socket: str, last_data_at: int, now_us: int, reason: str, filled: Filled
    ) -> FeedEvent | None:
        """Note that a connection that delivered has ended and none took over."""
        if socket in self._open:
            return None
        self._open[socket] = _Open(last_data_at, filled, reason)
        return FeedEvent(
            "gap_opened", self._feed, last_data_at, now_us, detail=f"socket {socket}: {reason}"
        )

    def delivers(self, socket: str, now_us: int, filled: Filled) -> FeedEvent | None:
        """Note the first data of a connection; return the end of its socket's gap, if any."""
        gap = self._open.pop(socket, None)
        if gap is None:
            return None
        polls = filled.polls - gap.filled.polls
        rates = filled.rates - gap.filled.rates
        by = f"REST filled it with {rates} rates of {polls} polls" if polls else "nothing filled it"
        length_s = (now_us - gap.from_us) / US_PER_S
        return FeedEvent(
            "gap_closed",
            self._feed,
            gap.from_us,
            now_us,
            detail=f"socket {socket}: {length_s:.1f} s ({gap.reason}); {by}",
        )
