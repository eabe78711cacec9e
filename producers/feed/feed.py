"""One running feed: registry, sockets, REST beside them, history, status.

Not responsible for: how any of these works (facts.py, connection.py, snapshots.py, history.py), who
owns a contract (watch.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence

import aiohttp

from producers.exchanges.spec import Exchange, Slice
from producers.feed.monitor import CHECK_S, FeedMonitor
from producers.kafka.event_log import FeedEventLog
from producers.kafka.publisher import Publisher
from producers.policy.endpoints import Endpoints
from producers.policy.instruments import Change
from producers.policy.ownership import transport
from producers.policy.rate_limiter import RateLimiter
from producers.policy.throttle import Throttle
from producers.rest.client import RestClient
from producers.rest.instruments import InstrumentRefresh
from producers.rest.raw_replies import RawReplies, tell_unreadable
from producers.rest.snapshots import Snapshots
from producers.rest.symbol_history import history_of
from producers.settings import ProducerSettings
from producers.websocket.connection import Closed, ConnectionCallbacks
from producers.websocket.pool import ConnectionPool
from producers.websocket.session import FrameOutcome
from schemas.clock import SystemClock, now_us
from schemas.control_items import MAX_UNREADABLE_BYTES, TICK_S, UNREADABLE, FeedEvent
from schemas.errors import MalformedInputError
from schemas.records import FeedStatus
from schemas.times import US_PER_S

log = logging.getLogger(__name__)

FACTS_WAIT_S = 15.0
"""The stream waits this long for the contracts' facts, and no longer: never blind."""

SURPLUS_TOLD_EVERY_S = 3_600.0


