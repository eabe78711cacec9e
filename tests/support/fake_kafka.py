"""A publisher over a Kafka client that only remembers, for tests of the producers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from producers.exchanges.spec import Slice
from producers.kafka.batching import RecordLimits
from producers.kafka.publisher import Publisher
from producers.settings import ProducerSettings
from schemas.records import RawBatch
from tests.support.clock import ManualClock

FEED = "binance-usdm"


class FakeProducer:
    """librdkafka's producer as far as the publisher uses it; it refuses `full` records first."""

    def __init__(self, _config: dict[str, Any], **_more: Any) -> None:
        self.sent: list[tuple[str, Any, bytes | None, int]] = []
        self.callbacks: list[Callable[[Any, Any], None]] = []
        self.full = 0
        self.refused = asyncio.Event()
        """Set once a record was refused."""
        self.taken = asyncio.Event()
        """Set once a record was taken."""
        self.left = 0

    def produce(
        self, topic: str, value: Any, key: bytes | None, partition: int, on_delivery: Any
    ) -> None:
        """Take a record, unless it is to be refused."""
        if self.full:
            self.full -= 1
            self.refused.set()
            raise BufferError
        self.sent.append((topic, value, key, partition))
        self.callbacks.append(on_delivery)
        self.taken.set()

    def poll(self, _timeout: float) -> int:
        """Serve nothing: tests call the callbacks."""
        return 0

    def flush(self, _timeout: float) -> int:
        """Return how many records are still on their way."""
        return self.left


class FakeCatalog:
    """Encodes nothing: records arrive at the fake producer as they are."""

    def encoder(self, _topic: Any) -> Any:
        """Return an encoder that returns what it gets."""
        return SimpleNamespace(encode=lambda record: record)


def publisher_of(
    limits: RecordLimits | None = None, clock: ManualClock | None = None
) -> tuple[Publisher, FakeProducer]:
    """Return a publisher and the client below it."""
    publisher = Publisher(
        FEED,
        ProducerSettings(),
        cast("Any", FakeCatalog()),
        clock or ManualClock(),
        client=FakeProducer,
        limits=limits or RecordLimits(),
        full_s=0.0,
    )
    return publisher, cast("FakeProducer", publisher._producer)


async def publish(to: Publisher, slices: list[Slice], connection: str = "c/1") -> int:
    """Publish the pieces of one frame."""
    return await to.publish(
        slices,
        transport="ws",
        purpose="stream",
        channel="!markPrice@arr@1s",
        connection_id=connection,
        received_at=1_700_000_000_000_000,
    )


def batches(fake: FakeProducer) -> list[tuple[int, RawBatch]]:
    """What was produced: partition and record."""
    return [(partition, value) for _topic, value, _key, partition in fake.sent]
