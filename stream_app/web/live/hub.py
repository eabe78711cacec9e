"""Sends the frames to all open pages: each frame is made and compressed once for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from schemas.clock import Clock
from schemas.errors import FatalError
from stream_app.web.fleet import Fleet
from stream_app.web.live.clients import Frame, Recent, Waiting
from stream_app.web.live.frames import FrameMaker

log = logging.getLogger(__name__)

FRAME_S = 0.1
"""Between two deltas while few pages are open."""
FRAME_S_PER_CLIENT = 0.00125
"""With 200 open pages a delta is sent four times a second: 800 writes a second at most."""
HEARTBEAT_S = 1.0
"""A delta is sent at least so often, even an empty one: a page that hears nothing is frozen."""
SNAPSHOT_KEPT_S = 1.0
"""For so long a snapshot serves all pages that need one."""
EXPIRE_EVERY_S = 10.0
MAX_FAILURES = 10
"""After so many frames in a row that could not be made the page ends."""
SEND_TIMEOUT_S = 20.0
"""A page that has taken nothing for so long is cut off."""

Send = Callable[[bytes], Awaitable[None]]


class Hub:
    """The open pages, and what each of them still has to get."""

    def __init__(self, fleet: Fleet, frames: FrameMaker, clock: Clock, epoch: str) -> None:
        self._fleet = fleet
        self._frames = frames
        self._clock = clock
        self.epoch = epoch
        self._recent = Recent()
        self._clients: dict[Waiting, asyncio.Event] = {}
        self._snapshot: tuple[float, int, bytes] | None = None
        self._expired_at_s = self._sent_at_s = clock.monotonic_s()
        self.places = 0
        """Pages that are open, or just being opened."""
        self.sent_frames = self.sent_bytes = self.snapshots = self.dropped = self.resumed = 0

    @property
    def clients(self) -> int:
        """How many pages are open."""
        return len(self._clients)

    async def run(self) -> None:
        """Send deltas until cancelled.

        Raises:
            FatalError: no frame could be made for some time.
        """
        failures = 0
        while True:
            await asyncio.sleep(max(FRAME_S, FRAME_S_PER_CLIENT * len(self._clients)))
            try:
                self._tick(self._clock.monotonic_s())
            except Exception as error:
                failures += 1
                log.exception("a frame of the page could not be made")
                if failures >= MAX_FAILURES:
                    raise FatalError("the page cannot make its frames: start it again") from error
            else:
                failures = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take the place of one page, from before its connection is made until it is gone."""
        self.places += 1
        try:
            yield
        finally:
            self.places -= 1

    def _tick(self, now_s: float) -> None:
        if now_s - self._expired_at_s >= EXPIRE_EVERY_S:
            self._expired_at_s = now_s
            self._fleet.expire(self._clock.now_us())
        if not self._clients:
            # What changes meanwhile is told to who comes next.
            return
        if not self._fleet.has_changed() and now_s - self._sent_at_s < HEARTBEAT_S:
            return
        frame = self._next_delta(now_s)
        for waiting, wake in self._clients.items():
            waiting.offer(frame)
            wake.set()

    def _next_delta(self, now_s: float) -> Frame:
        self._sent_at_s = now_s
        data = self._frames.delta(self._clock.now_us())
        frame = Frame(self._frames.sequence, data)
        self._recent.add(frame)
        return frame

    async def serve(self, send: Send, epoch: str, sequence: int | None) -> None:
        """Send to one page until it is gone.

        Args:
            send: Sends one frame; it waits while the page is slow.
            epoch: Of the frames that the page has; empty: it has none.
            sequence: Of the newest frame that it has.

        Raises:
            TimeoutError: the page takes nothing any more.
            OSError: its connection is lost.
        """
        if not self._clients and self._fleet.has_changed():
            # What has changed while nobody looked is behind the snapshot, and not in front of it:
            # a page takes what a delta brings for new.
            self._next_delta(self._clock.monotonic_s())
        waiting, wake = Waiting(), asyncio.Event()
        missed = self._recent.after(sequence) if sequence is not None else None
        if epoch == self.epoch and missed is not None:
            waiting.begin(missed)
            self.resumed += 1
        self._clients[waiting] = wake
        wake.set()
        try:
            while True:
                await wake.wait()
                wake.clear()
                while waiting:
                    data = self._next(waiting)
                    async with asyncio.timeout(SEND_TIMEOUT_S):
                        await send(data)
                    self.sent_frames += 1
                    self.sent_bytes += len(data)
        finally:
            del self._clients[waiting]
            self.dropped += waiting.dropped

    def _next(self, waiting: Waiting) -> bytes:
        if waiting.needs_snapshot:
            sequence, snapshot = self._newest_snapshot()
            waiting.begin(self._recent.after(sequence) or [])
            return snapshot
        delta = waiting.take()
        assert delta is not None, "asked for only while something waits"
        return delta

    def _newest_snapshot(self) -> tuple[int, bytes]:
        """Return a snapshot, and the sequence of the delta that it follows."""
        now_s = self._clock.monotonic_s()
        kept = self._snapshot
        # One that was kept serves as long as all that followed it is there.
        is_whole = kept is not None and self._recent.after(kept[1]) is not None
        if kept is None or not is_whole or now_s - kept[0] > SNAPSHOT_KEPT_S:
            data = self._frames.snapshot(self._clock.now_us())
            kept = self._snapshot = (now_s, self._frames.sequence, data)
        self.snapshots += 1
        return kept[1], kept[2]
