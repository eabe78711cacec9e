"""What happens too often to be reported each time is reported as a number a minute. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.control_items import FeedEvent
from schemas.times import US_PER_S

EVERY_S = 60.0


class EventCounts:
    """Totals of one feed, by kind of event, as of their last report."""

    def __init__(self, feed: str, now_s: float) -> None:
        """`now_s`: monotonic time of the start."""
        self._feed = feed
        self._reported_s = now_s
        self._reported: Mapping[str, int] = {}

    def observe(self, totals: Mapping[str, int], now_s: float, at_us: int) -> list[FeedEvent]:
        """Take the totals; once a minute report what was added, by kind, where anything was."""
        passed_s = now_s - self._reported_s
        if passed_s < EVERY_S:
            return []
        feed, from_us = self._feed, at_us - int(passed_s * US_PER_S)
        added = {kind: total - self._reported.get(kind, 0) for kind, total in totals.items()}
        self._reported_s, self._reported = now_s, dict(totals)
        return [FeedEvent(kind, feed, from_us, at_us, new) for kind, new in added.items() if new]
