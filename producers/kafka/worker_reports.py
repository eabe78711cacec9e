"""Paces settled history by what the workers report on `funding.workers`: live rates come first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from producers.policy.history_pace import HistoryPace
from producers.policy.throttle import Throttle
from producers.settings import ProducerSettings
from schemas.kafka.topic_follower import TopicFollower
from schemas.records import WorkerStatus
from schemas.serde.registry import SchemaCatalog
from schemas.topics import WORKERS

LOOK_S = 0.5
"""Between two looks at the pace; reports come once a second."""


@asynccontextmanager
async def yielding_throttle(
    settings: ProducerSettings, catalog: SchemaCatalog
) -> AsyncIterator[Throttle]:
    """Give the pacer of all settled history: a turn for each row, slower while workers are late."""
    loop = asyncio.get_running_loop()
    pace = HistoryPace(settings.producer_history_rows_per_s, time.monotonic())
    throttle = Throttle(pace.per_s)

    def take(_key: bytes | None, report: WorkerStatus | None) -> None:
        if report is not None:
            delay_s = report["delay_p50_s"]
            loop.call_soon_threadsafe(pace.report, report["worker"], delay_s, time.monotonic())

    async def look() -> None:
        while True:
            throttle.per_s = pace.look(time.monotonic())
            await asyncio.sleep(LOOK_S)

    reports = TopicFollower(settings, catalog, WORKERS, take, from_beginning=False)
    reports.start()
    looking = asyncio.create_task(look())
    try:
        yield throttle
    finally:
        looking.cancel()
        await asyncio.to_thread(reports.stop)
