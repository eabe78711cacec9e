"""What is fetched goes to the processor, between an assignment and its end alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from stream_app.worker.fetcher import FetchedBatch
from stream_app.worker.raw_batches import Batch, Partition, RawRecord
from stream_app.worker.raw_input import RawInput
from tests.support.processors import TOPIC, Bench, Message, ticks
from tests.support.waiting import eventually

PARTITION = (TOPIC, 0)


class Source:
    """A fetcher whose batches come from the test."""

    def __init__(self) -> None:
        self.generation = 0
        self.starts: dict[Partition, int | None] = {}
        self.batches: asyncio.Queue[FetchedBatch] = asyncio.Queue()

    def fetch(self, starts: Mapping[Partition, int | None]) -> None:
        """Begin an assignment."""
        self.generation += 1
        self.starts = dict(starts)

    def stop_fetching(self) -> None:
        """End it."""
        self.fetch({})

    async def next_batch(self) -> FetchedBatch:
        """The next one, of whatever assignment."""
        return await self.batches.get()

    def is_current(self, batch: FetchedBatch) -> bool:
        """Of the current assignment."""
        return batch.generation == self.generation

    @property
    def has_waiting(self) -> bool:
        """A batch waits."""
        return not self.batches.empty()

    def bring(self, messages: list[Message]) -> None:
        """Hand over one batch."""
        records = [RawRecord(m.offset, m.timestamp_us, m.value) for m in messages]
        batch: Batch = {PARTITION: records}
        self.batches.put_nowait(FetchedBatch(self.generation, batch))


class Case:
    """An input with a processor whose log and tables are in memory."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.source = Source()
        self.failed: list[str] = []
        self.input = RawInput(
            self.source, self.bench.processor, self.bench.flusher.give_way, self.failed.append
        )

    async def begin(self, committed: int | None) -> None:
        """Be assigned a partition, whose contracts are known."""
        await self.input.begin({PARTITION: committed})
        for message in ticks(1, 1):
            self.bench._know(message)

    async def applied(self, offsets: list[int]) -> None:
        """Wait until exactly these are applied."""
        await eventually(lambda: self.input.is_idle, "all is processed", 10)
        assert self.bench.applied() == offsets


@asynccontextmanager
async def running() -> AsyncIterator[Case]:
    """An input that runs."""
    case = Case()
    task = asyncio.create_task(case.input.run())
    try:
        yield case
    finally:
        task.cancel()


async def test_batches_are_applied_in_order() -> None:
    """From where the group was on."""
    async with running() as case:
        await case.begin(5)
        assert case.source.starts == {PARTITION: 5}
        case.source.bring(ticks(5, 7))
        case.source.bring(ticks(8, 9))
        assert not case.input.is_idle
        await case.applied([5, 6, 7, 8, 9])
    assert case.failed == []


async def test_what_is_queued_at_a_revocation_is_not_applied() -> None:
    """The next owner reads it; so does this one, if the partition stays here."""
    async with running() as case:
        await case.begin(None)
        case.source.bring(ticks(5, 6))
        await case.applied([5, 6])
        await case.bench.flush()
        case.source.bring(ticks(7, 9))
        case.input.stop()
        await case.applied([5, 6])
        await case.begin(7)
        assert case.source.starts == {PARTITION: 7}
        case.source.bring(ticks(7, 9))
        await case.applied([5, 6, 7, 8, 9])


async def test_a_batch_revoked_while_kafka_is_asked_is_not_applied() -> None:
    """A gap shows; until Kafka has said where the log begins, the partition is another's."""
    asked = asyncio.Event()
    answer = asyncio.Event()

    async def begin(_topic: str, _partition: int) -> int:
        asked.set()
        await answer.wait()
        return 8

    async with running() as case:
        case.bench.log.begin = begin  # type: ignore[method-assign, assignment]
        await case.begin(None)
        case.source.bring(ticks(5, 6))
        await case.applied([5, 6])
        case.source.bring(ticks(8, 9))
        await asked.wait()
        case.input.stop()
        answer.set()
        await case.applied([5, 6])
    assert case.failed == []


async def test_a_hole_ends_the_process() -> None:
    """With its place as the reason."""
    async with running() as case:
        await case.begin(None)
        case.source.bring(ticks(5, 6))
        case.source.bring(ticks(9, 9))
        await eventually(lambda: case.failed, "it has failed", 10)
        assert "record 9 came, and 7 has not" in case.failed[0]
        assert case.bench.applied() == [5, 6]


async def test_a_partition_that_moves_away_is_forgotten() -> None:
    """Its state is another worker's to change."""
    async with running() as case:
        await case.begin(None)
        await case.input.begin({(TOPIC, 3): None})
        assert list(case.bench.processor.assigned()) == [(TOPIC, 3)]
        case.input.forget()
        assert list(case.bench.processor.assigned()) == []
