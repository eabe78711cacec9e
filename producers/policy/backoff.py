"""Full-jitter exponential backoff, reset only by lasting health. Pure: randomness is passed in.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog 2015, "full jitter". Not
responsible for: waiting.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 1.0
CAP_S = 60.0
HEALTHY_S = 60.0
"""Data must have flowed this long before the next failure counts as a first one."""


class Backoff:
    """Delays between attempts: uniform in [0, min(cap, first × 2^n))."""

    def __init__(
        self,
        random: Callable[[], float],
        first_s: float = FIRST_S,
        cap_s: float = CAP_S,
        healthy_s: float = HEALTHY_S,
    ) -> None:
        """`healthy_s`: health that lasted so long is forgiveness."""
        self._random = random
        self._healthy_s = healthy_s
        self._first_s = first_s
        self.cap_s = cap_s
        self.failures = 0

    def healthy(self, healthy_s: float) -> None:
        """Note data for so long, without a failure behind it."""
        if healthy_s >= self._healthy_s:
            self.failures = 0

    def failed(self, healthy_s: float = 0.0) -> float:
        """Note a failure after `healthy_s` of data and return the delay before the next try."""
        self.healthy(healthy_s)
        ceiling = min(self.cap_s, self._first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return self._random() * ceiling
