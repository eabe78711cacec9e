"""Fetches the assigned raw partitions in a thread of its own and hands them over in batches.

Faust hands over single events, at a cost of 150 µs or more each. So Faust's consumer keeps the
group and reads the changelogs alone (group_consumer.py), and this one, of librdkafka, reads the raw
log: it is told which partitions to fetch and from where, and never joins the group. The thread
alone calls it: a call from another one would wait for a poll to end, and hold up the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    TopicPartition,
)

from schemas.clock import Clock
from schemas.kafka import clients
from schemas.kafka.errors import is_lasting
from schemas.topics import MAX_MESSAGE_BYTES
from stream_app.settings import WorkerSettings
from stream_app.worker.raw_batches import Backlog, Batch, Partition, RawRecord

log = logging.getLogger(__name__)

MAX_RECORDS = 400
"""How many records are taken from librdkafka at a time."""
MAX_BATCH_BYTES = 96 * 1024
"""Of raw values in one batch: some 500 updates, or 1,800 settlements of a history. The event loop
does nothing else meanwhile."""
MAX_BATCHES = 2
"""How many batches wait for the event loop at most; then records wait in the thread."""
MAX_BACKLOG_BYTES = 8 << 20
"""Of raw values that wait in the thread; then they wait in librdkafka."""
GATHER_S = 0.002
"""For how long further records are waited for after the first: a batch costs some hundred µs beside
its records, and the pushes of an exchange come in handfuls."""
QUEUE_KIB = 8 * 1024
"""How much librdkafka fetches ahead."""
_POLL_S = 0.05
"""How long a changed assignment may go unnoticed at most."""
_MARKS_EVERY_S = 0.5
"""How often the ends of partitions without new records are looked at."""
_US_PER_MS = 1_000


class FetchedBatch(NamedTuple):
    """A batch, and the number of the assignment for which it was fetched."""

    generation: int
    records: Batch


class _Wanted(NamedTuple):
    """What the thread is to fetch."""

    generation: int
    starts: Mapping[Partition, int | None]


class Fetcher:
    """A consumer in a thread. All methods but `end` are called in the event loop."""

    def __init__(self, settings: WorkerSettings, clock: Clock, fail: Callable[[str], None]) -> None:
        """`fail` is called, in the thread, with the reason why nothing can be fetched any more."""
        self._settings = settings
        self._clock = clock
        self._fail = fail
        self._consumer: Any = None
        self._wanted = _Wanted(0, {})
        self._ends: dict[Partition, int] = {}
        self._closed = threading.Event()
        self._room = threading.Semaphore(MAX_BATCHES)
        self._batches: asyncio.Queue[FetchedBatch] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run_guarded, name="fetcher", daemon=True)

    def start(self) -> None:
        """Start the thread, for the running event loop.

        Raises:
            ConfigurationError: a file for TLS cannot be used.
        """
        self._loop = asyncio.get_running_loop()
        self._consumer = clients.consumer(_configuration(self._settings, self._on_error))
        self._thread.start()

    def close(self) -> None:
        """Fetch nothing more. The thread ends by itself, and closes its connections."""
        self.stop_fetching()
        self._closed.set()

    def fetch(self, starts: Mapping[Partition, int | None]) -> None:
        """Fetch these partitions alone from now on, each from an offset; None: from its oldest."""
        self._wanted = _Wanted(self._wanted.generation + 1, dict(starts))

    def stop_fetching(self) -> None:
        """Fetch nothing until the next `fetch`; what was fetched and is not handed over is gone."""
        self.fetch({})
        while not self._batches.empty():
            self._batches.get_nowait()
            self._room.release()

    async def next_batch(self) -> FetchedBatch:
        """Return the next batch of the current assignment."""
        while True:
            batch = await self._batches.get()
            self._room.release()
            if self.is_current(batch):
                return batch

    def is_current(self, batch: FetchedBatch) -> bool:
        """Tell whether the assignment has not changed since the batch was fetched."""
        return batch.generation == self._wanted.generation

    @property
    def has_waiting(self) -> bool:
        """True while a batch waits for the event loop."""
        return not self._batches.empty()

    def end(self, topic: str, partition: int) -> int | None:
        """Return the offset after the newest record, as of the last fetch; None: unknown."""
        return self._ends.get((topic, partition))

    def _run_guarded(self) -> None:
        try:
            self._run()
        except Exception as error:
            log.exception("the fetcher has failed")
            self._fail(f"the raw log can no longer be fetched: {error!r}")
        finally:
            self._consumer.close()

    def _run(self) -> None:
        current, look_at_s, backlog = self._wanted, 0.0, Backlog()
        while not self._closed.is_set():
            if self._wanted is not current:
                current, backlog = self._wanted, Backlog()
                self._ends = {}
                self._consumer.assign([_position(*start) for start in current.starts.items()])
            if self._clock.monotonic_s() >= look_at_s:
                look_at_s = self._clock.monotonic_s() + _MARKS_EVERY_S
                self._look_at_ends(current.starts)
            if backlog.size_bytes < MAX_BACKLOG_BYTES:
                self._note(self._more(backlog), backlog)
            self._hand_over(backlog, current.generation)

    def _more(self, backlog: Backlog) -> list[Any]:
        """Return further messages: what is there, or, without a backlog, what comes soon."""
        if backlog:
            return list(self._consumer.consume(MAX_RECORDS, 0))
        message = self._consumer.poll(_POLL_S)
        if message is None:
            return []
        return [message, *self._consumer.consume(MAX_RECORDS - 1, GATHER_S)]

    def _look_at_ends(self, partitions: Iterable[Partition]) -> None:
        """Note the ends of partitions as librdkafka knows them from its fetches."""
        for partition in partitions:
            marks = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
            if marks is not None and marks[1] >= 0:
                self._ends[partition] = marks[1]

    def _note(self, messages: Sequence[Any], backlog: Backlog) -> None:
        """Add messages to the backlog."""
        partitions = set()
        for message in messages:
            error = message.error()
            if error is not None:
                self._on_error(error)
                continue
            kind, at_ms = message.timestamp()
            at_us = None if kind == TIMESTAMP_NOT_AVAILABLE else at_ms * _US_PER_MS
            partition = (message.topic(), message.partition())
            backlog.add(partition, RawRecord(message.offset(), at_us, message.value()))
            partitions.add(partition)
        self._look_at_ends(partitions)

    def _hand_over(self, backlog: Backlog, generation: int) -> None:
        """Hand batches to the event loop while it has room for them."""
        assert self._loop is not None, "set by start"
        while (
            backlog
            and self._wanted.generation == generation
            and self._room.acquire(timeout=GATHER_S)
        ):
            batch = FetchedBatch(generation, backlog.take(MAX_BATCH_BYTES))
            try:
                self._loop.call_soon_threadsafe(self._batches.put_nowait, batch)
            except RuntimeError:  # the loop is closed: the process ends
                return

    def _on_error(self, error: KafkaError) -> None:
        """Note what librdkafka reports. What it tries again by itself is in its own log."""
        if is_lasting(error):
            self._fail(f"the raw log can no longer be fetched: {error.str()}")


def _position(partition: Partition, offset: int | None) -> TopicPartition:
    return TopicPartition(*partition, OFFSET_BEGINNING if offset is None else offset)


def _configuration(
    settings: WorkerSettings, on_error: Callable[[KafkaError], None]
) -> dict[str, Any]:
    return {
        **settings.librdkafka(),
        # It must be given, and is the one that the worker may use. The group is never joined.
        "group.id": settings.worker_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Of a log that has lost its records the oldest are read: the processor sees what is gone.
        "auto.offset.reset": "earliest",
        "check.crcs": True,
        # The raw log has no transactions: a foreign one that hangs must not hold it up.
        "isolation.level": "read_uncommitted",
        # A new assignment waits for the fetch that is under way.
        "fetch.wait.max.ms": 100,
        "fetch.max.bytes": max(MAX_MESSAGE_BYTES, QUEUE_KIB * 1024),
        "queued.max.messages.kbytes": QUEUE_KIB,
        # After its queue was full; by default it waits for a second.
        "fetch.queue.backoff.ms": 5,
        "fetch.error.backoff.ms": 100,
        # How long a topic may be unknown before that is an error; all were there at the start.
        "topic.metadata.propagation.max.ms": 10_000,
        "error_cb": on_error,
    }
