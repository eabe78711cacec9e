"""A clock that stands still until a test moves it."""

from __future__ import annotations

from schemas.times import US_PER_S

START_US = 1_790_000_000_000_000
START_S = 1_000.0
"""Times at which the two clocks start: the wall clock, and the monotonic one."""


class ManualClock:
    """A `schemas.clock.Clock`: `advance` and `sleep` move both of its times."""

    def __init__(self, now_us: int = START_US, monotonic_s: float = START_S) -> None:
        self.time_us = now_us
        self.time_s = monotonic_s

    def now_us(self) -> int:
        """The wall clock, UTC µs."""
        return self.time_us

    def monotonic_s(self) -> float:
        """The monotonic clock, seconds."""
        return self.time_s

    def advance(self, seconds: float) -> None:
        """Let time go on."""
        self.time_us += round(seconds * US_PER_S)
        self.time_s += seconds

    sleep = advance

    def set_wall(self, now_us: int) -> None:
        """Set the wall clock alone, as an administrator or NTP does."""
        self.time_us = now_us
