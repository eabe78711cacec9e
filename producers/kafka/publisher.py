"""The only Kafka client of the producers: raw batches by partition, and feed status.

It is idempotent and compresses, and its queue is bounded: when Kafka is away the queue fills to its
cap and `publish` waits, which stops the reading of the sockets.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from confluent_kafka import KafkaException

from producers.exchanges.spec import Slice
from producers.kafka.batching import RecordLimits, chunks, dead_letters
from producers.settings import ProducerSettings
from schemas import topics
from schemas.clock import Clock
from schemas.control_items import TICK, UNREADABLE
from schemas.errors import UnavailableError
from schemas.kafka import clients
from schemas.partitioning import PARTITIONS, contract_id, partition_of
from schemas.records import (
    MAX_CHANNEL_BYTES,
    FeedStatus,
    Purpose,
    RawBatch,
    RawItem,
    Transport,
)
from schemas.serde.registry import SchemaCatalog
from schemas.symbols import symbol_fault

log = logging.getLogger(__name__)

GATHER_S = 0.005
"""Pieces of small frames wait this long for others, so that contracts with a stream each do not
make a record each."""
GATHER_BELOW = 8
"""A frame of so many pieces or more goes out at once."""
GATHER_ITEMS = 64
QUEUE_RECORDS = 20_000
FULL_S = 0.05
"""Pause before a record is offered again to a queue that is full."""


class UndeliveredError(UnavailableError):
    """Kafka has not acknowledged in time. Nothing is lost: the client goes on sending."""


class _Group(NamedTuple):
    """What the pieces of one record have in common."""

    transport: Transport
    purpose: Purpose
    channel: str
    connection_id: str
    partition: int


class Publisher:
    """Publishes the raw batches and the status of one feed."""

    def __init__(
        self,
        feed: str,
        settings: ProducerSettings,
        catalog: SchemaCatalog,
        clock: Clock,
        *,
        client: Callable[..., Any] = clients.producer,
        limits: RecordLimits = RecordLimits(),  # noqa: B008 - it is frozen
        full_s: float = FULL_S,
    ) -> None:
        """`client` makes the Kafka client; `full_s`: pause while its queue is full."""
        self._feed = feed
        self._clock = clock
        self._limits = limits
        self._full_s = full_s
        self._topic = topics.raw_topic(feed)
        self._encode = catalog.encoder(topics.raw_topic_spec(feed)).encode
        self._encode_status = catalog.encoder(topics.STATUS).encode
        self._bootstrap = settings.kafka_bootstrap
        self._producer = client(
            {
                **settings.librdkafka(),
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": settings.producer_linger_ms,
                # Never give up: a full queue stops the reading, nothing is dropped.
                "message.timeout.ms": 0,
                "queue.buffering.max.messages": QUEUE_RECORDS,
                "queue.buffering.max.kbytes": settings.producer_queue_mib * 1_024,
                "message.max.bytes": topics.MAX_MESSAGE_BYTES,
            }
        )
        self._sequences: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._gathered: dict[_Group, list[RawItem]] = {}
        self._closed: list[str] = []
        self._sending = asyncio.Lock()
        self._unacknowledged = 0
        self._error: str | None = None
        self._full_since_s: float | None = None
        self.items = 0
        self.batches = 0
        self.waits = 0
        self.oversized = 0
        self.unreadable = 0
        """Messages, and rows of messages, that could not be read."""

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

        Pieces without a symbol go to partition 0. Streamed pieces may wait up to GATHER_S; the
        pieces of one group keep the order of the calls.
        Pieces that are not readable, or too long for a record, go to the dead letters; so do those
        of a symbol or a channel that can be none. Returns the number of items.
        """
        count = 0
        full = False
        odd: list[bytes] = []
        has_channel = len(channel.encode()) <= MAX_CHANNEL_BYTES
        base = _Group(transport, purpose, channel, connection_id, 0)
        by_partition: dict[int, list[RawItem]] = {}
        for symbol, payload, readable, *_ in slices:
            count += 1
            oversized = len(payload) > self._limits.item_bytes
            has_symbol = symbol is None or symbol_fault(symbol) is None
            if oversized or not (readable and has_symbol and has_channel):
                odd.append(payload)
                self.oversized += oversized
                self.unreadable += not oversized
                continue
            self.unreadable += channel == UNREADABLE
            partition = 0 if symbol is None else self._partition(symbol)
            items = by_partition.get(partition)
            if items is None:
                group = base._replace(partition=partition)
                items = by_partition[partition] = self._gathered.setdefault(group, [])
            items.append({"symbol": symbol, "payload": payload, "received_at": received_at})
            full = full or len(items) >= GATHER_ITEMS
        for payload in dead_letters(odd, self._limits.letter_bytes):
            letter: RawItem = {"symbol": None, "payload": payload, "received_at": received_at}
            self._gathered.setdefault(base._replace(channel=UNREADABLE), []).append(letter)
        self.items += count
        if full or count >= GATHER_BELOW or purpose != "stream":
            await self.flush()
        return count

    def _partition(self, symbol: str) -> int:
        partition = partition_of(contract_id(self._feed, symbol))
        assert 0 <= partition < PARTITIONS
        return partition

    async def tick(self, connection_id: str, received_at: int) -> None:
        """Publish the time on every partition (schemas.control_items.TICK)."""
        item: RawItem = {"symbol": None, "payload": b"", "received_at": received_at}
        for partition in range(PARTITIONS):
            group = _Group("rest", "contract", TICK, connection_id, partition)
            self._gathered.setdefault(group, []).append(item)
        await self.flush()

    async def flush(self) -> None:
        """Hand over to Kafka's client all that was gathered."""
        async with self._sending:
            gathered, self._gathered = self._gathered, {}
            closed, self._closed = self._closed, []
            try:
                for group in list(gathered):
                    items = gathered[group]
                    for chunk in list(chunks(items, self._limits.batch_bytes)):
                        await self._send(group, chunk)
                        del items[: len(chunk)]
                    del gathered[group]
                for key in [key for key in self._sequences if key[0] in closed]:
                    del self._sequences[key]
                closed = []
            finally:
                # Cancelled while Kafka took nothing: what is left goes first the next time.
                for group, items in self._gathered.items():
                    gathered.setdefault(group, []).extend(items)
                self._gathered = gathered
                self._closed[:0] = closed

    async def _send(self, group: _Group, items: list[RawItem]) -> None:
        key = (group.connection_id, group.partition)
        batch: RawBatch = {
            "feed": self._feed,
            "transport": group.transport,
            "purpose": group.purpose,
            "channel": group.channel,
            "connection_id": group.connection_id,
            "sequence": self._sequences[key],
            "received_at": items[0]["received_at"],
            "items": items,
        }
        history = group.purpose == "history"
        await self._produce(
            self._topic,
            self._encode(batch),
            group.partition,
            None,
            self._on_history if history else self._on_delivery,
        )
        self._unacknowledged += history
        self._sequences[key] += 1
        self.batches += 1

    def forget(self, connection_id: str) -> None:
        """Drop the sequence counters of a connection that is closed for good."""
        self._closed.append(connection_id)

    def forget_all_but(self, connection_id: str) -> None:
        """Drop the sequence counters of all connections but one: the others are closed for good."""
        self._closed.extend({of for of, _partition in self._sequences} - {connection_id})

    async def publish_status(self, status: FeedStatus) -> None:
        """Publish the feed's status."""
        await self._produce(
            topics.STATUS.name,
            self._encode_status(status),
            0,
            status["feed"].encode(),
            self._on_delivery,
        )

    async def _produce(
        self,
        topic: str,
        value: bytes,
        partition: int,
        key: bytes | None,
        on_delivery: Callable[[Any, Any], None],
    ) -> None:
        while True:
            if self._error is not None:
                raise UnavailableError(self._error)
            try:
                self._producer.produce(topic, value, key, partition, on_delivery=on_delivery)
            except BufferError:
                self.waits += 1
                self._full_since_s = self._full_since_s or self._clock.monotonic_s()
                self._producer.poll(0)
                await asyncio.sleep(self._full_s)
                continue
            except KafkaException as error:
                raise UnavailableError(f"cannot produce to {topic}: {error}") from error
            self._producer.poll(0)
            self._full_since_s = None
            return

    @property
    def full_for_s(self) -> float:
        """Seconds for which the queue for Kafka is full; 0: it is not."""
        return 0.0 if self._full_since_s is None else self._clock.monotonic_s() - self._full_since_s

    def _on_delivery(self, error: Any, message: Any) -> None:
        if error is not None and self._error is None:
            self._error = f"a record for {message.topic()} was refused: {error}"

    def _on_history(self, error: Any, message: Any) -> None:
        self._unacknowledged -= 1
        self._on_delivery(error, message)

    async def serve(self) -> None:
        """Send what was gathered and serve delivery reports until cancelled.

        Raises:
            UnavailableError: the broker refused a record for good.
        """
        while True:
            self._producer.poll(0)
            if self._error is not None:
                raise UnavailableError(self._error)
            if self._gathered or self._closed:
                await self.flush()
            await asyncio.sleep(GATHER_S)

    async def acknowledged(self, timeout_s: float = 30.0) -> None:
        """Wait until Kafka has all settled history that was published; `serve` must be running.

        Raises:
            UndeliveredError: not within `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self._unacknowledged:  # noqa: ASYNC110 - reports come by polling
                    await asyncio.sleep(GATHER_S)
        except TimeoutError:
            raise UndeliveredError(
                f"{self._unacknowledged} records for Kafka at {self._bootstrap} are undelivered "
                f"after {timeout_s:g} s"
            ) from None

    async def delivered(self, timeout_s: float = 30.0) -> None:
        """Send what was gathered, then wait until nothing is on its way.

        Raises:
            UndeliveredError: the broker is away for `timeout_s`.
            UnavailableError: it refused a record.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self.flush()
        except TimeoutError:
            raise UndeliveredError(
                f"the queue for Kafka at {self._bootstrap} is full, for {timeout_s:g} s"
            ) from None
        left = await asyncio.to_thread(self._producer.flush, timeout_s)
        if self._error is not None:
            raise UnavailableError(self._error)
        if left:
            raise UndeliveredError(
                f"{left} records for Kafka at {self._bootstrap} are undelivered after "
                f"{timeout_s:g} s"
            )


def connection_id(feed: str, name: str, opened_us: int) -> str:
    """Return an id for a connection, which its wall-clock time of opening makes unique."""
    return f"{feed}/{name}/{opened_us}"
