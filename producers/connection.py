"""One managed WebSocket: connect, subscribe, ping, hand over frames, reconnect with backoff.

Health is data: a socket that is open and silent is closed and tried again. Whatever goes wrong
while connecting is a failed attempt: an exchange's odd reply must not end the feeds. Not
responsible for: which contracts it carries (sockets.py), what frames mean (exchanges/), what
follows from an outage (feed.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException

from producers.backoff import Backoff
from producers.exchanges.description import Control, SocketKind
from producers.pacing import Pacer
from producers.places import without_query
from producers.publisher import connection_id
from producers.quarantine import Quarantine
from producers.rest import RestError
from schemas.errors import MalformedInputError
from schemas.times import now_us

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
MAX_FRAME_BYTES = 16 << 20
FRAMES_QUEUED = 16
"""Beyond this the library stops reading from the socket, so TCP slows the exchange down."""

_WIRE_LOG = logging.getLogger(f"{__name__}.wire")
_WIRE_LOG.setLevel(logging.INFO)  # at DEBUG the library would log the token in a URL


class Heard(NamedTuple):
    """What a frame was for its connection."""

    data: bool
    control: Control | None = None


OnFrame = Callable[[str, bytes, int], Awaitable[Heard]]
"""(connection id, message, received_at µs) → what it was."""
Address = Callable[[int], Awaitable[str]]
"""The URL of the n-th candidate, asked for before each attempt. Raises RestError or
MalformedInputError."""


class Watcher(NamedTuple):
    """Whom a connection tells what."""

    on_frame: OnFrame
    on_open: Callable[[bool], None]
    """Whether it is a reconnect."""
    on_close: Callable[[str, str], None]
    """Connection id, and why it ended."""


class _End(NamedTuple):
    reason: str
    healthy_s: float = 0.0
    planned: bool = False


@dataclass(slots=True)
class _Session:
    """One connection's life, in monotonic seconds."""

    identity: str
    opened_s: float
    last_data_s: float
    first_data_s: float | None = None
    greeted: asyncio.Event = field(default_factory=asyncio.Event)
    ping_every_s: float | None = None

    @property
    def healthy_s(self) -> float:
        return 0.0 if self.first_data_s is None else self.last_data_s - self.first_data_s

    def note(self, heard: Heard, now_s: float) -> None:
        if heard.data:
            self.last_data_s = now_s
            self.first_data_s = self.first_data_s or now_s
        if heard.control is not None and heard.control.greeting:
            self.ping_every_s = heard.control.ping_every_s
            self.greeted.set()

    def due(self, kind: SocketKind) -> tuple[float, str, bool]:
        """Return when this connection is to end if nothing comes, why, and whether as planned."""
        ends = [
            (
                self.opened_s + kind.max_age_s,
                f"planned rotation after {kind.max_age_s:.0f} s",
                True,
            ),
            (self.last_data_s + kind.silent_s, f"no data for {kind.silent_s:g} s", False),
        ]
        timeout_s = kind.greeting_timeout_s
        if timeout_s is not None and not self.greeted.is_set():
            ends.append((self.opened_s + timeout_s, f"no greeting within {timeout_s:g} s", False))
        return min(ends)


