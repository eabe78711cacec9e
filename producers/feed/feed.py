"""One running feed: its parts, how they are wired, and who handles what the monitor reports."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

import aiohttp

from producers.exchanges.spec import Exchange
from producers.feed.frames import FrameHandler
from producers.feed.monitor import FeedMonitor, Surroundings
from producers.feed.reporter import report_forever
from producers.kafka.event_log import FeedEventLog
from producers.kafka.publisher import Publisher
from producers.policy.endpoints import Endpoints
from producers.policy.instruments import Change
from producers.policy.monitoring.events import (
    ContractsSilent,
    FewSilent,
    MonitorEvent,
    SettlementsMissed,
    UnknownContracts,
)
from producers.policy.ownership import transport
from producers.policy.polling import Polling
from producers.policy.rate_limiter import RateLimiter
from producers.policy.throttle import Throttle
from producers.rest.client import RestClient
from producers.rest.history import history_of
from producers.rest.instruments import InstrumentRefresh
from producers.rest.raw_replies import RawReplies
from producers.rest.snapshots import Snapshots
from producers.settings import ProducerSettings
from producers.websocket.connection import Closed, ConnectionCallbacks
from producers.websocket.pool import ConnectionPool
from schemas.audit_kinds import AuditKind
from schemas.clock import Clock
from schemas.control_items import FeedEvent
from schemas.records import FeedStatus
from schemas.times import US_PER_S

log = logging.getLogger(__name__)

INSTRUMENTS_WAIT_S = 15.0
"""The stream waits this long for the list of instruments, and then starts without it."""
LOOK_S = 0.25
"""Interval at which silence is looked for; the end of a connection is handled at once."""


class Feed:
    """Runs one exchange until cancelled."""

    def __init__(
        self,
        exchange: Exchange,
        settings: ProducerSettings,
        publisher: Publisher,
        session: aiohttp.ClientSession,
        rate_limiter: RateLimiter,
        history_throttle: Throttle,
        cluster_id: str,
        clock: Clock,
        event_log: FeedEventLog | None = None,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`rate_limiter` is shared by the feeds of a limits group, `history_throttle` by all.

        `event_log`: that of an earlier run, with the events that it has not published yet.
        `chance`: uniform in [0, 1), for the delays.
        """
        self.exchange = exchange
        self._settings = settings
        self._publisher = publisher
        self._clock = clock
        mode = settings.producer_mode
        self._streams = mode != "poll" and bool(exchange.socket_kinds)
        endpoints = Endpoints(exchange.feed, settings.exchange_base_url)
        self.rest = RestClient(
            exchange, endpoints.rest(exchange.rest_url), session, rate_limiter, clock
        )
        raw_replies = RawReplies(exchange, self.rest, publisher, clock)
        refresh_s = settings.producer_registry_refresh_s
        self.instruments = InstrumentRefresh(
            exchange, raw_replies, refresh_s, self._on_listed, clock, chance
        )
        self.registry = self.instruments.registry
        polls = mode == "poll"
        self.polling = Polling(
            settings.producer_poll_s if polls else exchange.fallback_s,
            None if polls else exchange.quiet_every_s,
        )
        self.monitor = FeedMonitor(exchange, clock, streams=self._streams)
        self.snapshots = Snapshots(
            exchange,
            raw_replies,
            self.registry,
            self.polling,
            clock,
            polled=self._on_polled,
            unseen=self.monitor.unseen_since_settling,
        )
        self.event_log = event_log or FeedEventLog(exchange.feed, publisher, clock)
        self.frames = FrameHandler(
            exchange, publisher, self.registry, self._on_data, clock, self.monitor.missed
        )
        self.history = history_of(
            exchange,
            self.rest,
            publisher,
            settings,
            self.registry,
            history_throttle,
            cluster_id,
            clock,
            self.snapshots.loaded,
        )
        self.pool = ConnectionPool(
            exchange,
            endpoints,
            self.rest,
            ConnectionCallbacks(self.frames.take, self._on_close, self.monitor.opened),
            clock,
            chance,
            secondary=settings.producer_secondary_sources,
            spares=settings.producer_connections - 1,
        )
        self.monitor.carry(self.pool.taken)
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Run all parts, once; ends when cancelled, and with an error when a part fails."""
        mode, at = self._settings.producer_mode, self._clock.now_us()
        self.event_log.note(
            FeedEvent(AuditKind.STARTED, self.exchange.feed, at, at, detail=f"mode {mode}")
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publisher.serve())
            tasks.create_task(self.instruments.run())
            tasks.create_task(self._look_forever())
            tasks.create_task(
                report_forever(self.event_log, self._publisher, self.status, self._clock)
            )
            try:
                async with asyncio.timeout(INSTRUMENTS_WAIT_S):
                    await self.instruments.known.wait()
            except TimeoutError:
                log.warning("%s: no contract list yet, streaming without it", self.exchange.feed)
            if self._streams:
                self._tasks = tasks
                self._sync(tasks)
                tasks.create_task(self.snapshots.serve())
                compare_s = self._settings.producer_poll_s if mode == "hybrid" else None
                tasks.create_task(self.snapshots.reconcile(compare_s))
            else:
                tasks.create_task(self._poll_when_listed())
            if self._settings.producer_history_days:
                tasks.create_task(self._history_when_listed())

    async def _poll_when_listed(self) -> None:
        await self.instruments.known.wait()
        await self.snapshots.poll()

    async def _history_when_listed(self) -> None:
        await self.instruments.known.wait()
        await self.history.run()

    async def _look_forever(self) -> NoReturn:
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Have the monitor look at everything once."""
        self._handle(self.monitor.silent())
        # Judged by what REST does for those that have just been found silent.
        self._handle(self.monitor.judge(self._surroundings()))

    def _surroundings(self) -> Surroundings:
        now_s, expected = self._clock.monotonic_s(), self.monitor.expected
        return Surroundings(
            self.polling.rest(now_s, expected),
            self.polling.wanted,
            self.rest.clock_ahead_s,
            self._publisher.full_for_s,
            {
                AuditKind.REPEATED: self.frames.repeated,
                AuditKind.THINNED: self.frames.thinned,
                AuditKind.RATE_LIMITED: self.rest.refusals,
            },
        )

    def _handle(self, events: Iterable[MonitorEvent]) -> None:
        """Do what the monitor's reports ask for."""
        for event in events:
            match event:
                case ContractsSilent(contracts, quiet):
                    self.snapshots.want(contracts, quiet)
                case FewSilent():
                    self.instruments.doubt()
                case UnknownContracts(contracts):
                    self.instruments.ask_about(contracts)
                case SettlementsMissed():
                    self.history.missed_an_hour()
                case FeedEvent():
                    self.event_log.note(event)

    def _on_listed(self, change: Change) -> None:
        if change.listed or change.delisted:
            came, went = len(change.listed), len(change.delisted)
            log.info("%s: %d contracts came, %d went", self.exchange.feed, came, went)
        self._handle(self.monitor.listed(change, self.registry.streaming))
        self.frames.keep(self.registry.subscribed)
        if self._tasks is not None:
            self._sync(self._tasks)

    def _sync(self, tasks: asyncio.TaskGroup) -> None:
        """Have the sockets bring the contracts that are listed now."""
        self.pool.sync(tasks, self.registry.subscribed, self.registry.streaming)

    def list_contradicted(self) -> None:
        """Have the list asked for again: workers see that the stream contradicts it."""
        self.instruments.contradicted()

    def _on_data(
        self, identity: str, symbols: list[str], event_us: int | None, received_at: int
    ) -> None:
        ahead_s, filled = self.rest.clock_ahead_s, self.snapshots.filled
        events = self.monitor.data(identity, symbols, event_us, received_at, ahead_s, filled)
        self._handle(events)

    def _on_polled(self, rates: Mapping[str, bytes], received_at: int) -> None:
        """Note what REST brought; of a feed without a stream it is the feed's data."""
        if unpushed := self.monitor.shown(rates):
            self.pool.ask_again(unpushed)
        if self.monitor.source == "rest":
            self._on_data(f"{self.exchange.feed}/rest", list(rates), None, received_at)

    def _on_close(self, closed: Closed) -> None:
        self._publisher.forget(closed.connection_id)
        self.frames.closed(closed.connection_id)
        self._handle(self.monitor.closed(closed))
        self.look()

    def status(self) -> FeedStatus:
        """Return the feed's status now."""
        monitor, frames, updates = self.monitor, self.frames.data, self.frames.updates
        quiet = len(self.polling.quiet)
        by_rest = len(self.polling.wanted) - quiet
        if monitor.source == "rest":
            # Its replies are the feed's frames, and REST stands in for nothing.
            frames, updates, by_rest = self.snapshots.polls, self.snapshots.rates, 0
        return {
            "feed": self.exchange.feed,
            "state": monitor.state,
            "transport": transport(monitor.state, monitor.source),
            "since": monitor.since_us,
            "reported_at": self._clock.now_us(),
            "last_data_at": monitor.last_data_at,
            "contracts_expected": monitor.expected,
            "contracts_live": monitor.live,
            "connections": self.pool.open,
            "connects": self.pool.connects,
            "frames": frames,
            "updates": updates,
            "rest_calls": self.rest.calls,
            "backfill_done": self.history.complete,
            "detail": monitor.detail,
            "mode": self._settings.producer_mode,
            "contracts_by_rest": by_rest,
            "connect_attempts": self.pool.attempts,
            "rest_failures": self.rest.failures,
            "repeated": self.frames.repeated,
            "simulated": bool(self._settings.exchange_base_url),
            "limit_used": self.rest.limit_used,
            "contracts_quiet": quiet,
        }

    @property
    def unreadable(self) -> int:
        """Messages, and rows of messages, that could not be read."""
        return self._publisher.unreadable

    @property
    def oversized(self) -> int:
        """Pieces too long for a record."""
        return self._publisher.oversized

    @property
    def rest_barred_s(self) -> float:
        """Seconds for which the exchange still refuses REST calls."""
        return max(0.0, self.rest.barred_until_s - self._clock.monotonic_s())

    def data_age_s(self) -> float | None:
        """Return the age of the newest data frame; None: there was none."""
        if self.monitor.last_data_at is None:
            return None
        return (self._clock.now_us() - self.monitor.last_data_at) / US_PER_S
