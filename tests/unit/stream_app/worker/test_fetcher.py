"""The fetcher against librdkafka's mock cluster: which records come, and that old ones do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import KafkaError

from schemas.clock import SystemClock
from stream_app.settings import WorkerSettings
from stream_app.worker import fetcher as fetching
from stream_app.worker.fetcher import Fetcher
from stream_app.worker.raw_batches import Partition
from tests.support.mock_kafka import MockKafka
from tests.support.waiting import eventually

TOPIC = "funding.raw.kucoin"
PARTITION = (TOPIC, 1)
OTHER = (TOPIC, 2)


class Case:
    """A fetcher on a broker, and why it has failed."""

    def __init__(self) -> None:
        self.kafka = MockKafka()
        self.failed: list[str] = []
        settings = WorkerSettings(kafka_bootstrap=self.kafka.bootstrap)
        self.fetcher = Fetcher(settings, SystemClock(), self.failed.append)

    async def offsets(self, count: int) -> dict[Partition, list[int]]:
        """The offsets of the next records, by partition."""
        found: dict[Partition, list[int]] = {}
        async with asyncio.timeout(20):
            while sum(len(offsets) for offsets in found.values()) < count:
                for partition, records in (await self.fetcher.next_batch()).records.items():
                    found.setdefault(partition, []).extend(r.offset for r in records)
        return found


@asynccontextmanager
async def running(starts: Mapping[Partition, int | None]) -> AsyncIterator[Case]:
    """Nine records on one partition, four on another; some are fetched from the start on."""
    case = Case()
    case.kafka.produce(TOPIC, [b"%d" % n for n in range(9)], PARTITION[1])
    case.kafka.produce(TOPIC, [b"%d" % n for n in range(4)], OTHER[1])
    case.fetcher.start()
    case.fetcher.fetch(starts)
    try:
        yield case
    finally:
        case.fetcher.close()
        assert case.failed == []


async def test_each_partition_is_fetched_from_its_offset() -> None:
    """Or from its oldest record; others are not fetched."""
    async with running({PARTITION: 6, OTHER: None}) as case:
        assert await case.offsets(7) == {PARTITION: [6, 7, 8], OTHER: [0, 1, 2, 3]}


async def test_a_record_keeps_its_value_and_time() -> None:
    """Kafka's time in microseconds; a tombstone has no value."""
    async with running({OTHER: 3}) as case:
        case.kafka.produce(TOPIC, [None], OTHER[1])
        records = [(await case.fetcher.next_batch()).records[OTHER]]
        while sum(len(some) for some in records) < 2:
            records.append((await case.fetcher.next_batch()).records[OTHER])
        first, last = (record for some in records for record in some)
    assert (first.value, last.value) == (b"3", None)
    assert first.timestamp_us is not None
    assert first.timestamp_us > 1_700_000_000_000_000


async def test_a_new_assignment_replaces_the_one_before() -> None:
    """What was fetched for that and waits is dropped, though its partition is assigned again."""
    async with running({PARTITION: 0}) as case:
        await eventually(lambda: case.fetcher.has_waiting, "a batch waits", 20)
        case.fetcher.fetch({PARTITION: 5, OTHER: 2})
        assert await case.offsets(6) == {PARTITION: [5, 6, 7, 8], OTHER: [2, 3]}


async def test_nothing_is_handed_over_after_a_stop() -> None:
    """Neither what waits nor what is taken out at that moment."""
    async with running({PARTITION: 0}) as case:
        taken = await case.fetcher.next_batch()
        case.kafka.produce(TOPIC, [b"more"], PARTITION[1])
        await eventually(lambda: case.fetcher.has_waiting, "a batch waits", 20)
        assert case.fetcher.is_current(taken)
        case.fetcher.stop_fetching()
        assert not case.fetcher.is_current(taken)
        assert not case.fetcher.has_waiting
        case.fetcher.fetch({OTHER: 1})
        assert await case.offsets(3) == {OTHER: [1, 2, 3]}


async def test_a_backlog_waits_at_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most MAX_BATCHES batches are in memory, and all come in the end."""
    monkeypatch.setattr(fetching, "MAX_BATCH_BYTES", 2)
    async with running({PARTITION: 0}) as case:
        room = case.fetcher._room
        await eventually(lambda: room._value == 0, "all room is taken", 20)
        assert case.fetcher._batches.qsize() == fetching.MAX_BATCHES
        assert await case.offsets(9) == {PARTITION: list(range(9))}


async def test_the_end_of_the_log_is_known_after_a_fetch() -> None:
    """Also of a partition without new records, and not of one that is not fetched."""
    async with running({PARTITION: 9, OTHER: 0}) as case:
        assert await case.offsets(4) == {OTHER: [0, 1, 2, 3]}
        await eventually(lambda: case.fetcher.end(*PARTITION) == 9, "the end is known", 20)
        assert case.fetcher.end(*OTHER) == 4
        assert case.fetcher.end(TOPIC, 3) is None


@pytest.mark.parametrize(
    ("code", "fatal"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, True),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, True),
        (KafkaError._ALL_BROKERS_DOWN, False),
        (KafkaError._TRANSPORT, False),
    ],
)
def test_what_waiting_mends_does_not_end_the_process(code: int, *, fatal: bool) -> None:
    """A broker that is away comes back; a right that is missing does not."""
    failed: list[str] = []
    fetcher = Fetcher(WorkerSettings(), SystemClock(), failed.append)
    fetcher._on_error(KafkaError(code))
    assert bool(failed) == fatal
