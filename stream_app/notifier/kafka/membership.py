"""Which of several notifiers is the active one: the member that has the one partition.

Notifiers are members of one consumer group that subscribes to `funding.notifications`, a topic with
one partition. The assignor is the cooperative one, so that a notifier that joins takes nothing from
the one that works. Membership alone fences nobody: that is the store's transactions (store.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import OFFSET_END, KafkaException, TopicPartition

from schemas.errors import FatalError
from schemas.kafka import clients
from schemas.topics import NOTIFICATIONS
from stream_app.settings import AlertSettings

log = logging.getLogger(__name__)

SESSION_MS = 6_000
"""A killed notifier is replaced after this."""


class Membership:
    """Membership in the group. Everything is called from one thread."""

    def __init__(self, settings: AlertSettings, release: Callable[[], None]) -> None:
        """`release` is called before the partition is given to another member, in `poll`."""
        self._release = release
        self.active = False
        """Whether this member has the partition."""
        self._consumer: Any = clients.consumer(
            {
                **settings.librdkafka(),
                "client.id": "fundingstream-alerts",
                "group.id": settings.alert_group,
                "enable.auto.commit": False,
                "auto.offset.reset": "latest",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": SESSION_MS,
                "heartbeat.interval.ms": SESSION_MS // 4,
                "error_cb": lambda error: log.warning("Kafka: %s", error.str()),
            }
        )
        self._consumer.subscribe(
            [NOTIFICATIONS.name],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll(self, timeout_s: float) -> None:
        """Stay a member; `active` may change meanwhile.

        Raises:
            FatalError: the consumer cannot go on.
        """
        try:
            message = self._consumer.poll(timeout_s)
        except KafkaException as error:
            raise FatalError(f"the notifier left its group: {error.args[0].str()}") from error
        if message is None or message.error() is None:
            return  # The partition is paused; what had been fetched before is no news to us.
        if message.error().fatal():
            raise FatalError(f"the notifier's consumer had to stop: {message.error().str()}")
        log.warning("Kafka: %s", message.error().str())

    def metadata(self) -> Any:
        """Return what proves this membership to the group's coordinator."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Leave the group, so that another member takes over at once."""
        self._consumer.close()

    def _on_assign(self, consumer: Any, partitions: Sequence[Any]) -> None:
        if not partitions:
            return
        ends = [TopicPartition(each.topic, each.partition, OFFSET_END) for each in partitions]
        consumer.incremental_assign(ends)
        consumer.pause(ends)
        self.active = True
        log.info("this notifier is the active one")

    def _on_revoke(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        if partitions and self.active:
            self._release()
            self.active = False
            log.info("another notifier is to be the active one")

    def _on_lost(self, _consumer: Any, _partitions: Sequence[Any]) -> None:
        if self.active:
            self.active = False
            log.warning("this notifier was silent for too long, and is no longer the active one")
