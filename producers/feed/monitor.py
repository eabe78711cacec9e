"""Watches one feed: what connections, REST and the clock say becomes events for the feed to handle.

A thin shell: it reads the clock and hands over to pure parts (policy/monitoring): who is silent,
gaps of sockets, the reported state, clocks that differ, counts, listings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from producers.exchanges.spec import Exchange
from producers.policy.instruments import Change
from producers.policy.liveness import Liveness
from producers.policy.monitoring.clock_skew import ClockSkew
from producers.policy.monitoring.connection_gaps import ConnectionGaps
from producers.policy.monitoring.event_counts import EventCounts
from producers.policy.monitoring.events import FewSilent, MonitorEvent, UnknownContracts
from producers.policy.monitoring.listing_report import ListingReport
from producers.policy.monitoring.silence import Silence
from producers.policy.monitoring.state_report import Delivery, StateReport
from producers.policy.outages import Ended, Filled
from producers.policy.ownership import Rest
from producers.policy.quiet import QuietContracts, Taken
from producers.websocket.connection import Closed
from schemas.audit_kinds import AuditKind
from schemas.clock import Clock
from schemas.feeds import spec
from schemas.records import FeedState, Transport
from schemas.times import US_PER_HOUR, US_PER_S


class Surroundings(NamedTuple):
    """What the monitor has to know of the other parts of the feed."""

    rest: Rest
    by_rest: frozenset[str]
    """Contracts that REST is asked for."""
    clock_ahead_s: float
    """How far the exchange's clock is ahead of ours; 0: they agree."""
    kafka_full_s: float
    """Seconds for which the queue for Kafka is full."""
    totals: Mapping[AuditKind, int]
    """By kind of event, how often it has happened."""


