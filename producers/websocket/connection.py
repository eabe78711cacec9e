"""Keeps one socket of a feed up: carries out what its rotation decides.

Every connection runs as a task. What happens to it is told to the state machine in
producers/policy/rotation.py, whose actions are carried out here. Whatever goes wrong while
connecting is a failed attempt, since an exchange's odd reply must not end the feed; an error of our
own code in a session ends `ManagedConnection.run` with that error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import NamedTuple, TypeVar

from producers.exchanges.spec import SocketKind
from producers.kafka.publisher import connection_id
from producers.policy.asking_again import AskingAgain
from producers.policy.quarantine import Quarantine
from producers.policy.replies import Replies
from producers.policy.rotation import (
    Action,
    AskTurn,
    Close,
    Open,
    Promote,
    Retry,
    ReturnTurn,
    Rotation,
)
from producers.policy.throttle import Throttle
from producers.rest.client import RestError
from producers.websocket.config import DEFAULT_CONFIG, ConnectionConfig
from producers.websocket.session import ConnectionContext, OnFrame, Session, SessionEnd, turn
from producers.websocket.transport import Transport, TransportError, opened
from schemas.audit_facts import AuditCause
from schemas.backoff import Backoff
from schemas.clock import Clock
from schemas.config.settings import shown_url
from schemas.errors import MalformedInputError

log = logging.getLogger(__name__)
T = TypeVar("T")

Address = Callable[[int], Awaitable[str]]
"""Returns the URL of the n-th candidate; called before each attempt. Raises RestError or
MalformedInputError."""


class Closed(NamedTuple):
    """A connection that has ended."""

    socket: str
    connection_id: str
    reason: str
    last_data_at_us: int | None
    """When its newest data was received; None: it brought none."""
    handed_over: bool
    """As planned: another connection had taken over from it."""
    cause: AuditCause = AuditCause.CLOSED
    """The kind of the reason, for programs."""


class ConnectionCallbacks(NamedTuple):
    """Callbacks that a connection uses to report frames and its end."""

    on_frame: OnFrame
    on_close: Callable[[Closed], None]
    on_open: Callable[[str, str], None] = lambda _socket, _connection_id: None
    """Takes (socket, connection id), before the connection's first frame."""


