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
from producers.connection import ManagedConnection
from producers.contracts import ContractRegistry
from producers.exchanges.description import Exchange, RestCall, Slice
from producers.history import Bookmark, History
from producers.liveness import Liveness
from producers.publisher import Publisher, connection_id
from producers.rest import RestClient, RestError
from producers.settings import ProducerSettings
from schemas.errors import MalformedInputError
from schemas.feeds import stale_s
from schemas.markers import MAX_UNREADABLE_BYTES, UNREADABLE
from schemas.records import FeedState, FeedStatus, Purpose
from schemas.times import US_PER_S, now_us

log = logging.getLogger(__name__)

HISTORY_SHARE = 0.5
"""Share of the exchange's limits that we use: others may share our address."""
FACTS_WAIT_S = 15.0
"""The stream waits this long for the contracts' facts, and no longer: never blind."""
FACTS_RETRY_S = 5.0
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
        cluster_id: str,
    ) -> None:
        self.exchange = exchange
        self._settings = settings
        self._publisher = publisher
        root = settings.exchange_base_url.rstrip("/")
        rest_url = f"{root}/{exchange.feed}" if root else exchange.rest_url
        self._ws_url = f"ws{root[4:]}/{exchange.feed}" if root else exchange.ws_url
        self.rest = RestClient(exchange, rest_url, session, Budget(exchange.limits, HISTORY_SHARE))
        self.registry = ContractRegistry()
        self.liveness = Liveness(stale_s(exchange.feed))
        self.history = History(
            exchange,
            self.rest,
            publisher,
            Bookmark(Path(settings.producer_data_dir) / f"{exchange.feed}.json", cluster_id),
            settings.producer_history_days,
            lambda: sorted(self.registry.listed),
        )
        self.connections: list[ManagedConnection] = []
        self.frames = 0
        self.unreadable = 0
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
            self._open_sockets(tasks)
            if self._settings.producer_history_days:
                tasks.create_task(self._history_when_listed())

    def _open_sockets(self, tasks: asyncio.TaskGroup) -> None:
        for plan in self.exchange.sockets(sorted(self.registry.streaming)):
            connection = ManagedConnection(
                self.exchange.feed,
                plan,
                self._ws_url + plan.path,
                self.exchange.silent_s,
                self.exchange.max_age_s,
                self._on_frame,
                self._on_open,
                self._on_close,
            )
            self.connections.append(connection)
            tasks.create_task(connection.run())

    async def _history_when_listed(self) -> None:
        await self._facts_known.wait()
        await self.history.run()

    async def _registry_forever(self) -> None:
        retries = Backoff(random.random, FACTS_RETRY_S, self._settings.producer_registry_refresh_s)
        while True:
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
            change = self.registry.update(
                call.resource, slices, self.exchange.listings(call, slices)
            )
            await self._publish_rest(call, "contract", change.facts, received_at)
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
        return complete

    async def _fetch(self, call: RestCall) -> tuple[Sequence[Slice], int] | None:
        """Return a reply's pieces and its time of receipt; None if there is no usable reply."""
        try:
            body = await self.rest.get(call)
        except RestError as error:
            log.warning("%s: %s", self.exchange.feed, error)
            return None
        received_at = now_us()
        try:
            return self.exchange.slice_reply(call, body), received_at
        except MalformedInputError as error:
            log.warning("%s: unreadable %s: %s", self.exchange.feed, call.resource, error)
            await self._publish_unreadable(body, self._rest_id, received_at)
            return None

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
        self.unreadable += 1
        await self._publisher.publish(
            (Slice(None, message[:MAX_UNREADABLE_BYTES]),),
            transport="rest" if identity == self._rest_id else "ws",
            purpose="stream",
            channel=UNREADABLE,
            connection_id=identity,
            received_at=received_at,
        )

    async def _on_frame(self, identity: str, message: bytes, received_at: int) -> bool:
        try:
            frame = self.exchange.slice_frame(message)
        except MalformedInputError as error:
            log.warning("%s: unreadable frame: %s", self.exchange.feed, error)
            await self._publish_unreadable(message, identity, received_at)
            return False
        if frame.control:
            log.info("%s: control frame %r", self.exchange.feed, message[:200])
            return False
        self.frames += 1
        self.updates += len(frame.slices)
        self._last_data_at = received_at
        unknown = self.liveness.data((s.symbol for s in frame.slices), time.monotonic())
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
        return bool(frame.slices)

    def _ask_about(self, symbols: Sequence[str]) -> None:
        """Have the registry refreshed for symbols that it does not list; once for each symbol."""
        new = set(symbols) - self._asked_about - self.registry.listed
        if new:
            self._asked_about |= new
            self._refresh_wanted.set()

    def _on_open(self, reconnected: bool) -> None:  # noqa: FBT001
        if reconnected:
            self._snapshot_wanted.set()

    def _on_close(self, reason: str) -> None:
        self._detail = reason

    async def _snapshots(self) -> None:
        """After each reconnect fetch the current rates once, to close the gap."""
        while True:
            await self._snapshot_wanted.wait()
            self._snapshot_wanted.clear()
            for call in self.exchange.snapshot_calls:
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
        if any(connection.is_open for connection in self.connections):
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
        open_sockets = sum(connection.is_open for connection in self.connections)
        return {
            "feed": self.exchange.feed,
            "state": self._state,
            "transport": "ws" if self._state == "live" else None,
            "since": self._since,
            "reported_at": now_us(),
            "last_data_at": self._last_data_at,
            "contracts_expected": self.liveness.expected,
            "contracts_live": self.liveness.live(time.monotonic()),
            "connections": open_sockets,
            "connects": sum(connection.connects for connection in self.connections),
            "frames": self.frames,
            "updates": self.updates,
            "rest_calls": self.rest.calls,
            "backfill_done": (len(self.registry.listed) if self.history.progress >= 1.0 else 0),
            "detail": "" if self._state == "live" else self._detail,
        }

    def data_age_s(self) -> float | None:
        """Return the age of the newest data frame."""
        if self._last_data_at is None:
            return None
        return (now_us() - self._last_data_at) / US_PER_S
