"""Keeps what a producer decides (transitions, gaps, refusals) until it is on the raw log.

The worker makes audit events of it, and alerts where the kind is one of an alert.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from producers.exchanges.spec import Slice
from producers.kafka.publisher import Publisher, connection_id
from schemas.audit_kinds import AuditKind
from schemas.clock import now_us
from schemas.control_items import FEED_EVENT, FeedEvent

log = logging.getLogger(__name__)

MAX_WAITING = 2_000
"""Events that wait while Kafka is away. Beyond it the oldest are dropped, and an event says how
many."""


class FeedEventLog:
    """The events of one feed that wait to be published."""

    def __init__(self, feed: str, publisher: Publisher) -> None:
        self._feed = feed
        self._publisher = publisher
        self._waiting: deque[FeedEvent] = deque()
        self._lost = 0
        self.identity = connection_id(feed, "producer")
        self.news = asyncio.Event()
        """Set while events wait to be published."""

    def note(self, event: FeedEvent) -> None:
        """Keep an event and log it; does not wait for Kafka."""
        log.info("%s: %s %s", self._feed, event.kind, event.detail)
        self._waiting.append(event)
        self.news.set()
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self._lost += 1

    async def publish(self) -> None:
        """Publish the events that wait, in one raw record."""
        self.news.clear()
        if self._lost:
            at = now_us()
            self._waiting.append(FeedEvent(AuditKind.EVENTS_LOST, self._feed, at, at, self._lost))
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
                received_at=now_us(),
            )
