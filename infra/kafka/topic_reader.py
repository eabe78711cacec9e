"""Reads a part of a topic, decoded: between two offsets, and of a span of time only."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from schemas.config.settings import SharedSettings
from schemas.errors import UnavailableError
from schemas.kafka import clients

_READ_TIMEOUT_S = 30.0
_BATCH = 1_000
_BATCH_S = 0.2
"""How long a batch is waited for to be full: the last ones of a topic never are."""
_SPAN_FIELDS = ("received_at", "hour", "last_event_time", "event_time", "updated_at")

Ends = dict[int, int]
"""An offset by partition."""


class Span(NamedTuple):
    """A span of time in UTC microseconds since the epoch; the end does not belong to it."""

    from_us: int
    to_us: int

    def holds(self, record: dict[str, Any]) -> bool:
        """Whether a record lies in the span, by `received_at` or by the time field that it has."""
        time_us = next((record[name] for name in _SPAN_FIELDS if name in record), None)
        return time_us is not None and self.from_us <= time_us < self.to_us


def topic_ends(settings: SharedSettings, topic: str, partitions: int) -> Ends:
    """Return where each partition ends now.

    Raises:
        UnavailableError: Kafka does not answer.
    """
    with _consumer(settings) as consumer:
        return {p: _watermarks(consumer, topic, p)[1] for p in range(partitions)}


def read_topic(
    settings: SharedSettings,
    topic: str,
    decode: Callable[[bytes], dict[str, Any]],
    span: Span,
    ends: Ends,
    starts: Ends | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the records of a topic in the span, from `starts` (else its beginning) to `ends`.

    Raises:
        UnavailableError: Kafka does not give the records.
    """
    starts = starts or {}
    with _consumer(settings) as consumer:
        wanted = []
        for partition, end in ends.items():
            low, _ = _watermarks(consumer, topic, partition)
            start = max(low, starts.get(partition, low))
            if start < end:
                begin = start if partition in starts else OFFSET_BEGINNING
                wanted.append(TopicPartition(topic, partition, begin))
        if not wanted:
            return
        consumer.assign(wanted)
        unread = {place.partition for place in wanted}
        for message in _until_read(consumer, topic, unread):
            partition, offset = message.partition(), message.offset()
            # The end of a compacted topic may be a hole: the next record, or its end, tells.
            ended = message.error() is not None and (
                message.error().code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - so it is named
            )
            if ended or offset >= ends[partition] - 1:
                unread.discard(partition)
            if message.error() is None and offset < ends[partition] and message.value():
                record = decode(message.value())
                if span.holds(record):
                    yield record


def _until_read(consumer: Any, topic: str, unread: Collection[int]) -> Iterator[Any]:
    """Yield what comes until no partition is unread; whoever takes it keeps `unread`.

    Raises:
        UnavailableError: nothing came for _READ_TIMEOUT_S.
    """
    heard_at_s = time.monotonic()
    while unread:
        messages = consumer.consume(_BATCH, timeout=_BATCH_S)
        if messages:
            heard_at_s = time.monotonic()
            yield from messages
        elif time.monotonic() - heard_at_s > _READ_TIMEOUT_S:
            raise UnavailableError(f"records of {len(unread)} partitions of {topic} do not come")


def _watermarks(consumer: Any, topic: str, partition: int) -> tuple[int, int]:
    at = TopicPartition(topic, partition)
    try:
        low, high = consumer.get_watermark_offsets(at, timeout=_READ_TIMEOUT_S)
    except KafkaException as error:
        raise UnavailableError(f"Kafka does not tell the ends of {topic}: {error}") from error
    return low, high


@contextmanager
def _consumer(settings: SharedSettings) -> Iterator[Any]:
    consumer: Any = clients.consumer(
        {
            **settings.quiet_librdkafka(),
            "group.id": "fundingstream-replay",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()
