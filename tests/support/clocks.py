"""A clock that a test moves by hand."""

from __future__ import annotations

from schemas.times import US_PER_S

START_US = 1_790_000_000_000_000
START_S = 1_000.0
"""Times at which the two clocks start: the wall clock, and the monotonic one."""


class ManualClock:
    """Both clocks of a process (schemas.clock.Clock); they stand still unless moved."""

    def __init__(self, now_us: int = START_US, monotonic_s: float = START_S) -> None:
        self._now_us = now_us
        self._monotonic_s = monotonic_s

    def now_us(self) -> int:
        """Return the wall clock, UTC microseconds since the epoch."""
        return self._now_us

    def monotonic_s(self) -> float:
        """Return the seconds of the monotonic clock."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._monotonic_s += seconds
        self._now_us += round(seconds * US_PER_S)

    def set_wall(self, now_us: int) -> None:
        """Set the wall clock alone, as an administrator or NTP does."""
        self._now_us = now_us
