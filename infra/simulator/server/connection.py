"""One client's WebSocket, from the exchange's side.

A connection has a bounded queue and a sender of its own, so that a slow client delays nobody and is
cut off when it falls too far behind. It enforces the rules of heartbeat, speed and age, and reports
what a send has handed over. The session knows what the messages mean.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from infra.simulator.exchange import Close, Frame, Session
from infra.simulator.faults.book import Running
from infra.simulator.faults.frames import FrameFaults

MAX_QUEUED_BYTES = 16_000_000
MAX_QUEUED_FRAMES = 8_192
_CLOSE_TIMEOUT_S = 5.0
_ENDED = frozenset({
    aiohttp.WSMsgType.CLOSE,
    aiohttp.WSMsgType.CLOSING,
    aiohttp.WSMsgType.CLOSED,
    aiohttp.WSMsgType.ERROR,
})  # fmt: skip

RecordSent = Callable[[Frame, int], None]


@dataclass(frozen=True, slots=True)
class _Ping:
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Pong:
    payload: bytes


_Item = Frame | Close | _Ping | _Pong


class ClientConnection:
    """Runs one open socket until it closes.

    Args:
        number: its place in the order of opening.
        ws: the prepared server side socket.
        transport: the TCP connection below it, to cut it.
        session: the exchange's protocol state for it.
        record_sent: called after each completed send with the frame and the µs before the write.
        wall_ns: the wall clock.
        stage: what running faults do with its data frames.
    """

    def __init__(
        self,
        number: int,
        ws: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        session: Session,
        record_sent: RecordSent,
        wall_ns: Callable[[], int],
        stage: FrameFaults,
    ) -> None:
        self.number = number
        self.session = session
        self.close_reason = ""
        self.delay_s = 0.0
        """How late everything is sent, in its order."""
        self._ws = ws
        self._transport = transport
        self._record_sent = record_sent
        self._wall_ns = wall_ns
        self._clock_s = asyncio.get_running_loop().time
        self._stage = stage
        self._frozen = False
        self._cut_by_fault = False
        self._queue: deque[tuple[_Item, float]] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._gone = asyncio.Event()
        self._closing = False
        self._opened_s = self._heard_s = self._pinged_s = self._clock_s()
        self._unanswered: tuple[bytes, float] | None = None
        self._incoming_s: deque[float] = deque()

    async def run(self) -> None:
        """Serve until either side closes."""
        for frame in self.session.opened():
            self.offer(frame)
        sender = asyncio.create_task(self._send_queued())
        try:
            await self._receive()
        finally:
            # A close handshake that the sender has begun must run to its end: returning earlier
            # would close TCP under data that is still on its way to the client.
            if not self._closing:
                sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sender
            self._lose_queued()
            self._stage.give_up()
            self._gone.set()

    def publish(self, frame: Frame, faults: Sequence[Running]) -> None:
        """Queue a data frame, or what the running faults make of it."""
        if not faults and self._stage.idle:
            self.offer(frame)
            return
        for struck in self._stage.pass_on(frame, faults):
            self.offer(struck)
        self._stage.handed_over()

    def offer(self, item: _Item) -> None:
        """Queue a frame, or the end of the connection. A client too far behind is cut off."""
        if self._ws.closed or self.close_reason or self._frozen:
            return
        if isinstance(item, Frame):
            self._queued_bytes += len(item.taken().payload)
        elif isinstance(item, Close):
            self.close_reason = item.reason or str(item.code)
        self._queue.append((item, self._clock_s() + self.delay_s if self.delay_s else 0.0))
        if self._queued_bytes > MAX_QUEUED_BYTES or len(self._queue) > MAX_QUEUED_FRAMES:
            self.abort("slow client", by_fault=bool(self.delay_s))
            return
        self._wake.set()

    def housekeeping(self) -> None:
        """Heartbeat and age rules; called about once per second."""
        if self._frozen:
            return
        rules, now_s = self.session.rules, self._clock_s()
        if rules.max_age_s and now_s - self._opened_s > rules.max_age_s:
            self.offer(Close(1001, "Connection age"))
        elif rules.silence_s and now_s - self._heard_s > rules.silence_s:
            self.abort("client silent")
        elif self._unanswered and now_s - self._unanswered[1] > rules.pong_within_s:
            self.offer(Close(1008, "Pong timeout"))
        elif rules.ping_every_s and now_s - self._pinged_s >= rules.ping_every_s:
            self._pinged_s = now_s
            if self._unanswered is None:
                self._unanswered = str(self._wall_ns() // 1_000_000).encode(), now_s
            self.offer(_Ping(self._unanswered[0]))

    async def finish(self, code: int, reason: str, timeout_s: float) -> None:
        """Send everything queued, then close; who cannot take it in time is cut off."""
        if self._frozen:
            self.abort("half-open")
        self._hurry.set()
        self.offer(Close(code, reason))
        try:
            await asyncio.wait_for(self._gone.wait(), timeout_s)
        except TimeoutError:
            self.abort("slow client")

    def abort(self, reason: str, *, by_fault: bool = False) -> None:
        """Cut TCP without a farewell; what is queued is lost, and not in the truth."""
        self.close_reason = self.close_reason or reason
        self._cut_by_fault = self._cut_by_fault or by_fault
        self._lose_queued()
        if self._transport is not None:
            self._transport.abort()

    def freeze(self) -> None:
        """Neither read nor send from now on, with TCP open: only `abort` ends it."""
        self._frozen = self._cut_by_fault = True
        self._lose_queued()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _lose_queued(self) -> None:
        queued, self._queue = self._queue, deque()
        self._queued_bytes = 0
        for item, _ in queued:
            if isinstance(item, Frame):
                if self._cut_by_fault:
                    item.blame()
                item.released()

    async def _receive(self) -> None:
        while True:
            message = await self._ws.receive()
            kind = message.type
            if kind in _ENDED:
                return
            if self._frozen:
                continue
            now_s = self._clock_s()
            if self._too_fast(now_s):
                self.offer(Close(1008, "Too many requests"))
                continue
            now_ms = self._wall_ns() // 1_000_000
            if kind is aiohttp.WSMsgType.TEXT:
                answers = self.session.on_text(message.data, now_ms)
            elif kind is aiohttp.WSMsgType.BINARY:
                answers = self.session.on_binary(message.data, now_ms)
            else:
                self._heartbeat(kind, bytes(message.data or b""))
                continue
            self._heard_s = now_s
            for answer in answers:
                self.offer(answer)

    def _heartbeat(self, kind: aiohttp.WSMsgType, data: bytes) -> None:
        if kind is aiohttp.WSMsgType.PING:
            self.offer(_Pong(data))
        elif self._unanswered is not None and data == self._unanswered[0]:
            self._unanswered = None

    def _too_fast(self, now_s: float) -> bool:
        rules, recent = self.session.rules, self._incoming_s
        limits = ((rules.messages_per_s, 1.0), (rules.messages_per_10_s, 10.0))
        recent.append(now_s)
        # One more than the higher limit is all that the answer depends on.
        while recent[0] <= now_s - 10.0 or len(recent) > max(limit for limit, _ in limits) + 1:
            recent.popleft()
        return any(
            limit and len(recent) > limit and recent[-limit - 1] > now_s - window_s
            for limit, window_s in limits
        )

    async def _send_queued(self) -> None:
        try:
            while not self._closing:
                await self._wake.wait()
                self._wake.clear()
                while self._queue and not self._closing:
                    item, due_s = self._queue[0]
                    if due_s and not self._hurry.is_set() and due_s > self._clock_s():
                        await self._wait_until(due_s)
                        # What was first may be lost by now.
                        continue
                    self._queue.popleft()
                    await self._send(item)
        except ConnectionError:
            # The peer is gone: the receiving side ends the connection and says so.
            self._lose_queued()
        except Exception:
            self.abort("simulator error")
            raise

    async def _wait_until(self, due_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due_s):
                await self._hurry.wait()

    async def _send(self, item: _Item) -> None:
        if isinstance(item, Close):
            self._closing = True
            if item.code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE:
                self.abort(item.reason)
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._ws.close(code=item.code, message=item.reason.encode()), _CLOSE_TIMEOUT_S
                )
            return
        if isinstance(item, _Ping):
            await self._ws.ping(item.payload)
            return
        if isinstance(item, _Pong):
            await self._ws.pong(item.payload)
            return
        self._queued_bytes -= len(item.payload)
        sent_us = self._wall_ns() // 1_000
        opcode = aiohttp.WSMsgType.BINARY if item.binary else aiohttp.WSMsgType.TEXT
        try:
            await self._ws.send_frame(item.payload, opcode)
            if item.ledger is not None:
                self._record_sent(item, sent_us)
        finally:
            item.released()