class ManagedConnection:
    """Keeps one socket of a feed up until cancelled."""

    def __init__(
        self,
        feed: str,
        name: str,
        kind: SocketKind,
        address: Address,
        callbacks: ConnectionCallbacks,
        clock: Clock,
        backoff: Backoff,
        *,
        opening: Iterable[str] = (),
        frames: Throttle | None = None,
        attempts: Throttle | None = None,
        rotating: asyncio.Lock | None = None,
        tls: ssl.SSLContext | None = None,
        replaces_part: bool = True,
        config: ConnectionConfig = DEFAULT_CONFIG,
    ) -> None:
        """`opening` is sent first; `frames`, `attempts` and `rotating` are shared by the feed.

        `rotating`: held while a successor is opened, so that only one socket of the feed has two
        connections at a time; exchanges limit how many an address may have. `tls` is for wss;
        without it the system's certificate authorities are trusted. `replaces_part`: as
        `Rotation` has it.
        """
        self._feed, self.name = feed, name
        self._kind = kind
        self._address = address
        self._callbacks = callbacks
        self._clock = clock
        self._attempts_throttle = attempts
        self._rotating = rotating or asyncio.Lock()
        self._tls = tls
        self._config = config
        self._rotation = Rotation(
            backoff,
            max_age_s=kind.max_age_s,
            silent_s=kind.silent_s,
            replaces_part=replaces_part,
            config=config.rotation,
        )
        self._tasks: dict[int, asyncio.Task[SessionEnd]] = {}
        """The attempts and connections that run, by their number."""
        self._sessions: dict[int, Session] = {}
        """Those that are open."""
        self._newest = 0
        """The number of the connection that was opened last."""
        self._asking: asyncio.Task[None] | None = None
        """Waits for the turn to rotate, then holds it."""
        self._happened = asyncio.Event()
        """Set when the loop of `run` has something to do before the time that it waits for."""
        self.quarantine = Quarantine()
        self.replies = Replies()
        self.wanted: frozenset[str] = frozenset()
        """Contracts to subscribe."""
        self._expected: frozenset[str] = frozenset()
        """Those of them that should deliver."""
        self.attempts = 0
        self.connects = 0
        self._context = ConnectionContext(
            f"{feed}/{name}",
            kind,
            callbacks.on_frame,
            self.quarantine,
            AskingAgain(),
            self.replies,
            tuple(opening),
            frames,
            lambda: self.wanted,
            clock,
            config,
            lambda: not self.wanted or bool(self._expected),
        )

    @property
    def open(self) -> int:
        """Open connections: one, or two during a rotation."""
        return len(self._sessions)

    def ask_again(self, symbols: frozenset[str]) -> None:
        """Subscribe anew to those of these contracts that are subscribed, if it is not too soon."""
        for session in self._sessions.values():
            session.ask_again(symbols)

    def session(self, identity: str) -> Session | None:
        """Return the open connection of this id; None: it has ended, or is another socket's."""
        return next((s for s in self._sessions.values() if s.connection_id == identity), None)

    def want(self, symbols: frozenset[str], expected: frozenset[str] | None = None) -> None:
        """Set the contracts to subscribe; open connections take up the difference.

        `expected`: those of them that should deliver (None: all). Of the others nothing is missed.
        """
        expected = symbols if expected is None else expected
        if expected != self._expected:
            self._expected = expected
            self._happened.set()
        if symbols != self.wanted:
            self.wanted = symbols
            self._happened.set()
            for session in self._sessions.values():
                session.resubscribe()

    async def run(self) -> None:
        """Connect, reconnect and rotate until cancelled."""
        try:
            while True:
                self._happened.clear()
                self._collect_ended()
                wanted = None if self._kind.capacity is None else len(self.wanted)
                now_s = self._clock.monotonic_s()
                self._do(self._rotation.want(wanted, now_s, len(self._expected)))
                due_s = self._rotation.next_due_s()
                timeout_s = None if due_s is None else due_s - self._clock.monotonic_s()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await self._happened.wait()
        finally:
            running = [*self._tasks.values(), *filter(None, [self._asking])]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _collect_ended(self) -> None:
        """Tell the rotation which connections have ended. Raises an error of our own in one."""
        if self._asking is not None and self._asking.done() and not self._asking.cancelled():
            self._asking.result()
        for number, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[number]
                reason = "given up" if task.cancelled() else task.result().reason
                self._do(self._rotation.ended(number, reason, self._clock.monotonic_s()))

    def _do(self, actions: Sequence[Action]) -> None:
        """Carry out the decisions of the rotation."""
        for action in actions:
            match action:
                case Open():
                    self._tasks[action.number] = self._start(self._attempt(action))
                case Close(number, reason):
                    if (session := self._sessions.get(number)) is not None:
                        session.close(reason)
                    else:
                        self._tasks[number].cancel()
                case Promote():
                    log.info("%s: rotated after %.0f s", self._context.name, action.after_s)
                case AskTurn():
                    self._asking = self._start(self._hold_turn())
                case ReturnTurn():
                    assert self._asking is not None
                    self._asking.cancel()
                case Retry(reason, delay_s):
                    name = self._context.name
                    log.warning("%s: %s; next attempt in %.1f s", name, reason, delay_s)

    def _start(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        """Run as a task whose end is noticed by the loop of `run`."""
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._happened.set())
        return task

    async def _hold_turn(self) -> None:
        """Wait for the feed's turn to rotate and hold it until cancelled."""
        async with self._rotating:
            self._do(self._rotation.turn_granted(self._clock.monotonic_s()))
            self._happened.set()
            await asyncio.Event().wait()

    async def _attempt(self, action: Open) -> SessionEnd:
        """Run one connection from its address to its end."""
        await turn(self._attempts_throttle, self._clock)
        self.attempts += 1
        try:
            url = await self._address(action.candidate)
        except (RestError, MalformedInputError) as error:
            return SessionEnd(f"no address: {error}")
        try:
            async with opened(url, self._tls, self._config) as transport:
                log.info("%s: connected to %s", self._context.name, shown_url(url))
                return await self._serve(action.number, transport)
        except TransportError as error:
            return SessionEnd(str(error))

    async def _serve(self, number: int, transport: Transport) -> SessionEnd:
        """Run an open connection to its end and report that before the closing handshake."""

        def on_data(symbols: Sequence[str]) -> None:
            now_s = self._clock.monotonic_s()
            if self._kind.capacity is not None:
                # A successor is measured by the contracts that should deliver, not by chance.
                symbols = [symbol for symbol in symbols if symbol in self._expected]
            if actions := self._rotation.delivered(number, symbols, now_s):
                self._do(actions)
                self._happened.set()

        def on_announced() -> None:
            log.info("%s: the exchange will end the connection", self._context.name)
            self._do(self._rotation.announced(number, self._clock.monotonic_s()))
            self._happened.set()

        identity = connection_id(self._feed, self.name, self._clock.now_us())
        self._callbacks.on_open(self.name, identity)
        session = Session(self._context, transport, identity, on_data, on_announced)
        self._sessions[number] = session
        self._newest = number
        self.quarantine.opened()
        self.connects += 1
        self._rotation.opened(number, self._clock.monotonic_s())
        self._happened.set()
        end = SessionEnd("stopped", cause=AuditCause.STOPPED)
        try:
            end = await session.run()
        finally:
            del self._sessions[number]
            self._suspect(number, end)
            self._callbacks.on_close(
                Closed(
                    self.name,
                    identity,
                    end.reason,
                    session.last_data_at_us,
                    self._rotation.handed_over(number),
                    end.cause,
                )
            )
        return end

    def _suspect(self, number: int, end: SessionEnd) -> None:
        """Note which contract may have made the exchange close the socket without a close frame."""
        if not self._kind.quarantines or not end.abrupt or number != self._newest:
            return
        suspect = self.quarantine.closed(self._clock.monotonic_s())
        if suspect is not None:
            log.warning("%s: %r is held back: it closes the socket", self._context.name, suspect)
