"""Settled history on its way to Kafka: pages, the marks around a backfill, acknowledgements."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from producers.exchanges.spec import Slice, unreadable
from producers.kafka.publisher import Publisher, UndeliveredError, connection_id
from schemas.clock import Clock
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, MAX_UNREADABLE_BYTES, UNREADABLE

log = logging.getLogger(__name__)

DELIVERY_ATTEMPTS = 10
"""Waits of 30 s for Kafka before a bookmark is left where it is."""


class HistoryPublisher:
    """Publishes the history of one feed, all under one connection id."""

    def __init__(self, feed: str, publisher: Publisher, clock: Clock) -> None:
        self._feed = feed
        self._publisher = publisher
        self._clock = clock
        self._connection_id = connection_id(feed, "history", clock.now_us())

    async def page(
        self, channel: str, slices: Sequence[Slice], contracts: Collection[str], received_at: int
    ) -> None:
        """Publish the rows of a page that are about these contracts, and the unreadable ones."""
        odd = unreadable(slices)
        if odd:
            first = odd[0].payload[:200]
            log.warning("%s: %d unreadable rows of history: %r", self._feed, len(odd), first)
        ours = [piece for piece in slices if piece.symbol in contracts or not piece.readable]
        await self._publish(ours, channel, received_at)

    async def unreadable_page(self, body: bytes, received_at: int) -> None:
        """Send a page that cannot be read to the dead letters."""
        await self._publish([Slice(None, body[:MAX_UNREADABLE_BYTES])], UNREADABLE, received_at)

    async def announce(self, contracts: Sequence[str]) -> None:
        """Mark the begin of a backfill of these contracts."""
        await self._mark(BACKFILL_BEGIN, contracts)

    async def release(self, contracts: Sequence[str]) -> bool:
        """Mark its end, whether the history came or not; False: Kafka may not have it."""
        await self._mark(BACKFILL_END, contracts)
        return await self.acknowledged()

    async def acknowledged(self) -> bool:
        """Wait for Kafka; False: it is away for long, what was published stays on its way."""
        for _ in range(DELIVERY_ATTEMPTS):
            try:
                await self._publisher.acknowledged()
            except UndeliveredError as error:
                log.warning("%s: %s", self._feed, error)
            else:
                return True
        return False

    async def _mark(self, marker: str, contracts: Sequence[str]) -> None:
        marks = [Slice(symbol, b"") for symbol in contracts]
        await self._publish(marks, marker, self._clock.now_us())

    async def _publish(self, slices: Sequence[Slice], channel: str, received_at: int) -> None:
        await self._publisher.publish(
            slices,
            transport="rest",
            purpose="history",
            channel=channel,
            connection_id=self._connection_id,
            received_at=received_at,
        )
