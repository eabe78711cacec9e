"""Reads from the broker how many records a consumer group is behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.config.settings import SharedSettings
from schemas.errors import UnavailableError
from schemas.kafka import clients

Ends = dict[tuple[str, int], int]
"""The offset behind the last record, by (topic, partition)."""

_TIMEOUT_S = 5.0
_ASK_AGAIN_S = 0.2
_WAIT_POLL_S = 0.25
_COORDINATOR_MOVES = frozenset({
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
})  # fmt: skip


class LagReader:
    """Compares the committed offsets of one group with the ends of topics.

    All methods but `wait` block.
    """

    def __init__(self, settings: SharedSettings, group: str) -> None:
        self._consumer: Any = clients.consumer(
            {**settings.quiet_librdkafka(), "group.id": group, "enable.auto.commit": False}
        )

    def ends(self, topics: Iterable[str]) -> Ends:
        """Return where each partition ends now.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        try:
            known = self._consumer.list_topics(timeout=_TIMEOUT_S).topics
            return {
                (topic, partition): self._consumer.get_watermark_offsets(
                    TopicPartition(topic, partition), timeout=_TIMEOUT_S
                )[1]
                for topic in topics
                if topic in known
                for partition in known[topic].partitions
            }
        except KafkaException as error:
            raise UnavailableError(f"Kafka does not tell its offsets: {error}") from error

    def lag(self, topics: Iterable[str], ends: Ends | None = None) -> int:
        """Return the records of `topics`, up to `ends` or all, that the group has not committed.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        try:
            known = self._consumer.list_topics(timeout=_TIMEOUT_S).topics
            partitions = [
                TopicPartition(topic, partition)
                for topic in topics
                if topic in known
                for partition in known[topic].partitions
            ]
            committed = self._committed(partitions)
            total = 0
            for at in committed:
                low, high = self._consumer.get_watermark_offsets(at, timeout=_TIMEOUT_S)
                if ends is not None:
                    high = ends.get((at.topic, at.partition), low)
                total += max(0, high - (at.offset if at.offset >= 0 else low))
        except KafkaException as error:
            raise UnavailableError(f"Kafka does not tell its offsets: {error}") from error
        return total

    def _committed(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Return the group's offsets; wait while Kafka chooses the coordinator of a new group."""
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                found: list[TopicPartition] = self._consumer.committed(
                    partitions, timeout=_TIMEOUT_S
                )
            except KafkaException as error:
                moves = error.args[0].code() in _COORDINATOR_MOVES
                if not moves or time.monotonic() > deadline:
                    raise
                time.sleep(_ASK_AGAIN_S)
            else:
                return found

    async def wait(
        self,
        topics: Collection[str],
        timeout_s: float,
        *,
        ends: Ends | None = None,
        still: Callable[[int], None] = lambda _left: None,
    ) -> None:
        """Wait until the group has committed all of `topics`, or what lies before `ends`.

        `still` is called with the number of records left each time that there are any; an exception
        of it ends the wait. Only one wait may run at a time.

        Raises:
            UnavailableError: it took longer than `timeout_s`, or Kafka does not answer.
        """
        deadline_s = time.monotonic() + timeout_s
        while (left := await self._lag_aside(topics, ends)) > 0:
            still(left)
            if time.monotonic() > deadline_s:
                raise UnavailableError(f"{left} records are left after {timeout_s:g} s")
            await asyncio.sleep(_WAIT_POLL_S)

    async def _lag_aside(self, topics: Collection[str], ends: Ends | None) -> int:
        """Return the lag, read in a thread.

        The thread has ended when this returns, so that the reader may be closed then.
        """
        asked = asyncio.create_task(asyncio.to_thread(self.lag, topics, ends))
        try:
            return await asyncio.shield(asked)
        finally:
            await asyncio.wait([asked])

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()