class FeedMonitor:
    """The monitor of one feed."""

    def __init__(self, exchange: Exchange, clock: Clock, *, streams: bool) -> None:
        """`streams` False: the feed opens no sockets, as it has none or as its mode is poll."""
        feed, now_s, now_us = exchange.feed, clock.monotonic_s(), clock.now_us()
        self._feed = feed
        self._clock = clock
        self._streams = streams
        self.source: Transport = "ws" if exchange.socket_kinds else "rest"
        """What brings the feed's rates while all is well; "rest": it has no stream."""
        self._rest_first = exchange.snapshot_at_start or exchange.quiet_every_s is not None
        self._liveness = Liveness(exchange.silent_s)
        self._silence = Silence()
        self._gaps = ConnectionGaps(feed)
        self._listings = ListingReport(feed)
        self._quiet = quiet_of(exchange)
        self._report = StateReport(feed, now_s, now_us)
        self._skew = ClockSkew(feed)
        self._counts = EventCounts(feed, now_s)
        self.last_data_at: int | None = None
        """Receipt of the newest data frame, µs since the epoch; None: there was none."""

    @property
    def state(self) -> FeedState:
        """The feed's state."""
        return self._report.state

    @property
    def since_us(self) -> int:
        """Wall-clock time of the last transition."""
        return self._report.since_us

    @property
    def detail(self) -> str:
        """The likely reason of a state other than live."""
        return self._report.detail

    @property
    def expected(self) -> int:
        """Contracts that should deliver."""
        return self._liveness.expected

    @property
    def live(self) -> int:
        """Contracts that the stream (or without one: REST) delivers."""
        return self._liveness.live(self._clock.monotonic_s())

    def listed(self, change: Change, streaming: frozenset[str]) -> list[MonitorEvent]:
        """Take a change of the list and the contracts that should deliver from now on."""
        now_s, first = self._clock.monotonic_s(), self.expected == 0
        since_s = float("-inf") if self._rest_first and first else now_s
        self._liveness.expect(streaming, since_s)
        return [*self._listings.observe(change, now_s, self._clock.now_us(), first=first)]

    def opened(self, socket: str, identity: str) -> None:
        """Note which socket a new connection belongs to."""
        self._gaps.opened(socket, identity)
        if self._quiet is not None:
            self._quiet.opened(socket, identity)

    def carry(self, taken: Taken) -> None:
        """Set what tells which contracts the exchange has taken on a connection."""
        if self._quiet is not None:
            self._quiet.carry(taken)

    def missed(self, identity: str, symbols: Sequence[str] | None) -> None:
        """Note that a connection has missed changes of these contracts; None: of all of its."""
        if self._quiet is not None:
            self._quiet.missed(identity, symbols)

    def shown(self, rates: Mapping[str, bytes]) -> frozenset[str]:
        """Note the rates that REST has brought in the stream's place, as `Exchange.shown_rate`.

        Returns the contracts of which the stream has not pushed a change.
        """
        if self._quiet is None:
            return frozenset()
        return self._quiet.shown(rates, self._clock.monotonic_s())

    def data(
        self,
        identity: str,
        symbols: Sequence[str],
        event_us: int | None,
        received_at: int,
        clock_ahead_s: float,
        filled: Filled,
    ) -> Sequence[MonitorEvent]:
        """Note a data frame of a connection.

        `event_us` is the exchange's time of the frame, `filled` what REST has brought so far.
        """
        lag_s = 0.0
        if event_us is not None:
            # A frame that was long on its way shows the past. The clocks may differ.
            lag_s = max(0.0, (received_at - event_us) / US_PER_S + clock_ahead_s)
        self.last_data_at = received_at
        at_s = self._clock.monotonic_s() - lag_s
        unknown = self._liveness.data(identity, symbols, at_s)
        if self._quiet is not None:
            self._quiet.data(identity, symbols, at_s)
        events: list[MonitorEvent] = []
        if unknown:
            events.append(UnknownContracts(tuple(unknown)))
        if symbols:
            events += self._gaps.data(identity, received_at, filled)
        return events

    def closed(self, closed: Closed) -> Sequence[MonitorEvent]:
        """Note the end of a connection: what it alone delivered is silent from now on."""
        self._liveness.closed(closed.connection_id)
        if self._quiet is not None:
            self._quiet.closed(closed.connection_id, handed_over=closed.handed_over)
        if closed.handed_over:
            self._gaps.handed_over(closed.connection_id)
            return ()
        self._report.explain(f"socket {closed.socket}: {closed.reason}")
        return self._gaps.closed(
            Ended(closed.socket, closed.connection_id, closed.cause, closed.reason),
            closed.last_data_at_us,
            self._clock.now_us(),
            silences=self._silences(),
        )

    def _silences(self) -> bool:
        silent, quiet = self._silent(self._clock.monotonic_s())
        return silent != quiet

    def _silent(self, now_s: float) -> tuple[frozenset[str], frozenset[str]]:
        """Return the contracts that are silent, and those of them that are quiet."""
        silent = frozenset(self._liveness.silent(now_s))
        if self._quiet is None or not silent:
            return silent, frozenset()
        return silent, self._quiet.among(silent, now_s)

    def silent(self) -> Sequence[MonitorEvent]:
        """Report which contracts the stream (or without one: REST) does not deliver now."""
        if not self._streams and self.source == "ws":
            return ()
        silent, quiet = self._silent(self._clock.monotonic_s())
        events = self._silence.observe(silent, self.expected, quiet)
        if self.source == "rest":
            # All are asked for anyway: that a few are missing may only mean that they are delisted.
            return [event for event in events if isinstance(event, FewSilent)]
        return events

    def unseen_since_settling(self) -> frozenset[str]:
        """Return the contracts that were not pushed since the estimates of a new hour count.

        What is pushed within `FeedSpec.settling_s` of a settlement is no estimate. Of a feed that
        pushes changes alone it may be the last push for long, so that only REST has the estimate.
        """
        settling_s = 0.0 if self._quiet is None else spec(self._feed).settling_s
        counting_s = self._clock.now_us() % US_PER_HOUR / US_PER_S - settling_s
        if not settling_s or counting_s <= 0:
            return frozenset()
        return frozenset(self._liveness.unseen_since(self._clock.monotonic_s() - counting_s))

    def judge(self, around: Surroundings) -> list[MonitorEvent]:
        """Report what has changed since the last look: clocks, counts, the feed's state."""
        now_s, now_us = self._clock.monotonic_s(), self._clock.now_us()
        delivery = self._delivery(around, now_s)
        return [
            *self._skew.observe(around.clock_ahead_s, now_us),
            *self._counts.observe(around.totals, now_s, now_us),
            *self._report.observe(delivery, now_s, now_us),
        ]

    def _delivery(self, around: Surroundings, now_s: float) -> Delivery:
        live, quiet = self._liveness.live(now_s), frozenset[str]()
        if self.source == "ws":
            streamed = live if self._streams else 0
            _, quiet = self._silent(now_s)
            rest, by_rest = around.rest, around.by_rest - quiet
        else:
            # Nothing stands in for REST: it serves, or it fails.
            streamed, by_rest = live, frozenset(self._liveness.silent(now_s))
            rest = around.rest if around.rest is Rest.FAILING else Rest.IDLE
        return Delivery(
            self.expected, streamed, rest, by_rest, around.kafka_full_s, self.source, len(quiet)
        )


def quiet_of(exchange: Exchange) -> QuietContracts | None:
    """Return what tells quiet contracts; None: the exchange pushes all, changed or not."""
    if exchange.quiet_every_s is None:
        return None
    alive_s = max(kind.silent_s for kind in exchange.socket_kinds)
    return QuietContracts(alive_s, exchange.silent_s)
