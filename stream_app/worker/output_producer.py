"""Encodes the worker's outputs, produces them to Kafka, and tells when they are delivered.

The changelogs of the state tables are written here too. This is a confluent-kafka producer beside
Faust's own: librdkafka batches and compresses in its own thread, while Faust's `send` costs 200-400
µs a record, compresses on the event loop and stops the intake while more than a few records wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from schemas import topics
from schemas.clock import Clock
from schemas.errors import SchemaError, UnavailableError
from schemas.kafka import clients
from schemas.records import WorkerStatus
from schemas.serde.codec import Encoder
from schemas.serde.registry import SchemaCatalog
from stream_app.core.output.outputs import (
    DeadLetter,
    EncodedRecords,
    Output,
    Outputs,
)
from stream_app.settings import WorkerSettings

log = logging.getLogger(__name__)

QUEUE_RECORDS = 500_000
MAX_LETTER_BYTES = 1 << 20
MAX_ERROR_CHARS = 500
QUEUE_KIB = 128 * 1024
DELIVERY_TIMEOUT_S = 60.0
_POLL_S = 0.001
_FULL_POLL_S = 0.05
_REPORT_SLACK_S = 5.0
"""How much later than its timeout librdkafka may report that a record was not delivered."""
PUBLISHED = (
    topics.SETTLEMENTS,
    topics.RATES,
    topics.ZSCORES,
    topics.ALERTS,
    topics.BARS,
    topics.AUDIT,
    topics.CONTRACTS,
)
"""The topics that follow from the raw log alone, so that a replay publishes the same records."""


def output_encoders(catalog: SchemaCatalog) -> dict[str, Encoder]:
    """Return the encoders of all outputs. Blocks on the registry."""
    return {topic.name: catalog.encoder(topic) for topic in (*PUBLISHED, topics.WORKERS)}


Message = dict[str, Any]
"""A record in the form that confluent-kafka's produce_batch takes."""


class Generation:
    """The records produced between two cuts, and how many of them are still on their way."""

    __slots__ = ("error", "pending")

    def __init__(self) -> None:
        self.pending = 0
        self.error: str | None = None

    def on_delivery(self, error: Any, message: Any) -> None:
        """Count one delivery report."""
        self.pending -= 1
        if error is not None and self.error is None:
            self.error = f"{message.topic()}: {error}"


class _Stored(Generation):
    """Records of a changelog: it also notes the newest offset of each partition."""

    __slots__ = ("offsets",)

    def __init__(self) -> None:
        super().__init__()
        self.offsets: dict[int, int] = {}

    def on_delivery(self, error: Any, message: Any) -> None:
        """Count one delivery report."""
        super().on_delivery(error, message)
        if error is None:
            partition, offset = message.partition(), message.offset()
            self.offsets[partition] = max(offset, self.offsets.get(partition, -1))


