"""Keeps one WebSocket of a feed up: connects, reconnects with backoff, relieves it before its age.

Whatever goes wrong while connecting is a failed attempt: an exchange's odd reply must not end the
feeds. A connection that grows old is relieved by a new one that delivers before the old one ends
(make before break). Not responsible for: an open connection (session.py), which contracts it
carries (sockets.py), what follows from an outage (feed.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from producers.exchanges.spec import SocketKind
from producers.kafka.publisher import connection_id
from producers.policy.backoff import Backoff
from producers.policy.quarantine import Quarantine
from producers.policy.throttle import Throttle
from producers.rest.client import RestError
from producers.websocket.session import (
    RELIEF_SHARE,
    ConnectionContext,
    OnFrame,
    Session,
    SessionEnd,
    turn,
)
from producers.websocket.transport import TransportError, opened
from schemas.clock import now_us
from schemas.config.settings import shown_url
from schemas.errors import MalformedInputError

log = logging.getLogger(__name__)

RELIEF_TIMEOUT_S = 120.0
"""A successor that does not bring what its predecessor brings within this is given up."""
PARTIAL_S = 120.0
"""A socket that brings only a part of its contracts for so long is relieved."""
PARTIAL_AGAIN_S = 1_800.0
PARTIAL_CHECK_S = 10.0

Address = Callable[[int], Awaitable[str]]
"""The URL of the n-th candidate, asked for before each attempt. Raises RestError or
MalformedInputError."""


class Closed(NamedTuple):
    """A connection that has ended."""

    socket: str
    identity: str
    reason: str
    last_data_at: int | None
    """Receipt of its newest data, µs; None: it brought none."""
    relieved: bool


class ConnectionCallbacks(NamedTuple):
    """Whom a connection tells what."""

    on_frame: OnFrame
    on_close: Callable[[Closed], None]


class ManagedConnection:
    """Keeps one socket of a feed up until cancelled."""

    def __init__(
        self,
        feed: str,
        name: str,
        kind: SocketKind,
        address: Address,
        watcher: ConnectionCallbacks,
        *,
        opening: Iterable[str] = (),
        frames: Throttle | None = None,
        attempts: Throttle | None = None,
        relief: asyncio.Lock | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`opening` is sent first; `frames`, `attempts` and `relief` are the feed's.

        `relief`: one socket is relieved at a time, since exchanges limit what an address may have.
        `tls` is for wss; without it the system's authorities are trusted.
        """
        self._feed, self.name = feed, name
        self._kind = kind
        self._address = address
        self._watcher = watcher
        self._attempts_pacer = attempts
        self._tls = tls
        self._backoff = Backoff(random.random)
        self._candidate = 0
        self._relief = relief or asyncio.Lock()
        self._relief_s = float("-inf")
        """When a successor was last begun."""
        self._needed = asyncio.Event()
        self._sessions: set[Session] = set()
        self.quarantine = Quarantine()
        self.wanted: frozenset[str] = frozenset()
        self.attempts = 0
        self.connects = 0
        self._line = ConnectionContext(
            f"{feed}/{name}",
            kind,
            watcher.on_frame,
            self.quarantine,
            tuple(opening),
            frames,
            lambda: self.wanted,
        )

    @property
    def open(self) -> int:
        """Open connections: one, two while one relieves the other."""
        return len(self._sessions)

    def want(self, symbols: frozenset[str]) -> None:
        """Set the contracts to subscribe; an open socket takes up what is new, drops the rest."""
        if symbols != self.wanted:
            self.wanted = symbols
            self._needed.set()
            for session in self._sessions:
                session.changed.set()

    async def run(self) -> None:
        """Connect and reconnect until cancelled."""
        while True:
            await self._until_needed()
            end = await self._serve()
            delay_s = self._backoff.failed(end.healthy_s)
            log.warning("%s: %s; next attempt in %.1f s", self._line.name, end.reason, delay_s)
            await asyncio.sleep(delay_s)

    async def _until_needed(self) -> None:
        while self._kind.capacity is not None and not self.wanted:
            self._needed.clear()
            await self._needed.wait()

    async def _serve(self) -> SessionEnd:
        """Run a connection and those that relieve it, until one ends with none to take over."""
        session = Session(self._line)
        current = asyncio.create_task(self._attempt(session))
        running = {current}
        try:
            while True:
                await self._until_relief(current, session)
                if current.done():
                    return current.result()
                async with self._relief:
                    if current.done():
                        return current.result()
                    age_s = time.monotonic() - session.opened_s
                    self._relief_s = time.monotonic()
                    successor = Session(self._line, session.delivering(time.monotonic()))
                    relief = asyncio.create_task(self._attempt(successor))
                    running.add(relief)
                    await self._handover(current, relief, session, successor)
                if current.done():
                    current.result()
                elif relief.done():
                    end = relief.result()
                    delay_s = self._backoff.failed(end.healthy_s)
                    log.warning("%s: no relief yet: %s", self._line.name, end.reason)
                    running.discard(relief)
                    await asyncio.wait({current}, timeout=delay_s)
                    continue
                log.info("%s: relieved after %.0f s", self._line.name, age_s)
                self._backoff.healthy(session.healthy_s)
                session.relieve()
                session, current = successor, relief
                running = {task for task in running if not task.done()}
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _until_relief(self, current: asyncio.Task[SessionEnd], session: Session) -> None:
        """Wait until a connection is old, or has brought a part of its contracts for long, or ends.

        Exchanges lose subscriptions (exchanges.md §4.13): a new connection subscribes all.
        """
        partial_since_s: float | None = None
        while True:
            now_s = time.monotonic()
            wanted = len(self.wanted) if self._kind.capacity is not None else 0
            if session.delivering(now_s) >= wanted * RELIEF_SHARE:
                partial_since_s = None
            elif partial_since_s is None:
                partial_since_s = now_s
            due_s = session.opened_s + self._kind.max_age_s
            if partial_since_s is not None:
                patience_s = max(PARTIAL_S, self._kind.silent_s)
                again_s = self._relief_s + PARTIAL_AGAIN_S
                due_s = min(due_s, max(partial_since_s + patience_s, again_s))
            if due_s <= now_s:
                return
            await asyncio.wait({current}, timeout=min(due_s - now_s, PARTIAL_CHECK_S))
            if current.done():
                return

    async def _handover(
        self,
        current: asyncio.Task[SessionEnd],
        relief: asyncio.Task[SessionEnd],
        session: Session,
        successor: Session,
    ) -> None:
        """Wait until the successor brings all, or one of the two has ended.

        A successor that brings less than the session is ended.
        """
        ready = asyncio.create_task(successor.ready.wait())
        try:
            await asyncio.wait(
                {current, relief, ready},
                timeout=RELIEF_TIMEOUT_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            ready.cancel()
        if current.done() or relief.done() or successor.ready.is_set():
            return
        now_s = time.monotonic()
        brought = successor.delivering(now_s)
        if not brought or brought < session.delivering(now_s) * RELIEF_SHARE:
            successor.give_up()
            await asyncio.wait({relief})

    async def _attempt(self, session: Session) -> SessionEnd:
        """Run one connection from its address to its end."""
        await turn(self._attempts_pacer)
        self.attempts += 1
        try:
            url = await self._address(self._candidate)
        except (RestError, MalformedInputError) as error:
            return SessionEnd(f"no address: {error}")
        end = SessionEnd("stopped")
        try:
            async with opened(url, self._tls) as transport:
                self._opened(session, url)
                end = await session.run(transport, connection_id(self._feed, self.name, now_us()))
                # Before the farewell, for which a dead socket makes us wait.
                self._closed(session, end)
        except TransportError as error:
            end = SessionEnd(str(error))
        finally:
            self._closed(session, end)
        if not session.delivers:
            self._candidate += 1
        return end

    def _opened(self, session: Session, url: str) -> None:
        self.quarantine.opened()
        self.connects += 1
        for older in self._sessions:
            older.superseded = True
        self._sessions.add(session)
        log.info("%s: connected to %s", self._line.name, shown_url(url))

    def _closed(self, session: Session, end: SessionEnd) -> None:
        if session not in self._sessions:
            return
        self._sessions.discard(session)
        self._watcher.on_close(
            Closed(self.name, session.identity, end.reason, session.last_data_at, end.relieved)
        )
