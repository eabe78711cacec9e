"""A clock that stands still until a test moves it."""

from __future__ import annotations

US_PER_S = 1_000_000


class ManualClock:
    """A `schemas.clock.Clock`: `advance` and `sleep` move both of its times."""

    def __init__(self, now_us: int = 0, monotonic_s: float = 1_000.0) -> None:
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
