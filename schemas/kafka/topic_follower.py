"""Reads topics in a thread of its own and hands what they hold to a callback, some records at once.

For what is shown or used as a hint, so there is no consumer group and nothing is committed: while
the broker is away, the last records stay the newest ones known.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from schemas.config.settings import SharedSettings
from schemas.errors import MalformedInputError, UnavailableError
from schemas.kafka import clients
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_MS
from schemas.topics import TopicSpec

log = logging.getLogger(__name__)

_POLL_S = 0.25
_GATHER_S = 0.02
"""After the first record comes, so long is waited for others: fewer hand-overs."""
_AGAIN_S = 2.0
_ATTEMPTS_UNTOLD = 10
"""After so many a person is told that nothing can be read."""
_STOP_TIMEOUT_S = 5.0
_MAX_RECORDS = 500
_FETCH_BYTES = 1 << 20
_QUEUE_KIB = 4_096
_ANSWER_S = 2.0


class Followed(NamedTuple):
    """A record of a topic."""

    topic: str
    key: bytes | None
    record: Any
    """Decoded; None where a compacted key was removed."""
    published_at: int
    """Kafka's timestamp (UTC µs)."""


class Source(NamedTuple):
    """A topic, and from where on it is read."""

    topic: TopicSpec
    since: int | Literal["oldest", "next"]
    """Begin with the first record of that time (UTC µs), with the oldest, or with those to come."""


OnRecords = Callable[[Sequence[Followed]], None]
"""Takes records in the follower's thread, which waits until it returns."""


class TopicFollower(threading.Thread):
    """Hands over the records of topics until it is stopped."""

    def __init__(
        self,
        settings: SharedSettings,
        catalog: SchemaCatalog,
        sources: Sequence[Source],
        on_records: OnRecords,
    ) -> None:
        """Set what is followed; `start` connects."""
        super().__init__(
            name=f"follows {', '.join(source.topic.name for source in sources)}", daemon=True
        )
        self._config = settings.quiet_librdkafka()
        self._sources = sources
        self._decode = {
            topic.name: catalog.decoder(topic.record_type).decode
            for topic, _ in sources
            if topic.record_type is not None
        }
        assert len(self._decode) == len(sources), "only what is decoded can be followed"
        self._on_records = on_records
        self._stopped = threading.Event()
        self._ahead: dict[tuple[str, int], int] = {}
        self._caught_up = threading.Event()
        self._attempts = 0
        self.malformed = 0
        """Records that could not be decoded."""

    @property
    def caught_up(self) -> bool:
        """True once everything has been handed over that the topics held at the start."""
        return self._caught_up.is_set()

    def run(self) -> None:
        """Read until stopped."""
        consumer: Any = clients.consumer(
            {
                **self._config,
                # The client wants a name; nothing is ever committed to it.
                "group.id": "fundingstream-follows",
                "enable.auto.commit": False,
                # Where retention has removed what is asked for, the oldest that is left.
                "auto.offset.reset": "earliest",
                # The end of a partition may lie behind records that are never handed out: the
                # markers of transactions, and keys that were compacted away.
                "enable.partition.eof": True,
                "fetch.message.max.bytes": _FETCH_BYTES,
                "queued.max.messages.kbytes": _QUEUE_KIB,
                "error_cb": lambda error: log.debug("Kafka: %s", error.str()),
            }
        )
        try:
            self._assign(consumer)
            while not self._stopped.is_set():
                self._hand_over(self._consume(consumer))
        finally:
            consumer.close()

    def _assign(self, consumer: Any) -> None:
        """Begin to read, as soon as the broker tells where."""
        while not self._stopped.is_set():
            try:
                begin = [where for source in self._sources for where in _begin(consumer, source)]
                for where in begin:
                    _, end = consumer.get_watermark_offsets(where, timeout=_ANSWER_S)
                    if where.offset == OFFSET_END:
                        # The end of this moment, and not that of whenever it is first fetched.
                        where.offset = end
                    elif end > max(0, where.offset):
                        self._ahead[where.topic, where.partition] = end
            except KafkaException as error:
                self._not_begun(error)
                self._stopped.wait(_AGAIN_S)
                continue
            consumer.assign(begin)
            self._note_progress(())
            return

    def _not_begun(self, error: KafkaException) -> None:
        """Warn once that a topic cannot be read: it may be missing, or the right to read it."""
        self._attempts += 1
        level = logging.WARNING if self._attempts == _ATTEMPTS_UNTOLD else logging.DEBUG
        log.log(level, "%s: waiting: %s", self.name, error)

    def _consume(self, consumer: Any) -> list[Any]:
        messages: list[Any] = []
        try:
            first = consumer.poll(_POLL_S)
            if first is not None:
                messages.append(first)
                self._stopped.wait(_GATHER_S)
                messages += consumer.consume(_MAX_RECORDS, 0)
        except KafkaException as error:
            log.debug("%s: %s", self.name, error)
            self._stopped.wait(_AGAIN_S)
        return messages

    def _hand_over(self, messages: Sequence[Any]) -> None:
        """Hand records over; log an unexpected error, so that a bug does not end the thread."""
        try:
            records = [record for record in map(self._read, messages) if record is not None]
            if records:
                self._on_records(records)
        except Exception:
            log.exception("%s: %d records are lost", self.name, len(messages))
        self._note_progress(messages)

    def _read(self, message: Any) -> Followed | None:
        topic = message.topic()
        if message.error() is not None:
            if not _is_end(message):
                log.debug("%s: %s", topic, message.error().str())
            return None
        published_at = message.timestamp()[1] * US_PER_MS
        value = message.value()
        if value is None:
            return Followed(topic, message.key(), None, published_at)
        # While the registry is away the schema of a record cannot be read: again and again.
        while not self._stopped.is_set():
            try:
                record = self._decode[topic](value)
            except MalformedInputError as error:
                self.malformed += 1
                log.debug("%s offset %d: %s", topic, message.offset(), error)
                return None
            except UnavailableError as error:
                log.warning("%s: waiting: %s", topic, error)
                self._stopped.wait(_AGAIN_S)
            else:
                return Followed(topic, message.key(), record, published_at)
        return None

    def _note_progress(self, messages: Sequence[Any]) -> None:
        if self.caught_up:
            return
        for message in messages:
            place = message.topic(), message.partition()
            if place in self._ahead and (
                _is_end(message) or (message.offset() or 0) + 1 >= self._ahead[place]
            ):
                del self._ahead[place]
        if not self._ahead:
            self._caught_up.set()

    def ask_to_stop(self) -> None:
        """Let the thread end, and do not wait for it."""
        self._stopped.set()

    def stop(self) -> None:
        """End the thread and wait for it. Safe where it was never started."""
        self.ask_to_stop()
        if self.is_alive():
            self.join(_STOP_TIMEOUT_S)


def _is_end(message: Any) -> bool:
    """Tell whether a message only says that a partition has been read up to its end."""
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - its only name


def _begin(consumer: Any, source: Source) -> list[TopicPartition]:
    """Return where each partition of a topic is read from. Raises KafkaException: no answer."""
    topic, since = source
    partitions = range(topic.partitions)
    if isinstance(since, str):
        offset = OFFSET_BEGINNING if since == "oldest" else OFFSET_END
        return [TopicPartition(topic.name, number, offset) for number in partitions]
    wanted = [TopicPartition(topic.name, number, since // US_PER_MS) for number in partitions]
    found: list[TopicPartition] = consumer.offsets_for_times(wanted, timeout=_ANSWER_S)
    for each in found:
        if each.error is not None:
            raise KafkaException(each.error)
    return found
