"""The life of one WebSocket connection: subscribe, ping, hand over frames, until it ends.

Health is data: a socket that is open and silent is ended. Not responsible for: connecting, and
what follows an end (connection.py); what frames mean (exchanges/).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from producers.exchanges.spec import Control, SocketKind
from producers.policy.quarantine import Quarantine
from producers.policy.throttle import Throttle
from producers.websocket.transport import Transport, TransportError
from schemas.audit_facts import AuditCause
from schemas.clock import now_us

log = logging.getLogger(__name__)

PAUSED_S = 5.0
"""A frame that could not be handed over for so long means that Kafka takes nothing. What the socket
holds by then is old, and its time of receipt would be wrong: the connection is given up."""
DISMISSED_CHECK_S = 1.0
"""How soon a session notices that it is to end, on a socket without frames."""
DRAIN_S = 2.0
"""A relieved connection is read for so long still: frames that both bring are published once."""
MAX_CONTRACTS = 10_000
RELIEF_SHARE = 0.95
"""Of what its predecessor delivered; a successor that brings so much takes over."""


class FrameOutcome(NamedTuple):
    """What a frame was for its connection."""

    data: bool
    control: Control | None = None
    symbols: Sequence[str] = ()
    """Whom its data is about."""


OnFrame = Callable[[str, bytes, int], Awaitable[FrameOutcome]]
"""(connection id, message, received_at µs) → what it was."""


class SessionEnd(NamedTuple):
    """Why a connection ended, and for how long it had delivered."""

    reason: str
    healthy_s: float = 0.0
    relieved: bool = False
    """As planned: another one has taken over."""
    cause: AuditCause = AuditCause.CLOSED
    """The kind of the reason, for programs."""


class ConnectionContext(NamedTuple):
    """What all connections of one socket have in common."""

    name: str
    kind: SocketKind
    on_frame: OnFrame
    quarantine: Quarantine
    opening: Sequence[str]
    frames: Throttle | None
    wanted: Callable[[], frozenset[str]]


class Session:
    """One connection. Times in monotonic seconds."""

    def __init__(self, line: ConnectionContext, relieves: int = 0) -> None:
        """`relieves`: contracts that the connection delivers which this one is to relieve."""
        self._line = line
        self._relieves = relieves
        self._greeted = asyncio.Event()
        if line.kind.greeting_timeout_s is None:
            self._greeted.set()
        self._ping_every_s: float | None = None
        self.identity = ""
        self.opened_s = time.monotonic()
        self._last_data_s = self.opened_s
        self._first_data_s: float | None = None
        self.last_data_at: int | None = None
        """Receipt of its newest data, µs."""
        self._delivered: dict[str, float] = {}
        """When each contract was brought last."""
        self.changed = asyncio.Event()
        """Set when the wanted contracts have changed."""
        self.ready = asyncio.Event()
        """Set once it delivers what it is to relieve another one of."""
        self.superseded = False
        """A newer connection of the same socket is open."""
        self._dismissed: SessionEnd | None = None
        self._dismissed_s = 0.0

    def relieve(self) -> None:
        """End as planned: another one delivers. What is on its way is still read."""
        self._dismissed = SessionEnd(
            "relieved by a newer connection", relieved=True, cause=AuditCause.STOPPED
        )
        self._dismissed_s = time.monotonic() + DRAIN_S

    def give_up(self) -> None:
        """End because it does not deliver."""
        self._dismissed = SessionEnd(
            "brought too little to relieve another connection", cause=AuditCause.PARTIAL
        )

    @property
    def delivers(self) -> bool:
        """True once it has brought data."""
        return self._first_data_s is not None

    @property
    def healthy_s(self) -> float:
        """For how long it has brought data; since it opened, as some push once a minute."""
        return 0.0 if self._first_data_s is None else self._last_data_s - self.opened_s

    def delivering(self, now_s: float) -> int:
        """Count the contracts that it has brought within the time in which a socket is silent."""
        oldest = now_s - self._line.kind.silent_s
        return sum(at_s >= oldest for at_s in self._delivered.values())

    async def run(self, transport: Transport, identity: str) -> SessionEnd:
        """Serve an open connection until it ends; closing it is the caller's."""
        self.identity = identity
        self.opened_s = self._last_data_s = time.monotonic()
        writers = [
            asyncio.create_task(self._subscribe(transport)),
            asyncio.create_task(self._ping(transport)),
        ]
        try:
            end = await self._read(transport, writers)
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
        for writer in writers:
            # The socket may have ended before the reader looked.
            if not writer.cancelled():
                _raise_unless_closed(writer)
        return end

    def _due(self) -> tuple[float, str, AuditCause]:
        """Return when this connection is to end if nothing comes, and why."""
        kind = self._line.kind
        silent_s = kind.silent_s
        due = (self._last_data_s + silent_s, f"no data for {silent_s:g} s", AuditCause.SILENT)
        timeout_s = kind.greeting_timeout_s
        if timeout_s is None or self._greeted.is_set():
            return due
        reason = f"no greeting within {timeout_s:g} s"
        return min(due, (self.opened_s + timeout_s, reason, AuditCause.NO_GREETING))

    async def _read(
        self, transport: Transport, writers: Iterable[asyncio.Task[None]]
    ) -> SessionEnd:
        while True:
            if self._dismissed is not None and time.monotonic() >= self._dismissed_s:
                return self._dismissed._replace(healthy_s=self.healthy_s)
            due_s, reason, cause = self._due()
            wait_s = due_s - time.monotonic()
            if wait_s <= 0:
                return SessionEnd(reason, self.healthy_s, cause=cause)
            for writer in writers:
                _raise_unless_closed(writer)
            try:
                message = await transport.recv(min(wait_s, DISMISSED_CHECK_S))
            except TransportError as error:
                self._suspect(error)
                return SessionEnd(str(error), self.healthy_s)
            if message is None:
                continue
            received_s = time.monotonic()
            outcome = await self._line.on_frame(self.identity, message, received_at := now_us())
            self._note(outcome, received_at)
            paused_s = time.monotonic() - received_s
            if paused_s > PAUSED_S:
                reason = f"reading paused: Kafka took nothing for {paused_s:.0f} s"
                return SessionEnd(reason, self.healthy_s, cause=AuditCause.KAFKA_FULL)

    def _note(self, outcome: FrameOutcome, received_at: int) -> None:
        now_s = time.monotonic()
        if outcome.data:
            self._last_data_s, self.last_data_at = now_s, received_at
            self._first_data_s = self._first_data_s or now_s
            for symbol in outcome.symbols:
                if symbol in self._delivered or len(self._delivered) < MAX_CONTRACTS:
                    self._delivered[symbol] = now_s
            if len(self._delivered) >= self._relieves * RELIEF_SHARE:
                self.ready.set()
        if outcome.control is None:
            return
        if outcome.control.greeting:
            self._ping_every_s = outcome.control.ping_every_s
            self._greeted.set()
        if outcome.control.acknowledged is not None:
            self._line.quarantine.acknowledged(outcome.control.acknowledged)
        elif outcome.control.refused:
            self._line.quarantine.refused()

    def _suspect(self, error: TransportError) -> None:
        """Note which contract may have closed the socket without a farewell."""
        if not self._line.kind.quarantines or error.farewell or self.superseded:
            return
        suspect = self._line.quarantine.closed(time.monotonic())
        if suspect is not None:
            log.warning("%s: %r is held back: it closes the socket", self._line.name, suspect)

    async def _subscribe(self, transport: Transport) -> None:
        """Send what opens the stream, then keep the subscriptions equal to what is wanted."""
        line, kind, quarantine = self._line, self._line.kind, self._line.quarantine
        await self._greeted.wait()
        for text in line.opening:
            await turn(line.frames)
            await transport.send(text)
        subscribed: set[str] = set()
        while True:
            self.changed.clear()
            wanted = line.wanted()
            allowed = quarantine.allowed(wanted, time.monotonic())
            gone = sorted(subscribed - wanted)
            new = [symbol for symbol in allowed if symbol not in subscribed]
            for frame in kind.unsubscribe(gone):
                await turn(line.frames)
                await transport.send(frame.text)
            subscribed -= set(gone)
            for frame in kind.subscribe(new):
                await turn(line.frames)
                if kind.quarantines:
                    for symbol in frame.symbols:
                        quarantine.sent(symbol, time.monotonic())
                await transport.send(frame.text)
                subscribed.update(frame.symbols)
            release_s = quarantine.next_release_s(time.monotonic())
            timeout_s = None if release_s is None else release_s - time.monotonic()
            try:
                async with asyncio.timeout(timeout_s):
                    await self.changed.wait()
            except TimeoutError:
                continue

    async def _ping(self, transport: Transport) -> None:
        ping = self._line.kind.ping
        if ping is None:
            return
        await self._greeted.wait()
        number = 0
        while True:
            await asyncio.sleep(self._ping_every_s or ping.every_s)
            number += 1
            await transport.send(ping.text(number))


def _raise_unless_closed(writer: asyncio.Task[None]) -> None:
    """Raise what ended a writer; a closed socket is told by the reader."""
    if writer.done() and not isinstance(writer.exception(), TransportError):
        writer.result()


async def turn(throttle: Throttle | None) -> None:
    """Wait for a turn, where turns are taken."""
    if throttle is not None and (wait_s := throttle.wait_s(time.monotonic())) > 0:
        await asyncio.sleep(wait_s)
