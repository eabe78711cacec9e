"""One running feed: registry, sockets, snapshot after a reconnect, history, status.

Not responsible for: how any of these works (contracts.py, connection.py, rest.py, history.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from producers.backoff import Backoff
from producers.budget import Budget
from producers.connection import Heard, Watcher
from producers.contracts import ContractRegistry
from producers.exchanges.description import Exchange, RestCall, Slice, unreadable
from producers.history import Bookmark, History
from producers.liveness import Liveness
from producers.pacing import Pacer
from producers.places import Place
from producers.publisher import Publisher, connection_id
from producers.rest import RestClient, RestError
from producers.settings import ProducerSettings
from producers.sockets import Sockets
from producers.symbol_history import SymbolHistory
from schemas.errors import MalformedInputError
from schemas.feeds import stale_s
from schemas.markers import MAX_UNREADABLE_BYTES, UNREADABLE
from schemas.records import FeedState, FeedStatus, Purpose
from schemas.times import US_PER_S, now_us

log = logging.getLogger(__name__)

FACTS_WAIT_S = 15.0
"""The stream waits this long for the contracts' facts, and no longer: never blind."""
FACTS_RETRY_S = 5.0
FACTS_AGAIN_S = 86_400.0
"""The raw log is kept for 7 days; a replay of what is left of it needs the contracts' facts."""
MAX_ASKED_ABOUT = 10_000
STATUS_EVERY_S = 5.0
STATUS_CHECK_S = 0.5


