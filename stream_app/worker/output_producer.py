"""What leaves the worker: encodes outputs, produces them, and knows when they are delivered.

State for the changelogs of the tables goes the same way. A confluent-kafka producer inside the
worker: librdkafka batches and compresses in its own thread, while Faust's own `send` costs 200-400
µs a record, compresses on the event loop and stops the intake while more than a few records wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import compress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas import topics
from schemas.errors import SchemaError, UnavailableError
from schemas.records import WorkerStatus
from schemas.serde.codec import Encoder
from schemas.serde.rate_columns import Origin, RateColumnsEncoder
from schemas.serde.registry import SchemaCatalog
from stream_app.core.output.outputs import (
    DeadLetter,
    Output,
    Outputs,
    RateRows,
    rate_columns,
    rate_output,
)
from stream_app.settings import WorkerSettings

log = logging.getLogger(__name__)

QUEUE_RECORDS = 500_000
MAX_LETTER_BYTES = 1 << 20
MAX_ERROR_CHARS = 500
MIN_COLUMN_ROWS = 8
"""Fewer rates than this are cheaper to encode one by one."""
QUEUE_KIB = 128 * 1024
DELIVERY_TIMEOUT_S = 60.0
_POLL_S = 0.001
PUBLISHED = (
    topics.SETTLEMENTS,
    topics.RATES,
    topics.ZSCORES,
    topics.ALERTS,
    topics.BARS,
    topics.AUDIT,
)
"""What follows from the raw log: a replay publishes the same."""


def output_encoders(catalog: SchemaCatalog) -> dict[str, Encoder]:
    """Return the encoders of all outputs. Blocks on the registry."""
    return {topic.name: catalog.encoder(topic) for topic in (*PUBLISHED, topics.WORKERS)}


Message = dict[str, Any]
"""A record as confluent-kafka's produce_batch takes it."""


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


