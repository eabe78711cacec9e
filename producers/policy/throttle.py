"""Evenly spaced turns for all callers that share a throttle. Pure: the caller waits."""

from __future__ import annotations


class Throttle:
    """Hands out turns at least `1 / per_s` seconds apart, in the order in which they are asked."""

    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        """Turns per second; may be changed at any time, for the turns that are taken afterwards."""
        self._next_s = float("-inf")

    def wait_s(self, now_s: float, turns: int = 1) -> float:
        """Take the next `turns` turns; return how many seconds it is until the first of them."""
        turn_s = max(now_s, self._next_s)
        self._next_s = turn_s + turns / self.per_s
        return turn_s - now_s