class Feed:
    """Runs one exchange until cancelled."""

    def __init__(
        self,
        exchange: Exchange,
        settings: ProducerSettings,
        publisher: Publisher,
        session: aiohttp.ClientSession,
        rate_limiter: RateLimiter,
        history_pacer: Throttle,
        cluster_id: str,
        event_log: FeedEventLog | None = None,
    ) -> None:
        """`budget` may be shared with other feeds of the exchange's limits group, the pacer is.

        `journal`: that of an earlier run, with what it has not told yet.
        """
        self.exchange = exchange
        self._settings = settings
        self._publisher = publisher
        self._streams = settings.producer_mode != "poll"
        endpoints = Endpoints(exchange.feed, settings.exchange_base_url)
        self.rest = RestClient(exchange, endpoints.rest(exchange.rest_url), session, rate_limiter)
        raw_replies = RawReplies(exchange, self.rest, publisher)
        self.facts = InstrumentRefresh(
            exchange, raw_replies, settings.producer_registry_refresh_s, self._on_listed
        )
        self.registry = self.facts.registry
        period_s = exchange.fallback_s if self._streams else settings.producer_poll_s
        self.snapshots = Snapshots(exchange, raw_replies, self.registry, period_s)
        self.event_log = event_log or FeedEventLog(exchange.feed, publisher)
        self.monitor = FeedMonitor(
            exchange,
            self.rest,
            self.snapshots,
            self.event_log,
            streams=self._streams,
            kafka_full_s=lambda: publisher.full_for_s,
            doubt=self.facts.doubt,
        )
        self.history = history_of(
            exchange, self.rest, publisher, settings, self.registry, history_pacer, cluster_id
        )
        self.pool = ConnectionPool(
            exchange,
            endpoints,
            self.rest,
            ConnectionCallbacks(self._on_frame, self._on_close),
            SystemClock(),
            random.random,
            secondary=settings.producer_secondary_sources,
            spares=settings.producer_connections - 1,
        )
        self._tasks: asyncio.TaskGroup | None = None
        self._surplus_told_s = float("-inf")
        self.ignored = 0
        self.frames = 0
        self.updates = 0

    async def run(self) -> None:
        """Run all parts, once; ends when cancelled, and with an error when a part fails."""
        mode, poll_s = self._settings.producer_mode, self._settings.producer_poll_s
        at = now_us()
        self.event_log.note(FeedEvent("started", self.exchange.feed, at, at, detail=f"mode {mode}"))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publisher.serve())
            tasks.create_task(self.facts.run())
            tasks.create_task(self._watch_forever())
            tasks.create_task(self._report_forever())
            try:
                async with asyncio.timeout(FACTS_WAIT_S):
                    await self.facts.known.wait()
            except TimeoutError:
                log.warning("%s: no contract list yet, streaming without it", self.exchange.feed)
            if self._streams:
                self._tasks = tasks
                self.pool.sync(tasks, self.registry.streaming)
                tasks.create_task(self.snapshots.serve())
                tasks.create_task(self.snapshots.reconcile(poll_s if mode == "hybrid" else None))
            else:
                tasks.create_task(self._poll_when_listed())
            if self._settings.producer_history_days:
                tasks.create_task(self._history_when_listed())

    async def _poll_when_listed(self) -> None:
        await self.facts.known.wait()
        await self.snapshots.poll()

    async def _history_when_listed(self) -> None:
        await self.facts.known.wait()
        await self.history.run()

    def _on_listed(self, change: Change) -> None:
        if change.listed or change.delisted:
            came, went = len(change.listed), len(change.delisted)
            log.info("%s: %d contracts came, %d went", self.exchange.feed, came, went)
        self._tell_surplus(change)
        self.monitor.listed(change, self.registry.streaming)
        if self._tasks is not None:
            self.pool.sync(self._tasks, self.registry.streaming)

    def _tell_surplus(self, change: Change) -> None:
        """Tell once an hour that the exchange lists more contracts than a feed may have."""
        now_s = time.monotonic()
        if change.surplus and now_s - self._surplus_told_s >= SURPLUS_TOLD_EVERY_S:
            self._surplus_told_s = now_s
            at, feed = now_us(), self.exchange.feed
            detail = f"the exchange lists {change.surplus} contracts beyond the limit of the feed"
            self.event_log.note(FeedEvent("contract_cap", feed, at, at, change.surplus, detail))

    async def _on_frame(self, identity: str, message: bytes, received_at: int) -> FrameOutcome:
        try:
            frame = self.exchange.slice_frame(message)
        except MalformedInputError as error:
            log.warning("%s: unreadable frame: %s", self.exchange.feed, error)
            whole = (Slice(None, message[:MAX_UNREADABLE_BYTES]),)
            await self._publish(whole, UNREADABLE, identity, received_at)
            return FrameOutcome(data=False)
        if frame.control is not None:
            level = logging.WARNING if frame.control.refused else logging.DEBUG
            log.log(level, "%s: control frame %r", self.exchange.feed, message[:200])
            return FrameOutcome(data=False, control=frame.control)
        if not frame.published:
            self.ignored += 1
            return FrameOutcome(data=True)
        odd = tell_unreadable(self.exchange.feed, frame.channel, frame.slices)
        self.frames += 1
        self.updates += len(frame.slices) - odd
        symbols = [s.symbol for s in frame.slices if s.readable and s.symbol is not None]
        unknown, missed_an_hour = self.monitor.outcome(
            identity, symbols, frame.event_us, received_at
        )
        fresh = self.monitor.dedup.fresh(identity, frame.slices, time.monotonic())
        await self._publish(fresh, frame.channel, identity, received_at)
        if unknown:
            self.facts.ask_about(unknown)
            if listed := self.registry.listed:
                # What the exchange makes up is nothing that a connection delivers.
                symbols = [symbol for symbol in symbols if symbol in listed]
        if missed_an_hour:
            self.history.missed_an_hour()
        return FrameOutcome(data=bool(frame.slices), symbols=symbols)

    async def _publish(
        self, slices: Sequence[Slice], channel: str, identity: str, received_at: int
    ) -> None:
        await self._publisher.publish(
            slices,
            transport="ws",
            purpose="stream",
            channel=channel,
            connection_id=identity,
            received_at=received_at,
        )

    def _on_close(self, closed: Closed) -> None:
        self._publisher.forget(closed.connection_id)
        self.monitor.closed(closed)

    async def _watch_forever(self) -> None:
        while True:
            self.monitor.step()
            await asyncio.sleep(CHECK_S)

    async def _report_forever(self) -> None:
        """Publish what was noted and the status on each transition and at intervals, and the time.

        Apart from the watch, which must not wait for Kafka.
        """
        due_s = time.monotonic()
        while True:
            await self.event_log.publish()
            await self._publisher.publish_status(self.status())
            if time.monotonic() >= due_s:
                await self._publisher.tick(self.event_log.identity, now_us())
                due_s += TICK_S * (1 + (time.monotonic() - due_s) // TICK_S)
            try:
                async with asyncio.timeout(due_s - time.monotonic()):
                    await self.event_log.news.wait()
            except TimeoutError:
                pass

    def status(self) -> FeedStatus:
        """Return the feed's status now."""
        monitor, liveness = self.monitor, self.monitor.liveness
        return {
            "feed": self.exchange.feed,
            "state": monitor.state,
            "transport": transport(monitor.state),
            "since": monitor.since,
            "reported_at": now_us(),
            "last_data_at": monitor.last_data_at,
            "contracts_expected": liveness.expected,
            "contracts_live": liveness.live(time.monotonic()),
            "connections": self.pool.open,
            "connects": self.pool.connects,
            "frames": self.frames,
            "updates": self.updates,
            "rest_calls": self.rest.calls,
            "backfill_done": self.history.complete,
            "detail": monitor.detail,
            "mode": self._settings.producer_mode,
            "contracts_by_rest": len(self.snapshots.polling.wanted),
            "connect_attempts": self.pool.attempts,
            "rest_failures": self.rest.failures,
            "repeated": monitor.dedup.total,
        }

    @property
    def unreadable(self) -> int:
        """Messages, and rows of messages, that could not be read."""
        return self._publisher.unreadable

    @property
    def oversized(self) -> int:
        """Pieces too long for a record."""
        return self._publisher.oversized

    def data_age_s(self) -> float | None:
        """Return the age of the newest data frame."""
        if self.monitor.last_data_at is None:
            return None
        return (now_us() - self.monitor.last_data_at) / US_PER_S
