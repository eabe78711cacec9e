"""The sink's loop: consume messages, form chunks, store them, commit their offsets.

The order that loses nothing is: commit the plan of a chunk, INSERT, commit its offsets. If the sink
stops in between, the messages are delivered again, and a chunk that was stored already is
recognised (batches.py). While an insert is retried, consumption is paused and the consumer polled,
so that it stays a member of the group.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.clock import Clock
from schemas.kafka import clients
from schemas.process.heartbeat import Heartbeat
from stream_app.settings import SinkSettings
from stream_app.sink.batches import (
    Chunk,
    Limits,
    Message,
    TopicBatcher,
    pending_plans,
    plan_text,
)
from stream_app.sink.expected_offsets import ExpectedOffsets
from stream_app.sink.kafka_consumer import POLL_WITHIN_S, consumer_config, end_of_sink
from stream_app.sink.metrics import SinkMetrics
from stream_app.sink.outage import Outage
from stream_app.sink.tables import DELETED_BY_AGE

log = logging.getLogger(__name__)

_POLL_S = 0.1
_POLL_MESSAGES = 1_000
_STOP_GRACE_S = 5.0
_KAFKA_TIMEOUT_S = 10.0
_COMMIT_BACKOFF_S = 0.5
_LAG_EVERY_S = 1.0


class ChunkWriter(Protocol):
    """Stores the chunks of one topic."""

    def store(self, chunk: Chunk) -> None:
        """Store a chunk: when this returns, its offsets may be committed."""
        ...


class _ChunkLostError(Exception):
    """The chunk in hand belongs to another member now, or the sink must stop."""


class Sink:
    """One member of the sink's group."""

    def __init__(
        self,
        settings: SinkSettings,
        metrics: SinkMetrics,
        outage: Outage,
        heartbeat: Heartbeat,
        stop: threading.Event,
        clock: Clock,
        consumer: Any = None,
    ) -> None:
        """Make a member, which joins its group when it runs.

        Args:
            settings: Kafka's address, the group, and when a chunk is closed.
            metrics: Where the sink counts.
            outage: Told while offsets cannot be committed.
            heartbeat: Gets a beat at each turn of the loop, the waiting for ClickHouse included.
            stop: Set from outside when the sink is to end.
            clock: The time.
            consumer: What consumes; None: a consumer of confluent-kafka.

        Raises:
            ConfigurationError: a setting of the connection to Kafka is wrong.
        """
        self._clock = clock
        self._group = settings.sink_group
        self._heartbeat = heartbeat
        self._limits = Limits(settings.sink_batch_rows, settings.sink_batch_age_s)
        self._metrics = metrics
        self._stop = stop
        self._stop_by_s: float | None = None
        self._outage = outage
        self._consumer: Any = consumer or clients.consumer(
            {**consumer_config(settings), "error_cb": _log_error}
        )
        self._writers: dict[str, ChunkWriter] = {}
        self._batchers: dict[str, TopicBatcher] = {}
        self._early: deque[Any] = deque()
        self._expected = ExpectedOffsets({})
        self._generation = 0
        self._assigned = False
        """Partitions were assigned that `_collect` has not resumed yet."""
        self._ahead: set[tuple[str, int]] = set()
        """Topics and partitions that are paused until the plan of their topic is closed."""
        self._polled_at_s = 0.0
        self._lag_at_s = 0.0

    def run(self, writers: Mapping[str, ChunkWriter]) -> None:
        """Consume until the stop event is set, then store and commit what is held."""
        self._writers = dict(writers)
        self._consumer.subscribe(
            sorted(self._writers), on_assign=self._on_assign, on_revoke=self._on_revoke
        )
        try:
            while not self._stop.is_set():
                self._store_all(self._collect())
                self._measure_lag()
            held = [c for b in self._batchers.values() for c in b.drain(self._clock.monotonic_s())]
            self._store_all(held)
        finally:
            self._consumer.close()

    def wait(self, seconds: float) -> None:
        """Wait without consuming, as a member of the group; 0 s: only stay a member.

        Raises:
            _ChunkLostError: the partitions were revoked meanwhile, or the sink has to stop.
        """
        generation = self._generation
        until_s = self._clock.monotonic_s() + seconds
        rest_s = seconds
        self._consumer.pause(self._consumer.assignment())
        while True:
            self._heartbeat.beat()
            message = self._consumer.poll(max(0.0, min(rest_s, _POLL_S)))
            self._polled_at_s = self._clock.monotonic_s()
            if message is not None and self._is_record(message):
                self._early.append(message)
            if self._generation != generation:
                raise _ChunkLostError("the partitions were revoked")
            if self._stop.is_set():
                self._stop_by_s = self._stop_by_s or self._clock.monotonic_s() + _STOP_GRACE_S
                if self._clock.monotonic_s() >= self._stop_by_s:
                    raise _ChunkLostError("the sink stops")
            rest_s = until_s - self._clock.monotonic_s()
            if rest_s <= 0:
                return

    def _stay_member(self) -> None:
        """Poll when many slow inserts have kept the consumer from it; a pause drops its buffer."""
        self._heartbeat.beat()
        if self._clock.monotonic_s() - self._polled_at_s >= POLL_WITHIN_S:
            self.wait(0.0)

    def _collect(self) -> list[Chunk]:
        """Take what one poll brings and return the chunks that are to be stored now."""
        self._heartbeat.beat()
        timeout_s = 0 if self._early else _POLL_S
        polled = self._consumer.consume(_POLL_MESSAGES, timeout=timeout_s)
        self._polled_at_s = self._clock.monotonic_s()
        if self._assigned:
            # `wait` may have paused them before the rebalance, which does not end a pause.
            self._assigned = False
            self._ahead.clear()
            self._consumer.resume(self._consumer.assignment())
        # Only now: a rebalance during the call empties what was polled before it.
        messages = [*self._early, *polled]
        self._early.clear()
        now_s = self._clock.monotonic_s()
        chunks: list[Chunk] = []
        for message in messages:
            if not self._is_record(message):
                continue
            batcher = self._batchers.get(message.topic())
            if batcher is not None:
                self._look_for_lost(message)
                chunks += batcher.add(
                    Message(message.partition(), message.offset(), message.key(), message.value()),
                    now_s,
                )
        for batcher in self._batchers.values():
            chunks += batcher.due(now_s)
        self._metrics.buffered.set(sum(b.rows for b in self._batchers.values()))
        self._pause_ahead()
        return chunks

    def _is_record(self, message: Any) -> bool:
        """Tell a record from an event.

        Raises:
            UnavailableError: the consumer cannot go on, for example because another has its name.
            ConfigurationError: Kafka does not let it read a topic or use the group.
        """
        error = message.error()
        if error is None:
            return True
        end = end_of_sink(error, message.topic() or "", self._group)
        if end is not None:
            raise end
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            log.warning("%s: run `fundingstream topics`", error.str())
        else:
            log.warning("Kafka: %s", error.str())
        return False

    def _look_for_lost(self, message: Any) -> None:
        """Report messages that Kafka deleted before they were consumed."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if topic not in DELETED_BY_AGE:
            return
        missing = self._expected.missing_before(topic, partition, offset)
        if missing:
            self._metrics.lost.labels(topic).inc(missing)
            log.error(
                "%s:%d: %d messages before offset %d are gone from Kafka and were not stored: the "
                "sink was away or waited for longer than the topic keeps them",
                *(topic, partition, missing, offset),
            )

    def _pause_ahead(self) -> None:
        """Pause the partitions that are past their part of a plan, resume those whose plan ended.

        Without this a backlog on one partition fills the memory that may wait behind a plan before
        the last message of the plan arrives on another.
        """
        ahead = {(b.topic, partition) for b in self._batchers.values() for partition in b.ahead}
        if ahead != self._ahead:
            self._consumer.pause([TopicPartition(*item) for item in ahead - self._ahead])
            self._consumer.resume([TopicPartition(*item) for item in self._ahead - ahead])
            self._ahead = ahead

    def _resume(self) -> None:
        """End the pause of `wait`; partitions that are ahead of a plan stay paused."""
        self._consumer.resume(
            [p for p in self._consumer.assignment() if (p.topic, p.partition) not in self._ahead]
        )

    def _store_all(self, chunks: Sequence[Chunk]) -> None:
        if not chunks:
            return
        generation, started_s = self._generation, self._clock.monotonic_s()
        stored: list[Chunk] = []
        try:
            for wave in _waves(chunks):
                self._commit(
                    [
                        TopicPartition(c.topic, r.partition, r.first, plan_text(c.ranges))
                        for c in wave
                        for r in c.ranges
                    ]
                )
                for chunk in wave:
                    self._stay_member()
                    self._writers[chunk.topic].store(chunk)
                    stored.append(chunk)
                self._commit(
                    [
                        TopicPartition(c.topic, r.partition, r.last + 1)
                        for c in wave
                        for r in c.ranges
                    ]
                )
        except _ChunkLostError as error:
            self._outage.given_up()
            log.warning("chunks left to the next owner of their partitions: %s", error)
            left = sum(len(c.messages) for c in chunks) - sum(len(c.messages) for c in stored)
            self._metrics.abandoned.inc(left)
            if self._generation == generation:
                # The partitions are still ours: to commit what follows would skip the lost chunk.
                self._forget_batches()
        finally:
            self._resume()
            stored_s = self._clock.monotonic_s() - started_s
            for batcher in self._batchers.values():
                batcher.not_consumed(stored_s)

    def _commit(self, offsets: Sequence[Any]) -> None:
        """Commit until it is confirmed; if a rebalance takes the chunk away, `wait` raises."""
        offsets = list(offsets)
        while True:
            topic = ""
            try:
                results = self._consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                problem = error.args[0]
            else:
                refused = next((r for r in results if r.error is not None), None)
                problem, topic = (refused.error, refused.topic) if refused else (None, "")
            if problem is None:
                self._outage.over()
                return
            planned = any(item.metadata for item in offsets)
            if planned and problem.code() == KafkaError.OFFSET_METADATA_TOO_LARGE:
                # Without plans duplicates are still removed by the tables' Replacing keys.
                log.warning("the broker does not take the plan of a chunk (%s)", problem.str())
                offsets = [TopicPartition(o.topic, o.partition, o.offset) for o in offsets]
                continue
            end = end_of_sink(problem, topic, self._group)
            if end is not None:
                raise end
            self._outage.failed("kafka", f"offsets are not committed ({problem.str()})")
            self.wait(_COMMIT_BACKOFF_S)

    def _on_assign(self, consumer: Any, partitions: Sequence[Any]) -> None:
        """Start empty batches for these partitions; chunks that were not confirmed come first."""
        committed = partitions
        if partitions:
            try:
                committed = consumer.committed(list(partitions), timeout=_KAFKA_TIMEOUT_S)
            except KafkaException as error:
                # Without plans duplicates are still removed by the tables' Replacing keys.
                log.warning("committed offsets not read (%s): no plans", error.args[0].str())
        self._assigned = True
        by_topic: dict[str, dict[int, tuple[int, str]]] = {topic: {} for topic in self._writers}
        for item in committed:
            by_topic[item.topic][item.partition] = (item.offset, item.metadata or "")
        self._expected = ExpectedOffsets(
            {(item.topic, item.partition): item.offset for item in committed}
        )
        plans = {topic: pending_plans(found) for topic, found in by_topic.items()}
        self._batchers = {
            topic: TopicBatcher(topic, self._limits, plans[topic]) for topic in self._writers
        }
        log.info(
            "%d partitions assigned, %d unconfirmed chunks to repeat",
            *(len(partitions), sum(map(len, plans.values()))),
        )

    def _on_revoke(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        """Forget what is not committed: the next owner of the partitions reads it again."""
        self._generation += 1
        self._ahead.clear()
        self._forget_batches()
        log.info("%d partitions revoked", len(partitions))

    def _forget_batches(self) -> None:
        """Drop what is in memory and not yet a chunk: it comes again from the committed offsets."""
        held = sum(batcher.rows for batcher in self._batchers.values())
        self._metrics.abandoned.inc(held + len(self._early))
        self._early.clear()
        self._batchers = {}

    def _measure_lag(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._lag_at_s < _LAG_EVERY_S:
            return
        self._lag_at_s = now_s
        lag = {topic: batcher.rows for topic, batcher in self._batchers.items()}
        for item in self._consumer.position(self._consumer.assignment()):
            _, high = self._consumer.get_watermark_offsets(item, cached=True)
            if item.offset >= 0 and high > item.offset and item.topic in lag:
                lag[item.topic] += high - item.offset
        for topic, count in lag.items():
            self._metrics.lag.labels(topic).set(count)


def _waves(chunks: Sequence[Chunk]) -> list[list[Chunk]]:
    """Group chunks so that no wave has two of one topic: offsets are committed in order."""
    waves: list[list[Chunk]] = []
    count_by_topic: dict[str, int] = {}
    for chunk in chunks:
        index = count_by_topic.get(chunk.topic, 0)
        count_by_topic[chunk.topic] = index + 1
        if index == len(waves):
            waves.append([])
        waves[index].append(chunk)
    return waves


def _log_error(error: Any) -> None:
    log.warning("Kafka: %s", error.str())
