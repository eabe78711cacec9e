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
        self._allowed_s: deque[float] = deque(maxlen=MAX_PER_S)
        self.total = 0
        """Answers that were sent."""
        self.refused = 0
        """Answers that were not."""

    def allows(self, text: str, now_s: float) -> bool:
        """Tell whether an answer may be sent now; one that may not is counted as refused."""
        full = len(self._allowed_s) == MAX_PER_S
        if len(text) > MAX_CHARS or (full and now_s - self._allowed_s[0] < 1.0):
            self.refused += 1
            return False
        self._allowed_s.append(now_s)
        return True

    def sent(self) -> None:
        """Count an answer that was sent."""
        self.total += 1

    def dropped(self) -> None:
        """Count an answer that was allowed and not sent: the exchange reads none."""
        self.refused += 1