class Feed:
    """Runs one exchange until cancelled."""

    def __init__(
        self,
        exchange: Exchange,
        settings: ProducerSettings,
        publisher: Publisher,
        session: aiohttp.ClientSession,
        budget: Budget,
        history_pacer: Pacer,
        cluster_id: str,
    ) -> None:
        """`budget` may be shared with other feeds of the exchange's limits group, the pacer is."""
        self.exchange = exchange
        self._settings = settings
        self._publisher = publisher
        place = Place(exchange.feed, settings.exchange_base_url)
        self.rest = RestClient(exchange, place.rest(exchange.rest_url), session, budget)
        self.registry = ContractRegistry(exchange.fact_identity)
        self.liveness = Liveness(stale_s(exchange.feed))
        by_symbol = exchange.true_up_calls_per_hour is not None
        self.history = (SymbolHistory if by_symbol else History)(
            exchange,
            self.rest,
            publisher,
            Bookmark(Path(settings.producer_data_dir) / f"{exchange.feed}.json", cluster_id),
            settings.producer_history_days,
            # Asked for one by one, contracts that no longer trade are not worth their calls.
            lambda: sorted(self.registry.streaming if by_symbol else self.registry.listed),
            history_pacer,
        )
        self.sockets = Sockets(
            exchange,
            place,
            self.rest,
            Watcher(self._on_frame, self._on_open, self._on_close),
            Watcher(self._on_frame, _ignore_open, self._on_secondary_close)
            if settings.producer_secondary_sources
            else None,
        )
        self._tasks: asyncio.TaskGroup | None = None
        self.ignored = 0
        self.frames = 0
        self._asked_about: set[str] = set()
        self.updates = 0
        self._rest_id = connection_id(exchange.feed, "rest")
        self._facts_known = asyncio.Event()
        self._refresh_wanted = asyncio.Event()
        self._snapshot_wanted = asyncio.Event()
        self._state: FeedState = "connecting"
        self._since = now_us()
        self._last_data_at: int | None = None
        self._detail = "starting"

    async def run(self) -> None:
        """Run all parts; ends when cancelled or when Kafka refuses a record for good."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publisher.serve())
            tasks.create_task(self._registry_forever())
            tasks.create_task(self._snapshots())
            tasks.create_task(self._status_forever())
            try:
                async with asyncio.timeout(FACTS_WAIT_S):
                    await self._facts_known.wait()
            except TimeoutError:
                log.warning("%s: no contract list yet, streaming without it", self.exchange.feed)
            self._tasks = tasks
            self.sockets.sync(tasks, self.registry.streaming)
            if self.exchange.snapshot_at_start:
                self._snapshot_wanted.set()
            if self._settings.producer_history_days:
                tasks.create_task(self._history_when_listed())

    async def _history_when_listed(self) -> None:
        await self._facts_known.wait()
        await self.history.run()

    async def _registry_forever(self) -> None:
        retries = Backoff(random.random, FACTS_RETRY_S, self._settings.producer_registry_refresh_s)
        published_s = time.monotonic()
        while True:
            if time.monotonic() - published_s > FACTS_AGAIN_S:
                published_s = time.monotonic()
                self.registry.forget_published()
            if await self._refresh():
                retries = Backoff(random.random, FACTS_RETRY_S, retries.cap_s)
                wait_s = self._settings.producer_registry_refresh_s
            else:
                wait_s = FACTS_RETRY_S + retries.failed()
            try:
                async with asyncio.timeout(wait_s):
                    await self._refresh_wanted.wait()
                # Several unknown symbols at once ask for one refresh, not for many.
                await asyncio.sleep(FACTS_RETRY_S)
            except TimeoutError:
                pass
            self._refresh_wanted.clear()

    async def _refresh(self) -> bool:
        """Fetch the contracts' facts and publish what changed; True if all calls succeeded."""
        complete = True
        for call in self.exchange.fact_calls:
            reply = await self._fetch(call)
            if reply is None:
                complete = False
                continue
            slices, received_at = reply
            odd = unreadable(slices)
            change = self.registry.update(
                call.resource, slices, self.exchange.listings(call, slices), partial=bool(odd)
            )
            await self._publish_rest(call, "contract", [*change.facts, *odd], received_at)
            if change.listed or change.delisted:
                log.info(
                    "%s: %d contracts came, %d went",
                    self.exchange.feed,
                    len(change.listed),
                    len(change.delisted),
                )
        if self.registry.listed:
            # Without the other facts an interval is assumed, and flagged; the stream goes on.
            self.liveness.expect(self.registry.streaming)
            self._facts_known.set()
            if self._tasks is not None:
                self.sockets.sync(self._tasks, self.registry.streaming)
        return complete

    async def _fetch(self, call: RestCall) -> tuple[Sequence[Slice], int] | None:
        """Return a reply's pieces and its time of receipt; None if there is no usable reply."""
        try:
            body = await self.rest.fetch(call)
        except RestError as error:
            log.warning("%s: %s", self.exchange.feed, error)
            return None
        received_at = now_us()
        try:
            slices = self.exchange.slice_reply(call, body)
        except MalformedInputError as error:
            log.warning("%s: unreadable %s: %s", self.exchange.feed, call.resource, error)
            await self._publish_unreadable(body, self._rest_id, received_at)
            return None
        self._tell_unreadable(call.resource, slices)
        return slices, received_at

    async def _publish_rest(
        self, call: RestCall, purpose: Purpose, slices: Sequence[Slice], received_at: int
    ) -> None:
        await self._publisher.publish(
            slices,
            transport="rest",
            purpose=purpose,
            channel=call.resource,
            connection_id=self._rest_id,
            received_at=received_at,
        )

    async def _publish_unreadable(self, message: bytes, identity: str, received_at: int) -> None:
        await self._publisher.publish(
            (Slice(None, message[:MAX_UNREADABLE_BYTES]),),
            transport="rest" if identity == self._rest_id else "ws",
            purpose="stream",
            channel=UNREADABLE,
            connection_id=identity,
            received_at=received_at,
        )

    async def _on_frame(self, identity: str, message: bytes, received_at: int) -> Heard:
        try:
            frame = self.exchange.slice_frame(message)
        except MalformedInputError as error:
            log.warning("%s: unreadable frame: %s", self.exchange.feed, error)
            await self._publish_unreadable(message, identity, received_at)
            return Heard(data=False)
        if frame.control is not None:
            level = logging.WARNING if frame.control.refused else logging.DEBUG
            log.log(level, "%s: control frame %r", self.exchange.feed, message[:200])
            return Heard(data=False, control=frame.control)
        if not frame.published:
            self.ignored += 1
            return Heard(data=True)
        odd = self._tell_unreadable(frame.channel, frame.slices)
        self.frames += 1
        self.updates += len(frame.slices) - odd
        self._last_data_at = received_at
        unknown = self.liveness.data(
            (s.symbol for s in frame.slices if s.readable), time.monotonic()
        )
        await self._publisher.publish(
            frame.slices,
            transport="ws",
            purpose="stream",
            channel=frame.channel,
            connection_id=identity,
            received_at=received_at,
        )
        if unknown and self._facts_known.is_set():
            self._ask_about(unknown)
        return Heard(data=bool(frame.slices))

    def _tell_unreadable(self, channel: str, slices: Sequence[Slice]) -> int:
        """Log the rows of a message that are to go to the dead letters, and count them."""
        odd = unreadable(slices)
        if odd:
            feed, first = self.exchange.feed, odd[0].payload[:200]
            log.warning("%s: %d unreadable rows in %s: %r", feed, len(odd), channel, first)
        return len(odd)

    def _ask_about(self, symbols: Sequence[str]) -> None:
        """Have the registry refreshed for symbols that it does not list; once for each symbol."""
        new = set(symbols) - self._asked_about - self.registry.listed
        if new:
            if len(self._asked_about) > MAX_ASKED_ABOUT:
                self._asked_about.clear()
            self._asked_about |= new
            self._refresh_wanted.set()

    def _on_open(self, reconnected: bool) -> None:  # noqa: FBT001
        if reconnected:
            self._snapshot_wanted.set()
            last, hour_us = self._last_data_at, 3_600 * US_PER_S
            if last is not None and last // hour_us < now_us() // hour_us:
                self.history.missed_an_hour()

    def _on_close(self, identity: str, reason: str) -> None:
        self._publisher.forget(identity)
        self._detail = reason

    def _on_secondary_close(self, identity: str, _reason: str) -> None:
        """The second source explains nothing about the feed's state."""
        self._publisher.forget(identity)

    async def _snapshots(self) -> None:
        """After each reconnect fetch the current rates once, to close the gap."""
        while True:
            await self._snapshot_wanted.wait()
            self._snapshot_wanted.clear()
            for call in self.exchange.snapshot_calls(sorted(self.registry.streaming)):
                reply = await self._fetch(call)
                if reply is not None:
                    slices, received_at = reply
                    # Delisted contracts stay in the reply, frozen (exchanges.md §1.8).
                    current = [piece for piece in slices if self.registry.streams(piece.symbol)]
                    await self._publish_rest(call, "fallback", current, received_at)

    def _current_state(self) -> FeedState:
        silent_s = self.liveness.silent_for_s(time.monotonic())
        if silent_s is not None and silent_s <= self.exchange.silent_s:
            return "live"
        if self.sockets.open:
            return "connecting" if silent_s is None else "stalled"
        return "connecting" if silent_s is None else "down"

    async def _status_forever(self) -> None:
        """Publish the status on each transition, and every STATUS_EVERY_S."""
        reported_s = float("-inf")
        while True:
            state = self._current_state()
            if state != self._state:
                log.info("%s: %s -> %s", self.exchange.feed, self._state, state)
                self._state, self._since = state, now_us()
                reported_s = float("-inf")
            if time.monotonic() - reported_s >= STATUS_EVERY_S:
                reported_s = time.monotonic()
                await self._publisher.publish_status(self.status())
            await asyncio.sleep(STATUS_CHECK_S)

    def status(self) -> FeedStatus:
        """Return the feed's status now."""
        return {
            "feed": self.exchange.feed,
            "state": self._state,
            "transport": "ws" if self._state == "live" else None,
            "since": self._since,
            "reported_at": now_us(),
            "last_data_at": self._last_data_at,
            "contracts_expected": self.liveness.expected,
            "contracts_live": self.liveness.live(time.monotonic()),
            "connections": self.sockets.open,
            "connects": self.sockets.connects,
            "frames": self.frames,
            "updates": self.updates,
            "rest_calls": self.rest.calls,
            "backfill_done": self.history.complete,
            "detail": "" if self._state == "live" else self._detail,
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
        if self._last_data_at is None:
            return None
        return (now_us() - self._last_data_at) / US_PER_S


def _ignore_open(_reconnected: bool) -> None:  # noqa: FBT001 - the callback's form
    """A second source leaves no gap that a snapshot would have to close."""