class OutputProducer:
    """Publishes outputs and dead letters; every record counts into the current generation."""

    def __init__(
        self,
        settings: WorkerSettings,
        encoders: Mapping[str, Encoder],
        clock: Clock,
        *,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
        queue_records: int = QUEUE_RECORDS,
    ) -> None:
        """`encoders` by topic, as `output_encoders` gives them.

        A record that Kafka has not taken within `delivery_timeout_s` is an error. At most
        `queue_records` wait in the producer; a caller that brings more is blocked meanwhile.
        """
        self._clock = clock
        self._delivery_timeout_s = delivery_timeout_s
        self._queue_records = queue_records
        self._prefix = settings.worker_output_prefix
        self._encode = {topic: encoder.encode for topic, encoder in encoders.items()}
        self._bootstrap = settings.kafka_bootstrap
        self._producer = clients.producer(
            {
                **settings.librdkafka(),
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": settings.worker_linger_ms,
                "queue.buffering.max.messages": queue_records,
                "queue.buffering.max.kbytes": QUEUE_KIB,
                "message.max.bytes": topics.MAX_MESSAGE_BYTES,
                "delivery.timeout.ms": int(delivery_timeout_s * 1_000),
            }
        )
        self._generation = Generation()
        self._unencodable = 0

    def publish(self, outputs: Outputs, partition: int) -> int:
        """Hand outputs to the producer, for the partition that their contracts live in.

        Returns how many did not fit their schema: those become dead letters.

        Raises:
            UnavailableError: the queue has been full for `delivery_timeout_s`.
        """
        unencodable = self._unencodable
        messages: dict[str, list[Message]] = {}
        for output in (*outputs.others, *outputs.rates):
            if isinstance(output, EncodedRecords):
                self._add_encoded(output, messages)
            else:
                self._add(output, partition, messages)
        for name, batch in messages.items():
            self._produce_batch(self._prefix + name, batch, partition, self._generation)
        for letter in outputs.dead_letters:
            self._dead_letter(letter)
        self._producer.poll(0)
        return self._unencodable - unencodable

    def _add(self, output: Output, partition: int, messages: dict[str, list[Message]]) -> None:
        topic, key, record, value = output
        name = topic.name
        try:
            value = value or self._encode[name](record)
        except SchemaError as error:
            # Of an item all is encoded before it counts as applied (partition.py), so this is what
            # a flush boundary leads to.
            self._dead_letter_output(output, partition, str(error))
        else:
            messages.setdefault(name, []).append({"value": value, "key": key.encode()})

    def _add_encoded(self, records: EncodedRecords, messages: dict[str, list[Message]]) -> None:
        messages.setdefault(records.topic.name, []).extend(
            [
                {"value": value, "key": key}
                for key, value in zip(records.keys, records.values, strict=True)
            ]
        )

    def report(self, status: WorkerStatus) -> None:
        """Publish how far this worker is behind. With a full queue the report is left out.

        It would be old by the time that there is room, and the next flush reports Kafka's failure.
        """
        topic = topics.WORKERS.name
        value, key = self._encode[topic](status), status["worker"].encode()
        with suppress(BufferError, KafkaException):
            self._producer.produce(topic, value, key, 0)

    def _dead_letter(self, letter: DeadLetter) -> None:
        headers = {
            "stage": letter.stage,
            "error": letter.error[:MAX_ERROR_CHARS],
            "source_topic": letter.topic,
            "source_partition": str(letter.partition),
            "source_offset": str(letter.offset),
            "source_item": str(letter.item),
        }
        value = letter.value
        if len(value) > MAX_LETTER_BYTES:
            headers["truncated_from_bytes"] = str(len(value))
            value = value[:MAX_LETTER_BYTES]
        key = None if letter.key is None else letter.key.encode()
        self._produce(topics.DEAD_LETTERS.name, key, value, letter.partition, headers)

    def _dead_letter_output(self, output: Output, partition: int, error: str) -> None:
        self._unencodable += 1
        record = output.record
        self._dead_letter(
            DeadLetter(
                output.key,
                repr(record).encode(),
                "encode",
                error,
                # A bar is of no single record.
                record.get("raw_topic", ""),
                record.get("raw_partition", partition),
                record.get("raw_offset", -1),
                record.get("raw_item", -1),
            )
        )

    def _produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        partition: int,
        headers: dict[str, str] | None = None,
    ) -> None:
        generation = self._generation
        deadline_s = self._clock.monotonic_s() + self._delivery_timeout_s
        while True:
            try:
                self._producer.produce(
                    self._prefix + topic,
                    value,
                    key,
                    partition,
                    on_delivery=generation.on_delivery,
                    **({"headers": headers} if headers else {}),
                )
            except BufferError:
                self._wait_for_room(deadline_s)
                continue
            except KafkaException as error:
                raise UnavailableError(f"cannot produce to {topic}: {error}") from error
            generation.pending += 1
            return

    async def store(
        self, changelog: str, records: Sequence[tuple[int, bytes, bytes]]
    ) -> dict[int, int]:
        """Write (partition, key, value) records to the changelog of a table, and wait for them.

        Returns the newest offset in each partition.

        Raises:
            UnavailableError: one was refused, or not delivered within `delivery_timeout_s`.
        """
        generation = _Stored()
        by_partition: dict[int, list[Message]] = {}
        for partition, key, value in records:
            by_partition.setdefault(partition, []).append({"value": value, "key": key})
        for partition, messages in by_partition.items():
            self._produce_batch(changelog, messages, partition, generation)
        await self.delivered(generation)
        return generation.offsets

    def _produce_batch(
        self, topic: str, messages: list[Message], partition: int, generation: Generation
    ) -> None:
        """Hand over many records by one call, at a third of the cost of as many single calls."""
        deadline_s = self._clock.monotonic_s() + self._delivery_timeout_s
        while messages:
            # Looked at first, since records that are refused in the middle of a batch would be
            # overtaken by the rest of it.
            if len(self._producer) + len(messages) > self._queue_records:
                self._producer.poll(_FULL_POLL_S)
            generation.pending += self._producer.produce_batch(
                topic, messages, partition, on_delivery=generation.on_delivery
            )
            messages = [message for message in messages if "_error" in message]
            for message in messages:
                error = message.pop("_error")
                if error.code() != KafkaError._QUEUE_FULL:  # noqa: SLF001 - its public name
                    raise UnavailableError(f"cannot produce to {topic}: {error}")
            if messages:
                self._wait_for_room(deadline_s)

    def _wait_for_room(self, deadline_s: float) -> None:
        """Wait a moment for room in the queue. This blocks the intake, which bounds memory.

        Raises:
            UnavailableError: it is past `deadline_s` (monotonic).
        """
        self._producer.poll(_FULL_POLL_S)
        if self._clock.monotonic_s() > deadline_s:
            raise UnavailableError(
                f"Kafka at {self._bootstrap} took no record for {self._delivery_timeout_s:g} s"
            ) from None

    def cut(self) -> Generation:
        """End the current generation and return it; records from now on count into the next one."""
        generation, self._generation = self._generation, Generation()
        return generation

    async def delivered(self, generation: Generation) -> None:
        """Wait until all records of a generation are on the broker.

        Raises:
            UnavailableError: one was refused, or not delivered within `delivery_timeout_s`.
        """
        deadline_s = self._clock.monotonic_s() + self._delivery_timeout_s + _REPORT_SLACK_S
        while generation.pending > 0:
            self._producer.poll(0)
            if generation.pending <= 0:
                break
            if self._clock.monotonic_s() > deadline_s:
                raise UnavailableError(
                    f"{generation.pending} records are undelivered for "
                    f"{self._delivery_timeout_s:g} s"
                )
            await asyncio.sleep(_POLL_S)
        if generation.error is not None:
            raise UnavailableError(f"a record was not delivered: {generation.error}")
