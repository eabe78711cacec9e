"""Asks Kafka how far the worker's consumer group is, with a client of its own beside Faust's."""

from __future__ import annotations

import logging
import math
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from schemas.clock import Clock
from stream_app.worker.raw_batches import Partition
from stream_app.worker.stall_detector import Behind

log = logging.getLogger(__name__)

TIMEOUT_S = 3.0
_LOG_EVERY_S = 60.0


class LogLimit:
    """Says whether something that repeats is to be logged: once in 60 s."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_s = -math.inf

    def is_due(self) -> bool:
        """Tell whether to log it now; it counts as logged then."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + _LOG_EVERY_S
        return True


class GroupLag:
    """Compares the offsets that the group has committed with the ends of its partitions."""

    def __init__(self, admin: Any, group: str, clock: Clock) -> None:
        """`admin`: a confluent_kafka.admin.AdminClient."""
        self._admin = admin
        self._group = group
        self._limit = LogLimit(clock)

    def behind(self, partitions: frozenset[Partition]) -> Behind | None:
        """Return the partitions with records that the group has not committed. Blocks on Kafka.

        None: Kafka did not answer, or refused to, so that nothing is known. Records of a partition
        without any commit wait from its oldest on.
        """
        if not partitions:
            return {}
        asked = [TopicPartition(*partition) for partition in sorted(partitions)]
        try:
            begins = self._offsets(asked, OffsetSpec.earliest())
            ends = self._offsets(asked, OffsetSpec.latest())
            committed = self._committed(asked)
        except (KafkaException, TimeoutError) as error:
            self._log(error)
            return None
        reached = {p: max(begins[p], committed.get(p, 0)) for p in ends}
        return {p: reached[p] for p, end in ends.items() if end > reached[p]}

    def reachable(self) -> bool:
        """Tell whether Kafka answers at all."""
        try:
            self._admin.list_topics(timeout=TIMEOUT_S)
        except KafkaException as error:
            self._log(error)
            return False
        return True

    def _log(self, error: Exception) -> None:
        if self._limit.is_due():
            reason = str(error) or f"no answer within {TIMEOUT_S:g} s"
            log.warning("Kafka does not tell the watchdog how far the worker is: %s", reason)

    def _offsets(self, asked: list[TopicPartition], spec: Any) -> dict[Partition, int]:
        futures = self._admin.list_offsets(
            dict.fromkeys(asked, spec),
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=TIMEOUT_S,
        )
        return {
            (at.topic, at.partition): future.result(TIMEOUT_S).offset
            for at, future in futures.items()
        }

    def _committed(self, asked: list[TopicPartition]) -> dict[Partition, int]:
        request = [ConsumerGroupTopicPartitions(self._group, asked)]
        answers = self._admin.list_consumer_group_offsets(request, request_timeout=TIMEOUT_S)
        found = answers[self._group].result(TIMEOUT_S).topic_partitions
        for at in found:
            if at.error is not None:
                # Its offset would read as "nothing is committed".
                raise KafkaException(at.error)
        return {(at.topic, at.partition): at.offset for at in found}
