"""Exponential backoff with jitter: how long to wait between attempts at what keeps failing.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog 2015. Nothing here waits or draws
random numbers by itself: the caller sleeps, and passes in the randomness.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 1.0
CAP_S = 60.0
HEALTHY_S = 60.0
"""Data must have flowed for this long before the next failure counts as the first one again."""
_MAX_DOUBLINGS = 30
"""More doublings change nothing below any cap that we use, and a float would overflow one day."""


def ceiling_s(failures: int, first_s: float, cap_s: float) -> float:
    """Return min(cap, first × 2^failures): the longest delay after that many earlier failures."""
    return min(cap_s, first_s * 2.0 ** min(failures, _MAX_DOUBLINGS))


class Backoff:
    """Counts failures and returns the delay after each, drawn uniformly below a growing ceiling."""

    def __init__(
        self,
        random: Callable[[], float],
        first_s: float = FIRST_S,
        cap_s: float = CAP_S,
        healthy_s: float = HEALTHY_S,
        least: float = 0.0,
    ) -> None:
        """Start without failures.

        Args:
            random: Returns a number from [0, 1), as `random.random` does.
            first_s: The ceiling of the first delay; each failure doubles it.
            cap_s: The ceiling never exceeds this.
            healthy_s: After this much health the next failure counts as the first one.
            least: The share of the ceiling that a delay has at least; 0 is "full jitter".
        """
        self._random = random
        self._first_s = first_s
        self._healthy_s = healthy_s
        self._least = least
        self.cap_s = cap_s
        self.failures = 0

    def healthy(self, healthy_s: float) -> None:
        """Note that all has been well for `healthy_s` seconds: if long enough, forget failures."""
        if healthy_s >= self._healthy_s:
            self.failures = 0

    def failed(self, healthy_s: float = 0.0) -> float:
        """Note a failure after `healthy_s` seconds of health; return the delay in seconds."""
        self.healthy(healthy_s)
        share = self._least + (1.0 - self._least) * self._random()
        delay_s = share * ceiling_s(self.failures, self._first_s, self.cap_s)
        self.failures += 1
        return delay_s
