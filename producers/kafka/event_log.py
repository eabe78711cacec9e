"""Events of a feed (transitions, gaps, refusals) that wait for their place on the raw log.

The worker makes audit events of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from producers.exchanges.spec import Slice
from producers.kafka.publisher import Publisher, connection_id
from schemas.clock import Clock
from schemas.control_items import FEED_EVENT, FeedEvent

log = logging.getLogger(__name__)

MAX_WAITING = 2_000
"""Events that are kept while Kafka is away: the newest. How many older ones
were dropped is noted."""


class FeedEventLog:
    """The events of one feed that wait to be published."""

    def __init__(
        self, feed: str, publisher: Publisher, clock: Clock, max_waiting: int = MAX_WAITING
    ) -> None:
        self._feed = feed
        self._clock = clock
        self._max_waiting = max_waiting
        self._publisher = publisher
        self._waiting: deque[FeedEvent] = deque()
        self._lost = 0
        self.identity = connection_id(feed, "producer", clock.now_us())
        self.news = asyncio.Event()
        """Set while an event waits."""

    def note(self, event: FeedEvent) -> None:
        """Take an event, to be published by the next call of `publish`."""
        log.info("%s: %s %s", self._feed, event.kind, event.detail)
        self._waiting.append(event)
        self.news.set()
        if len(self._waiting) > self._max_waiting:
            self._waiting.popleft()
            self._lost += 1

    async def publish(self) -> None:
        """Publish the events that wait on the raw log."""
        self.news.clear()
        if self._lost:
            at = self._clock.now_us()
            self._waiting.append(FeedEvent("events_lost", self._feed, at, at, self._lost))
            self._lost = 0
        if self._waiting:
            pieces = [Slice(None, event.pack()) for event in self._waiting]
            self._waiting.clear()
            await self._publisher.publish(
                pieces,
                transport="rest",
                purpose="contract",
                channel=FEED_EVENT,
                connection_id=self.identity,
                received_at=self._clock.now_us(),
            )
