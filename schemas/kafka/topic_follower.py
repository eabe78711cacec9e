"""Reads a small topic in a thread of its own and hands each record to a callback.

For status records that are shown or used as hints, so there is no consumer group and nothing is
committed: while the broker is away, the last records stay the newest ones known.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaException, TopicPartition

from schemas.config.settings import SharedSettings
from schemas.errors import MalformedInputError, UnavailableError
from schemas.kafka import clients
from schemas.serde.registry import SchemaCatalog
from schemas.topics import TopicSpec

log = logging.getLogger(__name__)

OnRecord = Callable[[bytes | None, Any], None]
"""(key, record), in the follower's thread; the record is None where a compacted key was removed."""

_POLL_S = 0.25
_AGAIN_S = 2.0
_STOP_TIMEOUT_S = 5.0
_MAX_RECORDS = 64
_FETCH_BYTES = 1 << 20
_QUEUE_KIB = 4_096


class TopicFollower(threading.Thread):
    """Hands over each record of a topic with one partition, until it is stopped."""

    def __init__(
        self,
        settings: SharedSettings,
        catalog: SchemaCatalog,
        topic: TopicSpec,
        on_record: OnRecord,
        *,
        from_beginning: bool,
    ) -> None:
        """`from_beginning`: also hand over what is in the topic already. `start` connects."""
        super().__init__(name=f"follows {topic.name}", daemon=True)
        assert topic.partitions == 1, "assigned by hand"
        assert topic.record_type is not None, "decoded"
        self._config = settings.quiet_librdkafka()
        self._topic = topic.name
        self._decode = catalog.decoder(topic.record_type).decode
        self._on_record = on_record
        self._from = OFFSET_BEGINNING if from_beginning else OFFSET_END
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read until stopped."""
        consumer: Any = clients.consumer(
            {
                **self._config,
                # The client wants a name; nothing is ever committed to it.
                "group.id": f"fundingstream-follows-{self._topic}",
                "enable.auto.commit": False,
                "fetch.message.max.bytes": _FETCH_BYTES,
                "queued.max.messages.kbytes": _QUEUE_KIB,
                "error_cb": lambda error: log.debug("Kafka: %s", error.str()),
            }
        )
        try:
            consumer.assign([TopicPartition(self._topic, 0, self._from)])
            while not self._stopped.is_set():
                for message in self._consume(consumer):
                    self._take_guarded(message)
        finally:
            consumer.close()

    def _consume(self, consumer: Any) -> list[Any]:
        try:
            messages: list[Any] = consumer.consume(_MAX_RECORDS, _POLL_S)
        except KafkaException as error:
            log.debug("%s: %s", self._topic, error)
            self._stopped.wait(_AGAIN_S)
            return []
        return messages

    def _take_guarded(self, message: Any) -> None:
        """Take a record; log an unexpected error, so that a bug does not end the thread."""
        try:
            self._take(message)
        except Exception:
            log.exception("%s offset %s", self._topic, message.offset())

    def _take(self, message: Any) -> None:
        if message.error() is not None:
            log.debug("%s: %s", self._topic, message.error().str())
            return
        key, value = message.key(), message.value()
        if value is None:
            self._on_record(key, None)
            return
        # While the registry is away the schema of a record cannot be read: again and again.
        while not self._stopped.is_set():
            try:
                record = self._decode(value)
            except MalformedInputError as error:
                log.debug("%s offset %d: %s", self._topic, message.offset(), error)
                return
            except UnavailableError as error:
                log.warning("%s: waiting: %s", self._topic, error)
                self._stopped.wait(_AGAIN_S)
            else:
                self._on_record(key, record)
                return

    def stop(self) -> None:
        """End the thread and wait for it. Safe where it was never started."""
        self._stopped.set()
        if self.is_alive():
            self.join(_STOP_TIMEOUT_S)