class OutputProducer:
    """Publishes outputs and dead letters; every record counts into the current generation."""

    def __init__(self, settings: WorkerSettings, encoders: Mapping[str, Encoder]) -> None:
        """`encoders` by topic, as `output_encoders` gives them."""
        self._prefix = settings.worker_output_prefix
        self._encode = {topic: encoder.encode for topic, encoder in encoders.items()}
        self._encode_rates = RateColumnsEncoder(encoders[topics.RATES.name].header).encode
        self._bootstrap = settings.kafka_bootstrap
        self._producer = Producer(
            {
                **settings.librdkafka(),
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": settings.worker_linger_ms,
                "queue.buffering.max.messages": QUEUE_RECORDS,
                "queue.buffering.max.kbytes": QUEUE_KIB,
                "message.max.bytes": topics.MAX_MESSAGE_BYTES,
                "delivery.timeout.ms": int(DELIVERY_TIMEOUT_S * 1_000),
            },
            logger=log,
        )
        self._generation = Generation()
        self._unencodable = 0

    def publish(self, outputs: Outputs, partition: int) -> int:
        """Hand records to the producer, on the partition that their contracts live in.

        Returns how many no schema could hold: those are in the dead letters.
        """
        unencodable = self._unencodable
        messages: dict[str, list[Message]] = {}
        for output in outputs.others:
            self._add(output, messages)
        for rates in outputs.rates:
            self._add_rates(rates, messages)
        for name, batch in messages.items():
            self._produce_batch(self._prefix + name, batch, partition, self._generation)
        for letter in outputs.dead_letters:
            self._dead_letter(letter)
        self._producer.poll(0)
        return self._unencodable - unencodable

    def _add(self, output: Output, messages: dict[str, list[Message]]) -> None:
        topic, key, record = output
        name = topic.name
        try:
            value = self._encode[name](record)
        except SchemaError as error:
            # A number that the exchange sent and no schema can hold: told, never lost.
            self._dead_letter_output(output, str(error))
        else:
            messages.setdefault(name, []).append({"value": value, "key": key.encode()})

    def _add_rates(self, rates: RateRows, messages: dict[str, list[Message]]) -> None:
        at, rows = rates
        is_plain = [row.plain for row in rows]
        encoded: Iterator[bytes] | None = None
        if sum(is_plain) >= MIN_COLUMN_ROWS:
            origin = Origin(at.transport, at.topic, at.partition, at.offset)
            # Where one does not fit, they are written one by one, to find it.
            with suppress(SchemaError):
                columns = rate_columns(list(compress(rows, is_plain)), at.feed)
                encoded = iter(self._encode_rates(columns, origin))
        batch = messages.setdefault(topics.RATES.name, [])
        for row, plain in zip(rows, is_plain, strict=True):
            if plain and encoded is not None:
                batch.append({"value": next(encoded), "key": row.contract.contract_id.encode()})
            else:
                self._add(rate_output(row, at), messages)

    def report(self, status: WorkerStatus) -> None:
        """Publish how far this worker is behind. A report that finds no room is left out.

        It would be old by the time that there is; what is wrong with Kafka the next flush tells.
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

    def _dead_letter_output(self, output: Output, error: str) -> None:
        self._unencodable += 1
        record = output.record
        self._dead_letter(
            DeadLetter(
                output.key,
                repr(record).encode(),
                "encode",
                error,
                record["raw_topic"],
                record["raw_partition"],
                record["raw_offset"],
                record["raw_item"],
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
        deadline = time.monotonic() + DELIVERY_TIMEOUT_S
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
                # The queue is the bound: wait here, which stops the intake behind us.
                self._producer.poll(0.05)
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"Kafka at {self._bootstrap} took no record for {DELIVERY_TIMEOUT_S:g} s"
                    ) from None
                continue
            except KafkaException as error:
                raise UnavailableError(f"cannot produce to {topic}: {error}") from error
            generation.pending += 1
            return

    async def store(self, changelog: str, records: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Write (partition, key, value) records to the changelog of a table, and wait for them.

        Raises:
            UnavailableError: one was refused, or the broker is away for DELIVERY_TIMEOUT_S.
        """
        generation = Generation()
        by_partition: dict[int, list[Message]] = {}
        for partition, key, value in records:
            by_partition.setdefault(partition, []).append({"value": value, "key": key})
        for partition, messages in by_partition.items():
            self._produce_batch(changelog, messages, partition, generation)
        await self.delivered(generation)

    def _produce_batch(
        self, topic: str, messages: list[Message], partition: int, generation: Generation
    ) -> None:
        """Hand over many records by one call: a third of the cost of as many single ones."""
        deadline = time.monotonic() + DELIVERY_TIMEOUT_S
        while messages:
            # The queue is the bound: wait here, which stops the intake behind us. Asked first,
            # since what is refused in the middle of a batch would be overtaken by the rest.
            if len(self._producer) + len(messages) > QUEUE_RECORDS:
                self._producer.poll(0.05)
            generation.pending += self._producer.produce_batch(
                topic, messages, partition, on_delivery=generation.on_delivery
            )
            messages = [message for message in messages if "_error" in message]
            for message in messages:
                error = message.pop("_error")
                if error.code() != KafkaError._QUEUE_FULL:  # noqa: SLF001 - its public name
                    raise UnavailableError(f"cannot produce to {topic}: {error}")
            if messages:
                self._producer.poll(0.05)
            if messages and time.monotonic() > deadline:
                raise UnavailableError(
                    f"Kafka at {self._bootstrap} took no record for {DELIVERY_TIMEOUT_S:g} s"
                )

    def cut(self) -> Generation:
        """End the current generation and return it; what follows counts into the next."""
        generation, self._generation = self._generation, Generation()
        return generation

    async def delivered(self, generation: Generation) -> None:
        """Wait until all records of a generation are on the broker.

        Raises:
            UnavailableError: one was refused, or the broker is away for DELIVERY_TIMEOUT_S.
        """
        deadline = time.monotonic() + DELIVERY_TIMEOUT_S + 5.0
        while generation.pending > 0:
            self._producer.poll(0)
            if generation.pending <= 0:
                break
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"{generation.pending} records are undelivered for {DELIVERY_TIMEOUT_S:g} s"
                )
            await asyncio.sleep(_POLL_S)
        if generation.error is not None:
            raise UnavailableError(f"a record was not delivered: {generation.error}")
