"""Publishes a feed's events and its status: on news, and every few seconds with the time.

It runs beside the monitor, which must not wait for Kafka.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from producers.kafka.event_log import FeedEventLog
from producers.kafka.publisher import Publisher
from producers.rest.waiting import wait_for_event
from schemas.clock import Clock
from schemas.control_items import TICK_S
from schemas.records import FeedStatus


async def report_forever(
    event_log: FeedEventLog, publisher: Publisher, status: Callable[[], FeedStatus], clock: Clock
) -> NoReturn:
    """Publish until cancelled."""
    due_s = clock.monotonic_s()
    while True:
        await event_log.publish()
        await publisher.publish_status(status())
        late_s = clock.monotonic_s() - due_s
        if late_s >= 0:
            await publisher.tick(event_log.identity, clock.now_us())
            due_s += TICK_S * (1 + late_s // TICK_S)
        await wait_for_event(event_log.news, due_s - clock.monotonic_s())
