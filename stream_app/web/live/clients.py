"""What waits to be sent to one open page: bounded, so that a slow reader costs a fixed amount."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MAX_WAITING_BYTES = 1 << 20
"""A page that is further behind than this gets a snapshot instead of all that it has missed."""


class Frame(NamedTuple):
    """A delta, as it is sent."""

    sequence: int
    data: bytes


class Waiting:
    """The frames that one page still has to get, in their order.

    It begins with nothing known: `needs_snapshot` is True until a snapshot was taken for it.
    """

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self.needs_snapshot = True
        self.dropped = 0
        """How often the page was so slow that a snapshot replaced what waited."""

    def offer(self, frame: Frame) -> None:
        """Add the newest delta, unless a snapshot is to come, which will hold it."""
        if self.needs_snapshot:
            return
        if self._bytes + len(frame.data) > MAX_WAITING_BYTES:
            self._frames.clear()
            self._bytes = 0
            self.needs_snapshot = True
            self.dropped += 1
            return
        self._frames.append(frame)
        self._bytes += len(frame.data)

    def begin(self, frames: list[Frame]) -> None:
        """Go on with deltas: those that follow what the page has, or the snapshot it gets now."""
        self.needs_snapshot = False
        self._frames = deque(frames)
        self._bytes = sum(len(frame.data) for frame in frames)

    def take(self) -> bytes | None:
        """Return the next frame to send; None: there is none."""
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._bytes -= len(frame.data)
        return frame.data

    def __bool__(self) -> bool:
        return self.needs_snapshot or bool(self._frames)


class Recent:
    """The newest deltas, so that a page that was away for a moment gets what it has missed."""

    def __init__(self, max_bytes: int = 4 * MAX_WAITING_BYTES, max_frames: int = 2_000) -> None:
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self._newest: int | None = None

    def add(self, frame: Frame) -> None:
        """Keep a delta, and forget the oldest beyond the bounds."""
        self._newest = frame.sequence
        self._frames.append(frame)
        self._bytes += len(frame.data)
        while len(self._frames) > self._max_frames or self._bytes > self._max_bytes:
            self._bytes -= len(self._frames.popleft().data)

    def after(self, sequence: int) -> list[Frame] | None:
        """Return the deltas after one, oldest first; None: some of them are forgotten."""
        missing = (sequence if self._newest is None else self._newest) - sequence
        if not 0 <= missing <= len(self._frames):
            return None
        return list(self._frames)[len(self._frames) - missing :]
