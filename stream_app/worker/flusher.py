"""Makes durable what was processed, and commits it, while the group holds this worker for a member.

A worker that stood still for longer than its session (SIGSTOP, a machine that slept) was replaced
and does not know it. What it wrote then would hide its successor's state, so before it writes it
makes sure: Kafka forgets no member within a session from its last commit, and refuses the commits
of one that it has forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from schemas.clock import Clock
from stream_app.worker.checkpoint import ExpelledError
from stream_app.worker.processor import Processor
from stream_app.worker.raw_batches import Partition

log = logging.getLogger(__name__)

LEASE_SLACK_S = 1.0
"""How much sooner than Kafka this worker holds its session for over."""
PATIENCE_S = 0.5
"""How long a flush and the processing of batches take turns."""
YIELDED_S = 10.0
"""How long a flush may hold up processing: one that takes longer waits for Kafka."""


class Group(Protocol):
    """The group, as Faust's consumer reaches it."""

    async def commit_processed(self, offsets: Mapping[Partition, int]) -> bool:
        """Commit offsets; False: the group has gone on without this member."""
        ...


class Flusher:
    """Flushes and commits, one at a time."""

    def __init__(
        self,
        processor: Processor,
        group: Callable[[], Group],
        on_expelled: Callable[[], None],
        clock: Clock,
        session_s: float,
    ) -> None:
        """`on_expelled` is called when state in memory must not be used any more."""
        self._processor = processor
        self._group = group
        self._on_expelled = on_expelled
        self._clock = clock
        self._lease_s = session_s - LEASE_SLACK_S
        self._owned_until_s = -math.inf
        self._lock = asyncio.Lock()
        """Held by the flush that is running."""
        self._begun_s: float | None = None

    async def give_way(self) -> None:
        """Wait for a flush that has been running for longer than PATIENCE_S, for a bounded time.

        A flush waits often and for little, and each time a batch goes first. With a backlog there
        is always one, so that a flush would take many times as long: a worker that is ended again
        and again would process much and commit nothing.
        """
        if self._begun_s is None:
            return
        took_s = self._clock.monotonic_s() - self._begun_s
        if PATIENCE_S < took_s < YIELDED_S:
            with suppress(TimeoutError):
                async with asyncio.timeout(YIELDED_S - took_s), self._lock:
                    pass

    async def flush(self) -> None:
        """Make everything that was applied durable, then commit it.

        Raises:
            UnavailableError: it cannot be made durable.
            aiokafka.errors.KafkaError: the broker refuses the commit.
        """
        async with self._lock:
            self._begun_s = self._clock.monotonic_s()
            try:
                await self._flush()
            finally:
                self._begun_s = None

    async def _flush(self) -> None:
        try:
            offsets = await self._processor.flush(self._owns)
        except ExpelledError as error:
            log.warning("%s: what it did last is left to its successor", error)
            self._on_expelled()
            return
        known = self._processor.committable()
        await self._commit({p: o for p, o in offsets.items() if known.get(p) != o})

    async def _owns(self) -> bool:
        """Tell whether nobody else can have been given this worker's partitions."""
        if self._clock.monotonic_s() < self._owned_until_s:
            return True
        committable = self._processor.committable()
        # Without any, nothing was applied, so that there is nothing to write.
        return not committable or await self._commit(committable)

    async def _commit(self, offsets: Mapping[Partition, int]) -> bool:
        if not offsets:
            return False
        asked_s = self._clock.monotonic_s()
        if not await self._group().commit_processed(offsets):
            return False
        self._owned_until_s = asked_s + self._lease_s
        self._processor.note_committed(offsets)
        return True
