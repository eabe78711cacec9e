"""Reads the workers' reports from `funding.workers`, so that history can wait for live rates."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from producers.history_pace import HistoryPace
from producers.pacing import Pacer
from producers.settings import ProducerSettings
from schemas.errors import MalformedInputError
from schemas.records import WORKER_STATUS, WorkerStatus
from schemas.registry import SchemaCatalog
from schemas.topics import WORKERS

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""Between two looks at the pace; reports come once a second."""
_POLL_S = 0.25
_MAX_REPORTS = 64


class WorkerReports:
    """Hands over each report that is written from now on. Reading blocks, so a thread does it."""

    def __init__(
        self,
        settings: ProducerSettings,
        catalog: SchemaCatalog,
        on_report: Callable[[WorkerStatus], None],
    ) -> None:
        """`on_report` is called in the reader's thread."""
        self._decode = catalog.decoder(WORKER_STATUS).decode
        self._on_report = on_report
        self._consumer: Any = Consumer(
            {
                **settings.librdkafka(),
                # Required by the client; partitions are assigned by hand, nothing is committed.
                "group.id": "fundingstream-worker-reports",
                "enable.auto.commit": False,
            },
            logger=log,
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker-reports", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End the reading and wait for it."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        self._consumer.assign([TopicPartition(WORKERS.name, 0, OFFSET_END)])
        while not self._stopping.is_set():
            try:
                messages = self._consumer.consume(_MAX_REPORTS, _POLL_S)
            except KafkaException as error:
                log.warning("no reports of workers: %s", error)
                self._stopping.wait(_POLL_S)
                continue
            for message in messages:
                self._take(message)
        self._consumer.close()

    def _take(self, message: Any) -> None:
        if message.error() is not None:
            return
        try:
            report = self._decode(message.value() or b"")
        except MalformedInputError as error:
            log.warning("%s offset %s: %s", WORKERS.name, message.offset(), error)
            return
        self._on_report(report)


@asynccontextmanager
async def yielding_pacer(
    settings: ProducerSettings, catalog: SchemaCatalog
) -> AsyncIterator[Pacer]:
    """Give the pacer of all settled history: a turn for each row, slower while workers are late."""
    loop = asyncio.get_running_loop()
    pace = HistoryPace(settings.producer_history_rows_per_s, time.monotonic())
    pacer = Pacer(pace.per_s)

    def take(report: WorkerStatus) -> None:
        loop.call_soon_threadsafe(pace.report, report["delay_p50_s"], time.monotonic())

    async def look() -> None:
        while True:
            pacer.per_s = pace.look(time.monotonic())
            await asyncio.sleep(LOOK_S)

    reports = WorkerReports(settings, catalog, take)
    reports.start()
    looking = asyncio.create_task(look())
    try:
        yield pacer
    finally:
        looking.cancel()
        await asyncio.to_thread(reports.stop)
