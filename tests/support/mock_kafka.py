"""librdkafka's own mock cluster: a broker in this process that real clients speak Kafka to.

It has producers, consumer groups and committed offsets, needs no Java, and starts in milliseconds.
Topics come into being when they are first used, with four partitions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

PARTITIONS = 4
"""Of a topic that the mock cluster creates."""


class MockKafka:
    """A running mock cluster."""

    def __init__(self) -> None:
        self._cluster: Any = Producer(
            {"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 3}
        )
        (broker,) = self._cluster.list_topics(timeout=5).brokers.values()
        self.bootstrap = f"{broker.host}:{broker.port}"
        self._producer: Any = Producer({"bootstrap.servers": self.bootstrap, "log_level": 3})

    def produce(self, topic: str, values: Sequence[bytes | None], partition: int = 0) -> None:
        """Produce records and wait until they are stored."""
        for value in values:
            self._producer.produce(topic, value, b"key", partition)
        assert self._producer.flush(5) == 0

    def records(self, topic: str, count: int, partition: int | None = None) -> list[Any]:
        """The first records of a partition, or of all, as confluent-kafka's messages."""
        numbers = range(PARTITIONS) if partition is None else (partition,)
        with _consumer(self.bootstrap, "reader") as consumer:
            consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
            found: list[Any] = []
            until_s = time.monotonic() + 10.0
            while len(found) < count and time.monotonic() < until_s:
                found += [m for m in consumer.consume(count, 0.1) if m.error() is None]
        assert len(found) == count
        return found

    def committed(self, group: str, topic: str, partition: int = 0) -> tuple[int, str]:
        """Offset and metadata that a group has committed; a negative offset: none."""
        with _consumer(self.bootstrap, group) as consumer:
            (found,) = consumer.committed([TopicPartition(topic, partition)], timeout=5)
        return found.offset, found.metadata or ""

    def commit(self, group: str, topic: str, offsets: Sequence[tuple[int, int, str]]) -> None:
        """Commit partitions, offsets and metadata for a group without members."""
        with _consumer(self.bootstrap, group) as consumer:
            consumer.commit(
                offsets=[TopicPartition(topic, *item) for item in offsets], asynchronous=False
            )


@contextmanager
def _consumer(bootstrap: str, group: str) -> Iterator[Any]:
    consumer: Any = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "log_level": 3,
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()
