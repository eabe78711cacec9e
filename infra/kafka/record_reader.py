"""Reads records of a topic from Kafka by their places, without joining a group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.config.settings import SharedSettings
from schemas.errors import UnavailableError
from schemas.kafka import clients

_TIMEOUT_S = 15.0
_POLL_S = 0.5
_BATCH = 500
_US_PER_MS = 1_000


class RecordReader:
    """Reads one record, or all from given offsets on to where their partitions end now.

    Raises UnavailableError from every method where Kafka does not answer.
    """

    def __init__(self, settings: SharedSettings) -> None:
        self._bootstrap = settings.kafka_bootstrap
        self._consumer: Any = clients.consumer(
            {
                **settings.quiet_librdkafka(),
                # It must be given; the group is never joined, and nothing is committed.
                "group.id": "fundingstream-dead-letters",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                # The topics have no transactions: a foreign one that hangs must not hold it up.
                "isolation.level": "read_uncommitted",
                "fetch.wait.max.ms": 50,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._consumer.close()

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the oldest offset of a partition, and the one behind its newest record."""
        try:
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=_TIMEOUT_S
            )
        except KafkaException as error:
            raise self._unavailable(error.args[0].str()) from error
        return low, high

    def since(self, topic: str, partitions: int, since_us: int) -> dict[int, int]:
        """Return the offset of each partition's first record that was written at a time or later.

        A partition without such a record is left out.
        """
        wanted = [TopicPartition(topic, p, since_us // _US_PER_MS) for p in range(partitions)]
        try:
            found = self._consumer.offsets_for_times(wanted, timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise self._unavailable(error.args[0].str()) from error
        return {at.partition: at.offset for at in found if at.offset >= 0}

    def scan(self, topic: str, starts: Mapping[int, int]) -> Iterator[Any]:
        """Yield the messages from an offset of each partition on to where it ends now."""
        ends: dict[int, int] = {}
        begins: list[TopicPartition] = []
        for partition, start in starts.items():
            low, high = self.bounds(topic, partition)
            if max(low, start) < high:
                ends[partition] = high
                begins.append(TopicPartition(topic, partition, max(low, start)))
        if not begins:
            return
        self._consumer.assign(begins)
        heard_s = time.monotonic()
        try:
            while ends:
                messages = self._consumer.consume(_BATCH, timeout=_POLL_S)
                if messages:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > _TIMEOUT_S:
                    raise self._unavailable(f"records of {topic} do not come")
                for message in messages:
                    if self._is_record(message, ends):
                        yield message
        finally:
            self._consumer.unassign()

    def _is_record(self, message: Any, ends: dict[int, int]) -> bool:
        """Tell a record within the ends from all else; forget an end that is reached."""
        error, partition = message.error(), message.partition()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                raise self._unavailable(error.str())
            ends.pop(partition, None)
            return False
        end = ends.get(partition)
        if end is None:
            return False
        if message.offset() >= end - 1:
            del ends[partition]
        return bool(message.offset() < end)

    def one(self, topic: str, partition: int, offset: int) -> Any | None:
        """Return the message at an offset; None: it is no longer there, or not yet."""
        low, high = self.bounds(topic, partition)
        if not low <= offset < high:
            return None
        found = next(self.scan(topic, {partition: offset}), None)
        return found if found is not None and found.offset() == offset else None

    def _unavailable(self, why: str) -> UnavailableError:
        return UnavailableError(
            f"Kafka at {self._bootstrap} does not give the records ({why}): look at its log, "
            "or try again"
        )