class ManagedConnection:
    """Keeps one socket of a feed up until cancelled."""

    def __init__(
        self,
        feed: str,
        name: str,
        kind: SocketKind,
        address: Address,
        watcher: Watcher,
        *,
        opening: Iterable[str] = (),
        frames: Pacer | None = None,
        attempts: Pacer | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`opening` is sent first; `frames` and `attempts` are shared by a feed's sockets.

        `tls` is for wss; without it the system's authorities are trusted.
        """
        self._feed, self._socket_name = feed, name
        self._name = f"{feed}/{name}"
        self._kind = kind
        self._address = address
        self._watcher = watcher
        self._opening = tuple(opening)
        self._frames = frames
        self._attempts = attempts
        self._tls = tls
        self._backoff = Backoff(random.random)
        self._candidate = 0
        self._changed = asyncio.Event()
        self.quarantine = Quarantine()
        self.wanted: frozenset[str] = frozenset()
        self.connects = 0
        self.is_open = False

    def want(self, symbols: frozenset[str]) -> None:
        """Set the contracts to subscribe; an open socket takes up what is new, drops the rest."""
        if symbols != self.wanted:
            self.wanted = symbols
            self._changed.set()

    async def run(self) -> None:
        """Connect and reconnect until cancelled."""
        while True:
            await self._until_needed()
            await _turn(self._attempts)
            end = await self._attempt()
            if end.planned:
                log.info("%s: %s", self._name, end.reason)
                continue
            delay_s = self._backoff.failed(end.healthy_s)
            log.warning("%s: %s; next attempt in %.1f s", self._name, end.reason, delay_s)
            await asyncio.sleep(delay_s)

    async def _until_needed(self) -> None:
        while self._kind.capacity is not None and not self.wanted:
            self._changed.clear()
            await self._changed.wait()

    async def _attempt(self) -> _End:
        """Run one connection from its address to its end."""
        try:
            url = await self._address(self._candidate)
        except (RestError, MalformedInputError) as error:
            return _End(f"no address: {error}")
        session: _Session | None = None
        end = _End("stopped")
        try:
            async with self._connect(url) as socket:
                session = self._opened(url)
                end = await self._session(socket, session)
        except ValueError as error:
            # A certificate, a port, a host name, an address within a redirect. Its text may hold
            # the whole URL. Behind the handshake it would be a fault of ours.
            if session is not None:
                raise
            end = _End(f"no connection: {type(error).__name__}")
        except (OSError, EOFError, ImportError, ConnectionClosed) as error:
            end = _End(f"{type(error).__name__}: {error}")
        except WebSocketException as error:
            end = _End(_without_address(error))
        finally:
            if self.is_open and session is not None:
                self.is_open = False
                self._watcher.on_close(session.identity, end.reason)
        if session is None or session.first_data_s is None:
            self._candidate += 1
        return end

    def _connect(self, url: str) -> connect:
        secure = url.lower().startswith("wss:")
        return _Connect(
            url,
            ssl=(self._tls or _verifying()) if secure else None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,
            max_size=MAX_FRAME_BYTES,
            max_queue=FRAMES_QUEUED,
            user_agent_header="fundingstream",
            logger=_WIRE_LOG,
        )

    def _opened(self, url: str) -> _Session:
        now_s = time.monotonic()
        session = _Session(connection_id(self._feed, self._socket_name), now_s, now_s)
        if self._kind.greeting_timeout_s is None:
            session.greeted.set()
        self.quarantine.opened()
        self.connects += 1
        self.is_open = True
        self._watcher.on_open(self.connects > 1)
        log.info("%s: connected to %s", self._name, without_query(url))
        return session

    async def _session(self, socket: ClientConnection, session: _Session) -> _End:
        writers = [
            asyncio.create_task(self._subscribe(socket, session)),
            asyncio.create_task(self._ping(socket, session)),
        ]
        try:
            return await self._read(socket, session, writers)
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)

    async def _read(
        self, socket: ClientConnection, session: _Session, writers: Iterable[asyncio.Task[None]]
    ) -> _End:
        while True:
            due_s, reason, planned = session.due(self._kind)
            wait_s = due_s - time.monotonic()
            if wait_s <= 0:
                return _End(reason, session.healthy_s, planned)
            for writer in writers:
                _raise_unless_closed(writer)
            try:
                # Not wait_for: Python 3.11's loses a cancellation that meets an arriving frame.
                async with asyncio.timeout(wait_s):
                    message = await socket.recv(decode=False)
            except TimeoutError:
                continue
            except ConnectionClosed as error:
                self._suspect(error)
                return _End(f"closed by the exchange: {error}", session.healthy_s)
            heard = await self._watcher.on_frame(session.identity, message, now_us())
            if heard.data and session.first_data_s is None:
                log.info("%s: delivers (candidate %d)", self._name, self._candidate + 1)
            session.note(heard, time.monotonic())
            if heard.control is not None:
                self._answered(heard.control)

    def _answered(self, control: Control) -> None:
        if control.acknowledged is not None:
            self.quarantine.acknowledged(control.acknowledged)
        elif control.refused:
            self.quarantine.refused()

    def _suspect(self, error: ConnectionClosed) -> None:
        """Note which contract may have closed the socket without a farewell."""
        if not self._kind.quarantines or error.rcvd is not None or error.sent is not None:
            return
        suspect = self.quarantine.closed(time.monotonic())
        if suspect is not None:
            log.warning("%s: %r is held back: it closes the socket", self._name, suspect)

    async def _subscribe(self, socket: ClientConnection, session: _Session) -> None:
        """Send what opens the stream, then keep the subscriptions equal to what is wanted."""
        await session.greeted.wait()
        for text in self._opening:
            await _turn(self._frames)
            await socket.send(text)
        subscribed: set[str] = set()
        while True:
            self._changed.clear()
            allowed = self.quarantine.allowed(self.wanted, time.monotonic())
            gone = sorted(subscribed - self.wanted)
            new = [symbol for symbol in allowed if symbol not in subscribed]
            for frame in self._kind.unsubscribe(gone):
                await _turn(self._frames)
                await socket.send(frame.text)
            subscribed -= set(gone)
            for frame in self._kind.subscribe(new):
                await _turn(self._frames)
                if self._kind.quarantines:
                    for symbol in frame.symbols:
                        self.quarantine.sent(symbol, time.monotonic())
                await socket.send(frame.text)
                subscribed.update(frame.symbols)
            release_s = self.quarantine.next_release_s(time.monotonic())
            timeout_s = None if release_s is None else release_s - time.monotonic()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _ping(self, socket: ClientConnection, session: _Session) -> None:
        if self._kind.ping is None:
            return
        await session.greeted.wait()
        number = 0
        while True:
            await asyncio.sleep(session.ping_every_s or self._kind.ping.every_s)
            number += 1
            await socket.send(self._kind.ping.text(number))


class _Connect(connect):
    """Follows no redirect: an exchange has none, and a token must not go elsewhere."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Take every redirect for the refusal that it is."""
        return exc


@cache
def _verifying() -> ssl.SSLContext:
    """Return the context of all sockets: reading the authorities takes time, so it is done once."""
    return ssl.create_default_context()


def _without_address(error: WebSocketException) -> str:
    """Name a refused handshake; the text of an invalid URI holds the whole URL."""
    name = type(error).__name__
    return name if isinstance(error, InvalidURI) else f"{name}: {error}"


def _raise_unless_closed(writer: asyncio.Task[None]) -> None:
    """Raise what ended a writer; a closed socket is told by the reader."""
    if writer.done() and not isinstance(writer.exception(), ConnectionClosed):
        writer.result()


async def _turn(pacer: Pacer | None) -> None:
    if pacer is not None and (wait_s := pacer.wait_s(time.monotonic())) > 0:
        await asyncio.sleep(wait_s)
