"""Looks after one feed: who is silent, what follows, and what the world is told of it.

The shell around liveness.py and ownership.py: it reads the clock, has REST asked for what the
stream does not bring, and notes each transition. Not responsible for: sockets, REST, Kafka.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from producers.exchanges.spec import Exchange
from producers.kafka.event_log import FeedEventLog
from producers.policy.dedup import Deduplicator
from producers.policy.instruments import Change
from producers.policy.liveness import Liveness
from producers.policy.outages import Filled, Outages
from producers.policy.ownership import Ownership, Rest
from producers.policy.polling import FEW_SHARE
from producers.rest.client import RestClient
from producers.rest.snapshots import Snapshots
from producers.websocket.connection import Closed
from schemas.clock import now_us
from schemas.control_items import FeedEvent
from schemas.feeds import spec
from schemas.partitioning import contract_id
from schemas.records import FeedState
from schemas.times import US_PER_HOUR, US_PER_S

CHECK_S = 0.25
"""Between two looks; what is silent is noticed this soon, what is closed at once."""
COUNTED_EVERY_S = 60.0
MAX_NAMED = 3
UNLISTED_S = 30.0
"""Without a contract that should deliver for so long, REST serves nobody."""
KAFKA_FULL_S = 2.0
"""A queue that is full for longer explains why nothing comes."""
_BLIND: frozenset[FeedState] = frozenset({"down"})


@dataclass(slots=True)
class _Delivering:
    """A connection that brings data."""

    socket: str
    filled: Filled
    """What REST had brought when it last did."""


class FeedMonitor:
    """The state of one feed."""

    def __init__(
        self,
        exchange: Exchange,
        rest: RestClient,
        snapshots: Snapshots,
        event_log: FeedEventLog,
        *,
        streams: bool,
        kafka_full_s: Callable[[], float],
        doubt: Callable[[], None],
    ) -> None:
        """`streams` False: the mode without sockets.

        `kafka_full_s`: for how long Kafka has taken nothing. `doubt`: called when a few contracts
        among many have gone silent.
        """
        self._exchange = exchange
        self._rest = rest
        self._snapshots = snapshots
        self._event_log = event_log
        self._streams = streams
        self._kafka_full_s = kafka_full_s
        self._doubt = doubt
        self._doubted: set[str] = set()
        self.liveness = Liveness(exchange.silent_s)
        self.ownership = Ownership()
        self.dedup = Deduplicator(timeless=spec(exchange.feed).timeless)
        self._outages = Outages(exchange.feed)
        self._connections: dict[str, _Delivering] = {}
        """Those that have brought data."""
        self._left_silent: set[str] = set()
        """Sockets whose end left contracts that no other brings."""
        self.since = now_us()
        self.detail = "starting"
        self.last_data_at: int | None = None
        self._skew_told_s = 0.0
        self._counted_s = self._begun_s = time.monotonic()
        self._counted = {"repeated": 0, "rate_limited": 0}

    @property
    def state(self) -> FeedState:
        """The feed's state."""
        return self.ownership.state

    def listed(self, change: Change, streaming: frozenset[str]) -> None:
        """Take the contracts that should deliver from now on."""
        known = self.liveness.expected > 0
        slow = self._exchange.snapshot_at_start and not known
        self.liveness.expect(streaming, float("-inf") if slow else time.monotonic())
        self.dedup.keep(streaming)
        if known:
            at = now_us()
            for kind, symbols in (("listed", change.listed), ("delisted", change.delisted)):
                for symbol in sorted(symbols):
                    subject = contract_id(self._exchange.feed, symbol)
                    self._event_log.note(FeedEvent(kind, subject, at, at))

    def outcome(
        self,
        identity: str,
        symbols: list[str],
        event_us: int | None,
        received_at: int,
    ) -> tuple[list[str], bool]:
        """Note a data frame.

        Returns the symbols that nobody expects, and whether it ends a gap that a full hour lies in.
        """
        lag_s = 0.0
        if event_us is not None:
            # A frame that was long on its way shows what was, not what is. Clocks apart.
            lag_s = max(0.0, (received_at - event_us) / US_PER_S + self._rest.clock_ahead_s)
        self.last_data_at = received_at
        unknown = self.liveness.data(identity, symbols, time.monotonic() - lag_s)
        missed_an_hour = False
        if not symbols:
            return unknown, missed_an_hour
        connection = self._connections.get(identity)
        if connection is not None:
            connection.filled = self._snapshots.filled
        else:
            socket = identity.rpartition("/")[0].partition("/")[2]
            self._connections[identity] = _Delivering(socket, self._snapshots.filled)
            gap = self._outages.delivers(socket, received_at, self._snapshots.filled)
            if gap is not None:
                self._event_log.note(gap)
                hour = gap.first_event_time // US_PER_HOUR
                over_an_hour = hour < received_at // US_PER_HOUR
                missed_an_hour = over_an_hour and socket in self._left_silent
            self._left_silent.discard(socket)
        return unknown, missed_an_hour

    def closed(self, closed: Closed) -> None:
        """Note the end of a connection: what it alone delivered is REST's from now on."""
        self.liveness.closed(closed.connection_id)
        delivered = self._connections.pop(closed.connection_id, None)
        if closed.handed_over:
            return
        if self.liveness.silent(time.monotonic()):
            self._left_silent.add(closed.socket)
        self.detail = f"socket {closed.socket}: {closed.reason}"
        others = (connection.socket for connection in self._connections.values())
        if delivered is not None and closed.socket not in others:
            at = now_us()
            gap = self._outages.lost(
                closed.socket, closed.last_data_at_us or at, at, closed.reason, delivered.filled
            )
            if gap is not None:
                self._event_log.note(gap)
        self.step()

    def step(self) -> None:
        """Look at everything once, and note a transition."""
        now_s = time.monotonic()
        if self._streams:
            silent = self.liveness.silent(now_s)
            self._snapshots.want(silent)
            if silent - self._doubted and len(silent) <= self.liveness.expected * FEW_SHARE:
                self._doubt()
            self._doubted = silent
        self._tell_clock()
        self._tell_counts(now_s)
        before = self.ownership.state
        rest = self._snapshots.polling.rest(now_s, self.liveness.expected)
        if self.liveness.expected == 0 and now_s - self._begun_s > UNLISTED_S:
            rest, self.detail = Rest.FAILING, "no contract is known to trade"
        streamed = self.liveness.live(now_s) if self._streams else 0
        after = self.ownership.observe(self.liveness.expected, streamed, rest)
        if after != before:
            self._tell_transition(before, after, streamed)

    def _tell_transition(self, before: FeedState, after: FeedState, streamed: int) -> None:
        at = now_us()
        kind = {"fallback": "failover", "live": "recovery"}.get(after, "feed_state")
        if before == "connecting" and after == "live":
            kind = "feed_state"
        silent = self._snapshots.polling.wanted
        named = ", ".join(sorted(silent)[:MAX_NAMED])
        about = f"the stream brings {streamed} of {self.liveness.expected} contracts"
        if silent:
            about += f", silent: {named}{', ...' if len(silent) > MAX_NAMED else ''}"
        full_s = self._kafka_full_s()
        if full_s > KAFKA_FULL_S:
            self.detail = f"Kafka takes nothing for {full_s:.0f} s, so reading is paused"
        if after != "live" and self.detail:
            about += f" ({self.detail})"
        feed, since = self._exchange.feed, self.since
        self._event_log.note(
            FeedEvent(kind, feed, since, at, detail=f"{before} -> {after}: {about}")
        )
        if after in _BLIND:
            self._event_log.note(FeedEvent("feed_down", feed, since, at, detail=about))
        elif before in _BLIND:
            detail = f"after {(at - since) / US_PER_S:.1f} s: {after}"
            self._event_log.note(FeedEvent("feed_recovered", feed, since, at, detail=detail))
        self.since = at
        if after == "live":
            self.detail = ""

    def _tell_clock(self) -> None:
        ahead_s = self._rest.clock_ahead_s
        if bool(ahead_s) != bool(self._skew_told_s):
            at = now_us()
            detail = f"the exchange's clock is {ahead_s:+.1f} s from ours" if ahead_s else "ended"
            self._event_log.note(
                FeedEvent("clock_skew", self._exchange.feed, at, at, detail=detail)
            )
            self._skew_told_s = ahead_s

    def _tell_counts(self, now_s: float) -> None:
        if now_s - self._counted_s < COUNTED_EVERY_S:
            return
        at, from_us = now_us(), now_us() - int((now_s - self._counted_s) * US_PER_S)
        self._counted_s = now_s
        totals = {"repeated": self.dedup.total, "rate_limited": self._rest.refusals}
        for kind, total in totals.items():
            new = total - self._counted[kind]
            if new:
                self._event_log.note(FeedEvent(kind, self._exchange.feed, from_us, at, new))
        self._counted = totals
