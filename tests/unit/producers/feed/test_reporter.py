"""A feed's reports: events and status on news, and the time every few seconds."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

from producers.feed.reporter import report_forever
from producers.kafka.event_log import FeedEventLog
from schemas.control_items import TICK_S, FeedEvent
from tests.support.clock import START_US, ManualClock
from tests.support.feed_parts import FakePublisher


class Kafka(FakePublisher):
    """Counts statuses and remembers ticks."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses = 0
        self.ticks: list[int] = []

    async def publish_status(self, _status: Any) -> None:
        """Count it."""
        self.statuses += 1

    async def tick(self, _identity: str, received_at: int) -> None:
        """Remember its time."""
        self.ticks.append(received_at)


async def test_news_are_reported_at_once_and_the_time_when_it_is_due() -> None:
    """A report on news does not bring the next tick forward; one that is late is made up for."""
    clock, kafka = ManualClock(), Kafka()
    events = FeedEventLog("kucoin", cast("Any", kafka), clock)
    rounds: asyncio.Queue[None] = asyncio.Queue()

    def status() -> Any:
        rounds.put_nowait(None)

    reporting = asyncio.create_task(report_forever(events, cast("Any", kafka), status, clock))
    async with asyncio.timeout(10):
        await rounds.get()
        for passed_s in (1.0, 2.5 * TICK_S, 1.0):
            clock.advance(passed_s)
            events.note(FeedEvent("started", "kucoin", START_US, START_US))
            await rounds.get()
    # The last report is under way: it waits for nothing before it ends its round.
    await asyncio.sleep(0)
    reporting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reporting
    assert [(at - START_US) / 1e6 for at in kafka.ticks] == [0.0, 1.0 + 2.5 * TICK_S]
    assert kafka.statuses == 4
    assert len(kafka.log) == 3
