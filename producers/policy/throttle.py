"""Evenly spaced turns: so many a second for all who share a pacer. Pure: times are passed in.

Not responsible for: waiting.
"""

from __future__ import annotations


class Throttle:
    """Hands out turns at least `1 / per_s` seconds apart, in the order in which they are asked."""

    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        """Turns a second; may be set at any time, for the turns that are asked for from then on."""
        self._next_s = float("-inf")

    def wait_s(self, now_s: float, turns: int = 1) -> float:
        """Take the next turn, or so many; return how long it is until then."""
        turn_s = max(now_s, self._next_s)
        self._next_s = turn_s + turns / self.per_s
        return turn_s - now_s
