"""The clocks of a process, as one object that is passed to whatever needs the time.

Pure code gets times as arguments; shells get a `Clock`. Only entry points make a `SystemClock`, so
that a test decides what time it is.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The clocks that code with I/O reads; a test passes one of its own."""

    def now_us(self) -> int:
        """Return the wall clock, UTC microseconds since the epoch."""

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never goes back; only differences mean anything."""


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        """Return the wall clock, UTC microseconds since the epoch."""
        return now_us()

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never goes back; only differences mean anything."""
        return time.monotonic()


def now_us() -> int:
    """Return the wall clock, UTC microseconds since the epoch."""
    return time.time_ns() // 1_000
