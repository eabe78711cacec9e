"""Which texts are sent because the exchange asks for them, as answers to its pings. Pure.

What is sent is up to the exchange, so an exchange out of its mind must not make us flood it.
"""

from __future__ import annotations

from collections import deque

MAX_PER_S = 5
"""More pings a second are not answered; exchanges send one in 5 to 30 s."""
MAX_CHARS = 512
"""A longer answer, which would repeat what the exchange sent, is none."""


class Replies:
    """The answers on one socket, over all of its connections. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._sent_s: deque[float] = deque(maxlen=MAX_PER_S)
        self.total = 0
        """Answers that were sent."""
        self.refused = 0
        """Answers that were not."""

    def allows(self, text: str, now_s: float) -> bool:
        """Tell whether an answer may be sent now, and count it."""
        full = len(self._sent_s) == MAX_PER_S
        if len(text) > MAX_CHARS or (full and now_s - self._sent_s[0] < 1.0):
            self.refused += 1
            return False
        self._sent_s.append(now_s)
        self.total += 1
        return True
