"""Slows settled history down while workers report on `funding.workers` that live rates wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from producers.policy.history_pace import HistoryPace
from producers.policy.throttle import Throttle
from producers.settings import ProducerSettings
from schemas.clock import Clock
from schemas.kafka.topic_follower import TopicFollower
from schemas.records import WorkerStatus
from schemas.serde.registry import SchemaCatalog
from schemas.topics import WORKERS

LOOK_S = 0.5
"""Interval at which the pace is set anew; reports come once a second."""


@asynccontextmanager
async def yielding_throttle(
    settings: ProducerSettings, catalog: SchemaCatalog, clock: Clock
) -> AsyncIterator[Throttle]:
    """Yield the throttle of all settled history: a turn a row, fewer while workers are late."""
    loop = asyncio.get_running_loop()
    pace = HistoryPace(settings.producer_history_rows_per_s, clock.monotonic_s())
    throttle = Throttle(pace.per_s)

    def take(_key: bytes | None, report: WorkerStatus | None) -> None:
        if report is not None:
            delay_s = report["delay_p50_s"]
            loop.call_soon_threadsafe(pace.report, report["worker"], delay_s, clock.monotonic_s())

    async def look() -> None:
        while True:
            throttle.per_s = pace.look(clock.monotonic_s())
            await asyncio.sleep(LOOK_S)

    reports = TopicFollower(settings, catalog, WORKERS, take, from_beginning=False)
    reports.start()
    looking = asyncio.create_task(look())
    try:
        yield throttle
    finally:
        looking.cancel()
        await asyncio.to_thread(reports.stop)
