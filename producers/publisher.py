"""The only Kafka client of the producers: raw batches by partition, and feed status.

Idempotent, compressed, bounded: when Kafka is away the queue fills to its cap and `publish` waits,
which stops the reading. Not responsible for: what is published, or why.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaException, Producer

from producers.exchanges.description import Slice
from producers.settings import ProducerSettings
from schemas import topics
from schemas.contracts import PARTITIONS, contract_id, partition_of
from schemas.errors import UnavailableError
from schemas.records import FeedStatus, Purpose, RawBatch, RawItem, Transport
from schemas.registry import SchemaCatalog
from schemas.times import now_us

log = logging.getLogger(__name__)

QUEUE_RECORDS = 20_000
QUEUE_KIB = 64 * 1024
BATCH_BYTES = 1 << 20
"""A record is cut before it grows beyond this; the topic takes four times as much."""
_POLL_S = 0.01
_FULL_S = 0.05


class Publisher:
    """Publishes the raw batches and the status of one feed."""

    def __init__(self, feed: str, settings: ProducerSettings, catalog: SchemaCatalog) -> None:
        self._feed = feed
        self._topic = topics.raw_topic(feed)
        self._encode = catalog.encoder(topics.raw_topic_spec(feed)).encode
        self._encode_status = catalog.encoder(topics.STATUS).encode
        self._bootstrap = settings.kafka_bootstrap
        self._producer = Producer(
            {
                **settings.librdkafka(),
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": settings.producer_linger_ms,
                # Never give up: a full queue stops the reading, nothing is dropped.
                "message.timeout.ms": 0,
                "queue.buffering.max.messages": QUEUE_RECORDS,
                "queue.buffering.max.kbytes": QUEUE_KIB,
                "message.max.bytes": topics.MAX_MESSAGE_BYTES,
            },
            logger=log,
        )
        self._sequences: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._error: str | None = None
        self.items = 0
        self.batches = 0
        self.waits = 0

    async def publish(
        self,
        slices: Iterable[Slice],
        *,
        transport: Transport,
        purpose: Purpose,
        channel: str,
        connection_id: str,
        received_at: int,
    ) -> int:
        """Publish the pieces of one message, each on its contract's partition.

        Pieces without a symbol go to partition 0. Returns the number of items.
        """
        by_partition: dict[int, list[RawItem]] = {}
        count = 0
        for symbol, payload in slices:
            partition = 0 if symbol is None else partition_of(contract_id(self._feed, symbol))
            by_partition.setdefault(partition, []).append(
                {"symbol": symbol, "payload": payload, "received_at": received_at}
            )
            count += 1
        assert all(0 <= partition < PARTITIONS for partition in by_partition)
        for partition, items in by_partition.items():
            for chunk in _chunks(items):
                key = (connection_id, partition)
                batch: RawBatch = {
                    "feed": self._feed,
                    "transport": transport,
                    "purpose": purpose,
                    "channel": channel,
                    "connection_id": connection_id,
                    "sequence": self._sequences[key],
                    "received_at": received_at,
                    "items": chunk,
                }
                await self._produce(self._topic, self._encode(batch), partition, None)
                self._sequences[key] += 1
                self.batches += 1
        self.items += count
        return count

    def forget(self, connection_id: str) -> None:
        """Drop the sequence counters of a connection that is closed for good."""
        for key in [key for key in self._sequences if key[0] == connection_id]:
            del self._sequences[key]

    async def publish_status(self, status: FeedStatus) -> None:
        """Publish the feed's status."""
        await self._produce(
            topics.STATUS.name, self._encode_status(status), 0, status["feed"].encode()
        )

    async def _produce(self, topic: str, value: bytes, partition: int, key: bytes | None) -> None:
        while True:
            if self._error is not None:
                raise UnavailableError(self._error)
            try:
                self._producer.produce(topic, value, key, partition, on_delivery=self._on_delivery)
            except BufferError:
                self.waits += 1
                self._producer.poll(0)
                await asyncio.sleep(_FULL_S)
                continue
            except KafkaException as error:
                raise UnavailableError(f"cannot produce to {topic}: {error}") from error
            self._producer.poll(0)
            return

    def _on_delivery(self, error: Any, message: Any) -> None:
        if error is not None and self._error is None:
            self._error = f"a record for {message.topic()} was refused: {error}"

    async def serve(self) -> None:
        """Serve delivery reports until cancelled.

        Raises:
            UnavailableError: the broker refused a record for good.
        """
        while True:
            self._producer.poll(0)
            if self._error is not None:
                raise UnavailableError(self._error)
            await asyncio.sleep(_POLL_S)

    async def delivered(self, timeout_s: float = 30.0) -> None:
        """Wait until nothing is on its way.

        Raises:
            UnavailableError: the broker is away for `timeout_s`, or refused a record.
        """
        left = await asyncio.to_thread(self._producer.flush, timeout_s)
        if self._error is not None:
            raise UnavailableError(self._error)
        if left:
            raise UnavailableError(
                f"{left} records for Kafka at {self._bootstrap} are undelivered after "
                f"{timeout_s:g} s"
            )


def _chunks(items: list[RawItem]) -> Iterable[list[RawItem]]:
    """Cut items so that a record stays below BATCH_BYTES; a single larger item goes alone."""
    chunk: list[RawItem] = []
    size = 0
    for item in items:
        length = len(item["payload"]) + 64
        if chunk and size + length > BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += length
    if chunk:
        yield chunk


def connection_id(feed: str, name: str) -> str:
    """Return an id for a connection, unique over restarts."""
    return f"{feed}/{name}/{now_us()}"
