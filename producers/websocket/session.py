"""The life of one open WebSocket connection: subscribe, ping, hand over frames, until it ends.

Only data frames count as health: a socket that is open and brings no data is ended, whatever it
acknowledges.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from producers.exchanges.spec import Control, SocketKind
from producers.policy.asking_again import AskingAgain
from producers.policy.quarantine import Quarantine
from producers.policy.replies import Replies
from producers.policy.subscriptions import Consequence, Subscriptions
from producers.policy.throttle import Throttle
from producers.websocket.config import DEFAULT_CONFIG, ConnectionConfig
from producers.websocket.transport import Transport, TransportError
from schemas.audit_facts import AuditCause
from schemas.clock import Clock
from schemas.errors import MalformedInputError

log = logging.getLogger(__name__)

REPLIES_QUEUED = 16
"""Answers to pings that wait to be sent."""


class FrameOutcome(NamedTuple):
    """What a frame was for its connection."""

    data: bool
    """Whether it counts as health."""
    control: Control | None = None
    symbols: Sequence[str] = ()
    """The contracts that its data is about."""
    lost: bool = False
    """Frames before it did not arrive, so changes that rows name can no longer be completed."""
    incomplete: Sequence[str] = ()
    """Contracts of which a whole row is needed before changes of them can be completed."""


OnFrame = Callable[[str, bytes, int], Awaitable[FrameOutcome]]
"""Takes (connection id, message, time of receipt in µs) and returns what the frame was."""


class SessionEnd(NamedTuple):
    """Why a connection ended."""

    reason: str
    abrupt: bool = False
    """The exchange or the network ended it without a close frame."""
    cause: AuditCause = AuditCause.CLOSED
    """The kind of the reason, for programs."""


LOST = SessionEnd("a message was lost", cause=AuditCause.MESSAGE_LOST)
INCOMPLETE = SessionEnd("changes came without a whole row before", cause=AuditCause.INCOMPLETE)


class ConnectionContext(NamedTuple):
    """What all connections of one socket have in common."""

    name: str
    """`<feed>/<socket>`, for the log."""
    kind: SocketKind
    on_frame: OnFrame
    quarantine: Quarantine
    asking_again: AskingAgain
    replies: Replies
    opening: Sequence[str]
    """Texts that are sent first."""
    frames: Throttle | None
    """The pace of all texts that the feed sends; None: no limit."""
    wanted: Callable[[], frozenset[str]]
    """Returns the contracts that the socket is to be subscribed to."""
    clock: Clock
    config: ConnectionConfig = DEFAULT_CONFIG
    expects_data: Callable[[], bool] = lambda: True
    """Tells whether silence is a fault: False where no subscribed contract has to deliver."""


class Session:
    """One open connection. Times are monotonic seconds."""

    def __init__(
        self,
        context: ConnectionContext,
        transport: Transport,
        connection_id: str,
        on_data: Callable[[Sequence[str]], None] = lambda _symbols: None,
        on_announced: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_data` is called with the contracts of each frame that counts as health.

        `on_announced` is called when the exchange says that it will end the connection.
        """
        self._context = context
        self._kind = context.kind
        self._clock = context.clock
        self._transport = transport
        self.connection_id = connection_id
        self._on_data = on_data
        self._on_announced = on_announced
        self._greeted = asyncio.Event()
        if self._kind.greeting_timeout_s is None:
            self._greeted.set()
        self._ping_every_s: float | None = None
        self._opened_s = self._last_data_s = self._clock.monotonic_s()
        self._answered_s = self._opened_s
        """When its newest frame without data came."""
        self.last_data_at_us: int | None = None
        """When its newest data was received; None: it has brought none."""
        self._wanted_changed = asyncio.Event()
        self._asked_again: set[str] = set()
        """Contracts to subscribe to anew, because a whole row of theirs is needed."""
        self._replies: asyncio.Queue[str] = asyncio.Queue(REPLIES_QUEUED)
        self._subscribed: set[str] = set()
        """Contracts that the exchange was asked for and has not refused."""
        self.taken: set[str] | None = None if self._kind.capacity is None else set()
        """Those of them that it has confirmed, or brought; where its answers name no contracts, all
        that it was asked for. None: it brings all without being asked for each."""
        self._subscriptions = Subscriptions() if self._kind.splits_refused else None
        """None: a refusal is no reason to ask for anything again."""
        self._ask: list[tuple[str, ...]] = []
        """Groups of subscribed contracts to be asked for again."""
        self._closing: SessionEnd | None = None

    def resubscribe(self) -> None:
        """Take up the wanted contracts anew: subscribe to new ones, unsubscribe from the others."""
        self._wanted_changed.set()

    def ask_again(self, symbols: Iterable[str]) -> None:
        """Subscribe anew to those of these contracts that are subscribed, if it is not too soon."""
        if self.taken is not None:
            mine = self.taken.intersection(symbols)
            self._renew(self._context.asking_again.due(mine, self._clock.monotonic_s()))

    def _renew(self, symbols: frozenset[str]) -> None:
        if symbols:
            self._asked_again |= symbols
            self._wanted_changed.set()

    def close(self, reason: str) -> None:
        """End the session, after the frame that is being handed over."""
        self._closing = SessionEnd(reason, cause=AuditCause.STOPPED)

    async def run(self) -> SessionEnd:
        """Serve the connection until it ends; the caller closes the transport."""
        texts = (self._subscribe(), self._ping(), self._reply())
        writers = [asyncio.create_task(writer) for writer in texts]
        try:
            end = await self._read(writers)
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
        for writer in writers:
            # A writer may have failed while the reader was waiting for a frame.
            if not writer.cancelled():
                _raise_unless_closed(writer)
        return end

    def _due(self) -> tuple[float, SessionEnd]:
        """Return when this connection is to end if nothing comes, and how."""
        timeout_s = self._kind.greeting_timeout_s
        due = self._silence_due()
        if timeout_s is None or self._greeted.is_set():
            return due
        reason = f"no greeting within {timeout_s:g} s"
        mute = SessionEnd(reason, cause=AuditCause.NO_GREETING)
        return min(due, (self._opened_s + timeout_s, mute))

    def _silence_due(self) -> tuple[float, SessionEnd]:
        kind, silent_s = self._kind, self._kind.silent_s
        due_s = self._last_data_s + silent_s
        if kind.quiet_s is not None and self.last_data_at_us is not None:
            answering_s = self._answered_s + silent_s
            due_s = max(due_s, min(answering_s, self._last_data_s + kind.quiet_s))
        reason = f"no data for {due_s - self._last_data_s:g} s"
        return due_s, SessionEnd(reason, cause=AuditCause.SILENT)

    async def _read(self, writers: Iterable[asyncio.Task[None]]) -> SessionEnd:
        config, clock = self._context.config, self._clock
        while self._closing is None:
            if not self._context.expects_data():
                # From when a contract has to deliver again, it has the usual time for it.
                self._last_data_s = clock.monotonic_s()
            due_s, end = self._due()
            wait_s = due_s - clock.monotonic_s()
            if wait_s <= 0:
                return end
            for writer in writers:
                _raise_unless_closed(writer)
            try:
                message = await self._transport.recv(min(wait_s, config.check_s))
            except TransportError as error:
                return SessionEnd(str(error), abrupt=not error.farewell)
            if message is None:
                continue
            received_s, received_at_us = clock.monotonic_s(), clock.now_us()
            if self._kind.decode is not None:
                message = decoded(self._kind.decode, message)
            outcome = await self._context.on_frame(self.connection_id, message, received_at_us)
            self._note(outcome, received_at_us)
            if outcome.lost or outcome.incomplete:
                self._mend(outcome)
            paused_s = clock.monotonic_s() - received_s
            if paused_s > config.paused_s:
                reason = f"reading paused: Kafka took nothing for {paused_s:.0f} s"
                return SessionEnd(reason, cause=AuditCause.KAFKA_FULL)
        return self._closing

    def _note(self, outcome: FrameOutcome, received_at_us: int) -> None:
        if outcome.data:
            self._last_data_s = self._clock.monotonic_s()
            self.last_data_at_us = received_at_us
            self._on_data(outcome.symbols)
            self._take(outcome.symbols)
            if self._subscriptions is not None:
                self._subscriptions.confirmed(outcome.symbols)
        if outcome.control is not None:
            self._obey(outcome.control)

    def _obey(self, control: Control) -> None:
        """Do what a frame without data asks for, and note what it answers."""
        self._answered_s = self._clock.monotonic_s()
        if control.greeting:
            self._ping_every_s = control.ping_every_s
            self._greeted.set()
        if control.reply is not None:
            self._answer(control.reply)
        if control.ends:
            self._on_announced()
        self._take(control.acknowledged)
        if self.taken is not None:
            self.taken.difference_update(control.refused_symbols)
        for symbol in control.acknowledged:
            self._context.quarantine.acknowledged(symbol)
        if self._subscriptions is not None:
            self._take_answer(self._subscriptions.answered(control, self._clock.monotonic_s()))
        elif control.refused and control.of_contracts and not control.acknowledged:
            self._context.quarantine.refused()

    def _take(self, symbols: Iterable[str]) -> None:
        """Note contracts that the exchange takes."""
        if self.taken is not None:
            for symbol in symbols:
                if symbol in self._subscribed:
                    self.taken.add(symbol)

    def _drop(self, symbols: Iterable[str]) -> None:
        """Note contracts that are subscribed no longer."""
        self._subscribed.difference_update(symbols)
        if self.taken is not None:
            self.taken.difference_update(symbols)

    def _take_answer(self, consequence: Consequence) -> None:
        """Hold back what the exchange does not take, and have asked again for what it may take."""
        self._take(consequence.taken)
        for symbol in consequence.refused:
            self._context.quarantine.hold(symbol, self._clock.monotonic_s())
            log.warning("%s: %r is held back: it is refused", self._context.name, symbol)
        self._drop(consequence.refused)
        self._ask += consequence.again
        if consequence.again or consequence.refused:
            self._wanted_changed.set()

    def _mend(self, outcome: FrameOutcome) -> None:
        """Have the exchange send whole rows again: subscribe anew, or end the connection.

        Too soon after the last time nothing is done: REST serves the contracts meanwhile.
        """
        again, now_s = self._context.asking_again, self._clock.monotonic_s()
        if self._kind.capacity is not None and not outcome.lost:
            self._renew(again.due(outcome.incomplete, now_s))
        elif again.due((self._kind.name,), now_s):
            self._closing = LOST if outcome.lost else INCOMPLETE

    async def _send(self, text: str) -> None:
        """Send a text in the feed's pace."""
        await turn(self._context.frames, self._clock)
        await self._transport.send(text)

    async def _subscribe(self) -> None:
        """Send what opens the stream, then keep the subscriptions equal to what is wanted."""
        context, clock = self._context, self._clock
        await self._greeted.wait()
        for text in context.opening:
            await self._send(text)
        while True:
            self._wanted_changed.clear()
            await self._update_subscriptions()
            due_s = self._next_due_s()
            timeout_s = None if due_s is None else due_s - clock.monotonic_s()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wanted_changed.wait()
            except TimeoutError:
                continue

    def _next_due_s(self) -> float | None:
        """Return when subscriptions have to be looked at although nothing has happened."""
        times = [self._context.quarantine.next_release_s(self._clock.monotonic_s())]
        if self._subscriptions is not None:
            times.append(self._subscriptions.next_due_s())
        return min((due_s for due_s in times if due_s is not None), default=None)

    async def _update_subscriptions(self) -> None:
        """Make what is subscribed equal to what is wanted and not held back."""
        context, clock, subscribed = self._context, self._clock, self._subscribed
        wanted = context.wanted()
        allowed = context.quarantine.allowed(wanted, clock.monotonic_s())
        gone = sorted((subscribed - wanted) | (subscribed & self._asked_again))
        self._asked_again.clear()
        self._drop(gone)
        if self._subscriptions is not None:
            self._subscriptions.forget(gone)
        for frame in self._kind.unsubscribe(gone):
            await self._send(frame.text)
        await self._ask_for([symbol for symbol in allowed if symbol not in subscribed])
        if self._subscriptions is not None:
            asked, self._ask = self._ask, []
            for group in (*asked, *self._subscriptions.due(clock.monotonic_s())):
                # Some may have been given up, or refused, since it was decided.
                await self._ask_for([symbol for symbol in group if symbol in subscribed])

    async def _ask_for(self, symbols: Sequence[str]) -> None:
        """Subscribe to contracts."""
        context, clock = self._context, self._clock
        for frame in self._kind.subscribe(symbols):
            await turn(context.frames, clock)
            # Noted before it is sent: the answer may come while the text is still on its way.
            self._subscribed.update(frame.symbols)
            if self._kind.quarantines:
                for symbol in frame.symbols:
                    context.quarantine.sent(symbol, clock.monotonic_s())
            if self._subscriptions is not None:
                self._subscriptions.sent(frame, clock.monotonic_s())
            elif not self._kind.quarantines:
                self._take(frame.symbols)
            await self._transport.send(frame.text)

    def _answer(self, text: str) -> None:
        """Have a text sent that the exchange asks for, if it does not ask too often."""
        if not self._context.replies.allows(text, self._clock.monotonic_s()):
            return
        try:
            self._replies.put_nowait(text)
        except asyncio.QueueFull:
            # The exchange does not read; it gets no further answers then.
            self._context.replies.dropped()

    async def _reply(self) -> None:
        """Send answers, beside the reader, which must not wait for an exchange that reads none."""
        while True:
            await self._transport.send(await self._replies.get())
            self._context.replies.sent()

    async def _ping(self) -> None:
        """Send the texts that the exchange wants as a sign of life."""
        ping = self._kind.ping
        if ping is None:
            return
        await self._greeted.wait()
        number = 0
        while True:
            await asyncio.sleep(self._ping_every_s or ping.every_s)
            number += 1
            await self._transport.send(ping.text(number))


def decoded(decode: Callable[[bytes], bytes], message: bytes) -> bytes:
    """Return a message in the form that can be read.

    One that cannot be decoded is returned as it came: it goes to the dead letters, unless the
    exchange sent it in plain text.
    """
    try:
        return decode(message)
    except MalformedInputError:
        return message


def _raise_unless_closed(writer: asyncio.Task[None]) -> None:
    """Raise what ended a writer; that the socket was closed is found by the reader as well."""
    if writer.done() and not isinstance(writer.exception(), TransportError):
        writer.result()


async def turn(throttle: Throttle | None, clock: Clock) -> None:
    """Wait for the next turn; without a throttle there is nothing to wait for."""
    if throttle is not None and (wait_s := throttle.wait_s(clock.monotonic_s())) > 0:
        await asyncio.sleep(wait_s)
