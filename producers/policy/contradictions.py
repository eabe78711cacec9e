"""When a feed's list is asked for again because the stream contradicts it. Pure.

Workers see that what the stream shows of a contract (the time of its next settlement, a rate beyond
its cap) contradicts what the exchange's list says of it. The list is the better source once it is
up to date, so they name the feed in their reports, once a second, for as long as it lasts. The list
is asked for at once. If that does not help, because the exchange itself is behind or the worker is
mistaken, it is asked for again ever more seldom. Workers name a contradiction for half an hour at
most, so the pause stays short: another contract's may begin meanwhile.
"""

from __future__ import annotations

from schemas.backoff import ceiling_s

FIRST_PAUSE_S = 15.0
"""Between the first two requests: a reply and the report that follows it take a few seconds."""
LONGEST_PAUSE_S = 120.0


class Contradictions:
    """The contradictions of one feed. Times are monotonic seconds."""

    def __init__(self, refresh_s: float, first_pause_s: float = FIRST_PAUSE_S) -> None:
        """`refresh_s`: interval of the regular requests; no pause is longer.

        A feed that was not named for so long begins anew.
        """
        self._refresh_s = refresh_s
        self._longest_s = min(LONGEST_PAUSE_S, refresh_s)
        self._first_pause_s = first_pause_s
        self._asked = 0
        """Requests since the contradiction began."""
        self._asked_s = self._named_s = float("-inf")

    def named(self, now_s: float) -> bool:
        """Note that a report names the feed; return whether the list is to be asked for now."""
        if now_s - self._named_s >= self._refresh_s:
            self._asked = 0
        self._named_s = now_s
        if now_s - self._asked_s < self._pause_s:
            return False
        self._asked += 1
        self._asked_s = now_s
        return True

    @property
    def _pause_s(self) -> float:
        """The least time from the last request to the next one."""
        return ceiling_s(max(0, self._asked - 1), self._first_pause_s, self._longest_s)
