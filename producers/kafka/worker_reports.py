"""Follows the workers' reports on `funding.workers` and does what they ask of the producers.

Settled history slows down while live rates wait, and a feed's list of contracts is asked for again
while the stream contradicts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from producers.policy.contradictions import Contradictions
from producers.policy.history_pace import HistoryPace
from producers.policy.throttle import Throttle
from producers.settings import ProducerSettings
from schemas.clock import Clock
from schemas.kafka.topic_follower import Followed, Source, TopicFollower
from schemas.records import WorkerStatus
from schemas.serde.registry import SchemaCatalog
from schemas.topics import WORKERS

LOOK_S = 0.5
"""Interval at which the pace is set anew; reports come once a second."""


class WorkerReports:
    """What the producers of one process take from the workers' reports."""

    def __init__(self, settings: ProducerSettings, clock: Clock) -> None:
        self._clock = clock
        self._refresh_s = settings.producer_registry_refresh_s
        self._pace = HistoryPace(settings.producer_history_rows_per_s, clock.monotonic_s())
        self.throttle = Throttle(self._pace.per_s)
        """That of all settled history: a turn a row, fewer while workers are late."""
        self._contradictions: dict[str, tuple[Contradictions, Callable[[], None]]] = {}
        """By feed: when its list is asked for, and by whom."""

    def when_contradicted(self, feed: str, ask: Callable[[], None]) -> None:
        """Have `ask` called when the list of a feed is to be asked for again."""
        self._contradictions[feed] = (Contradictions(self._refresh_s), ask)

    def take(self, report: WorkerStatus) -> None:
        """Take a worker's report."""
        now_s = self._clock.monotonic_s()
        self._pace.report(report["worker"], report["delay_p50_s"], now_s)
        for feed in frozenset(report["contradicted_feeds"]):
            found = self._contradictions.get(feed)
            # Other feeds are another process's.
            if found is not None and found[0].named(now_s):
                found[1]()

    def look(self) -> None:
        """Set the pace of settled history by the reports so far."""
        self.throttle.per_s = self._pace.look(self._clock.monotonic_s())


@asynccontextmanager
async def following_workers(
    settings: ProducerSettings, catalog: SchemaCatalog, clock: Clock
) -> AsyncIterator[WorkerReports]:
    """Follow the workers' reports until the block ends."""
    loop = asyncio.get_running_loop()
    reports = WorkerReports(settings, clock)

    def take(records: Sequence[Followed]) -> None:
        for followed in records:
            if followed.record is not None:
                loop.call_soon_threadsafe(reports.take, followed.record)

    async def look() -> None:
        while True:
            reports.look()
            await asyncio.sleep(LOOK_S)

    follower = TopicFollower(settings, catalog, [Source(WORKERS, since="next")], take)
    follower.start()
    looking = asyncio.create_task(look())
    try:
        yield reports
    finally:
        looking.cancel()
        await asyncio.to_thread(follower.stop)
