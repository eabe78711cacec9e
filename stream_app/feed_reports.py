"""What the producers last said of their feeds: the newest FeedStatus of each, read from its topic.

The page and the readiness check use it; the numbers never do, so the worker stays a function of the
raw log. A thread of its own reads the compacted topic from its beginning, without a group: it needs
no offsets, and an outage of the broker only makes what it knows older.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from schemas.errors import MalformedInputError, UnavailableError
from schemas.feeds import FEEDS
from schemas.records import FEED_STATUS, FeedStatus
from schemas.registry import SchemaCatalog
from schemas.topics import STATUS
from stream_app.settings import WorkerSettings

log = logging.getLogger(__name__)

_POLL_S = 0.5
_AGAIN_S = 2.0
_STOP_TIMEOUT_S = 5.0
_FETCH_BYTES = 1 << 20
_QUEUE_KIB = 4_096


class FeedReports(threading.Thread):
    """Follows the topic until stopped; `newest` may be called from any thread."""

    def __init__(self, settings: WorkerSettings, catalog: SchemaCatalog) -> None:
        """Connects when it is started."""
        super().__init__(name="feed reports", daemon=True)
        self._settings = settings
        self._decoder = catalog.decoder(FEED_STATUS)
        self._stopped = threading.Event()
        self._newest: Mapping[str, FeedStatus] = {}

    def newest(self) -> Mapping[str, FeedStatus]:
        """Return the newest status of each feed that has ever reported."""
        return self._newest

    def run(self) -> None:
        """Read until stopped."""
        consumer: Any = Consumer(
            {
                **self._settings.librdkafka(),
                # librdkafka wants a name; nothing is ever committed to it.
                "group.id": f"{self._settings.worker_id}-feed-reports",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": _FETCH_BYTES,
                "queued.max.messages.kbytes": _QUEUE_KIB,
                "error_cb": lambda error: log.debug("Kafka: %s", error.str()),
            },
            logger=log,
        )
        try:
            consumer.assign([TopicPartition(STATUS.name, 0, OFFSET_BEGINNING)])
            while not self._stopped.is_set():
                message = consumer.poll(_POLL_S)
                if message is None:
                    continue
                if message.error() is not None:
                    log.debug("%s: %s", STATUS.name, message.error().str())
                else:
                    self._take(message.key(), message.value())
        finally:
            consumer.close()

    def _take(self, key: bytes | None, value: bytes | None) -> None:
        """Keep a status; what cannot be read or is of a feed that nobody knows is passed over."""
        if value is None:
            forgotten = (key or b"").decode(errors="replace")
            self._newest = {k: v for k, v in self._newest.items() if k != forgotten}
            return
        status = self._decoded(value)
        if status is None or status["feed"] not in FEEDS:
            return
        known = self._newest.get(status["feed"])
        if known is None or status["reported_at"] >= known["reported_at"]:
            self._newest = {**self._newest, status["feed"]: status}

    def _decoded(self, value: bytes) -> FeedStatus | None:
        """Decode a status; while the registry is away, again and again."""
        while not self._stopped.is_set():
            try:
                status: FeedStatus = self._decoder.decode(value)
            except MalformedInputError as error:
                log.debug("%s: %s", STATUS.name, error)
                return None
            except UnavailableError as error:
                log.warning("%s: waiting: %s", STATUS.name, error)
                self._stopped.wait(_AGAIN_S)
            else:
                return status
        return None

    def stop(self) -> None:
        """End the thread. Safe where it was never started."""
        self._stopped.set()
        if self.is_alive():
            self.join(_STOP_TIMEOUT_S)
