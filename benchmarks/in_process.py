"""The worker's processing without Faust: processor, core, producer and tables in one process.

The tables are in memory, as Faust's are, and their changelogs are written to Kafka. Raw records
are handed over as a fetcher would: what came together at once.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple

from schemas import feeds
from schemas.clock import SystemClock
from schemas.config.settings import load_settings
from schemas.records import HourlyBar
from schemas.serde.raw_frames import RawFrameReader
from schemas.serde.registry import SchemaCatalog
from stream_app.core.columns.judging import Encoders
from stream_app.settings import WorkerSettings
from stream_app.worker.checkpoint import Tables
from stream_app.worker.fetcher import MAX_BATCH_BYTES
from stream_app.worker.output_producer import OutputProducer, output_encoders
from stream_app.worker.processor import Processor
from stream_app.worker.raw_batches import Backlog, RawRecord

CHANGELOG = "bench.changelog"
MAX_CONTRACTS = 200_000


class Raw(NamedTuple):
    """A raw record of one topic."""

    partition: int
    offset: int
    value: bytes


class Table:
    """A table in memory, with its changelog on Kafka."""

    def __init__(self, producer: OutputProducer, data: dict[bytes, bytes]) -> None:
        self.data = data
        self._producer = producer

    def get(self, key: bytes) -> bytes | None:
        """Return a stored value."""
        return self.data.get(key)

    async def put(self, records: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Store values by (partition, key, value); return when the changelog has them."""
        self.data.update((key, value) for _, key, value in records)
        await self._producer.store(CHANGELOG, records)


class _NoBars:
    """The table of bars. No hour ends in these measurements."""

    async def _put(self) -> None: ...

    def put(self, partition: int, bar: HourlyBar) -> Awaitable[Any]:
        """Forget a bar."""
        del partition, bar
        return self._put()

    def newest(self, contract: str, limit: int) -> list[HourlyBar]:
        """Return no bars."""
        del contract, limit
        return []


class _Log:
    """A raw log without holes."""

    async def begin(self, topic: str, partition: int) -> int:
        """Return the oldest offset."""
        del topic, partition
        return 0

    def end(self, topic: str, partition: int) -> int | None:
        """Return that the end is not known."""
        del topic, partition
        return None


async def _is_owner() -> bool:
    """Tell the checkpoint that no other worker has taken over."""
    return True


class InProcess:
    """A processor of one raw topic. Create it in a process of its own: it raises the feed's cap."""

    def __init__(
        self,
        bootstrap: str,
        registry: str,
        topic: str,
        contracts: dict[bytes, bytes],
        baselines: dict[bytes, bytes],
    ) -> None:
        """`contracts`, `baselines`: the tables' content, which is read as a restart reads it."""
        feed = feeds.spec(topic.rpartition(".")[2])
        # A measurement of 100,000 contracts is about one feed that has them.
        feeds._BY_NAME[feed.name] = feed._replace(max_contracts=MAX_CONTRACTS)  # noqa: SLF001
        settings = load_settings(WorkerSettings, kafka_bootstrap=bootstrap, registry_url=registry)
        catalog, clock = SchemaCatalog(settings), SystemClock()
        self._topic = topic
        encoders = output_encoders(catalog)
        self._producer = OutputProducer(settings, encoders, clock)
        self.contracts = Table(self._producer, contracts)
        self.baselines = Table(self._producer, baselines)
        tables = Tables(self.contracts, self.baselines, _NoBars())
        self.processor = Processor(
            RawFrameReader(catalog.schema_text),
            Encoders.of(encoders),
            self._producer,
            tables,
            _Log(),
            clock,
        )

    def assign(self, partitions: int) -> None:
        """Load the state of the first so many partitions from the tables."""
        for partition in range(partitions):
            self.processor.assign(self._topic, partition)

    async def feed(self, records: Sequence[Raw]) -> None:
        """Process records that were fetched together."""
        backlog = Backlog()
        for partition, offset, value in records:
            backlog.add((self._topic, partition), RawRecord(offset, None, value))
        while backlog:
            some = backlog.take(MAX_BATCH_BYTES)
            await self.processor.admit(some)
            self.processor.handle_batch(some)

    async def flush(self) -> None:
        """Make everything durable."""
        await self.processor.flush(_is_owner)


class Cpu(NamedTuple):
    """CPU seconds of this process so far: of the calling thread, and of all threads."""

    thread_s: float
    process_s: float

    @classmethod
    def now(cls) -> Cpu:
        """Read the clocks."""
        return cls(time.thread_time(), time.process_time())

    def since(self, before: Cpu, updates: int) -> Cpu:
        """Return the µs for each of some updates since a reading before."""
        thread_s, process_s = self.thread_s - before.thread_s, self.process_s - before.process_s
        return Cpu(thread_s * 1e6 / updates, process_s * 1e6 / updates)
