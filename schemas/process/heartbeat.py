"""Tells whether the loop that does a process's work still turns."""

from __future__ import annotations

from schemas.clock import Clock


class Heartbeat:
    """The time since a loop last came by. Any thread may ask."""

    def __init__(self, clock: Clock, within_s: float) -> None:
        """`within_s`: a loop that has not come by for longer hangs."""
        self._clock = clock
        self._within_s = within_s
        self._beat_at_s = clock.monotonic_s()

    def beat(self) -> None:
        """Note that the loop comes by."""
        self._beat_at_s = self._clock.monotonic_s()

    def trouble(self) -> str:
        """Return what is wrong, for a person; empty: nothing."""
        silent_s = self._clock.monotonic_s() - self._beat_at_s
        if silent_s <= self._within_s:
            return ""
        return f"the process has done nothing for {silent_s:.0f} s"
