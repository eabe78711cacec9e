"""Lets the processor work on what the fetcher brings, from an assignment until it is revoked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from schemas.errors import StateError
from stream_app.worker.fetcher import FetchedBatch
from stream_app.worker.processor import HoleError, Processor
from stream_app.worker.raw_batches import Partition

log = logging.getLogger(__name__)


class BatchSource(Protocol):
    """Where batches come from: the fetcher."""

    def fetch(self, starts: Mapping[Partition, int | None]) -> None:
        """Fetch these partitions alone, each from an offset; None: from its oldest."""
        ...

    def stop_fetching(self) -> None:
        """Fetch nothing, and drop what was fetched."""
        ...

    async def next_batch(self) -> FetchedBatch:
        """Return the next batch of the current assignment."""
        ...

    def is_current(self, batch: FetchedBatch) -> bool:
        """Tell whether the assignment has not changed since the batch was fetched."""
        ...

    @property
    def has_waiting(self) -> bool:
        """True while a batch waits."""
        ...


class RawInput:
    """The way of raw records into the processor."""

    def __init__(
        self,
        source: BatchSource,
        processor: Processor,
        give_way: Callable[[], Awaitable[None]],
        fail: Callable[[str], None],
    ) -> None:
        """`give_way` lets a flush go first that takes too long. `fail` ends the process, with a
        reason.
        """
        self._give_way = give_way
        self._source = source
        self._processor = processor
        self._fail = fail
        self._is_busy = False

    @property
    def is_idle(self) -> bool:
        """True while no fetched record waits to be processed."""
        return not self._is_busy and not self._source.has_waiting

    async def begin(self, committed: Mapping[Partition, int | None]) -> None:
        """Load the state of the partitions of a new assignment, then fetch them.

        `committed`: all of them, and what the group knows of each; None: nothing.

        Raises:
            StateError: stored state cannot be used.
        """
        self._processor.revoke_all_but(committed)
        starts = {}
        for partition, offset in committed.items():
            starts[partition] = self._processor.start_of(partition, offset)
            await asyncio.sleep(0)  # unpacking takes long: the event loop goes on in between
        self._source.fetch(starts)

    def stop(self) -> None:
        """Process nothing until the next `begin`; what is fetched is dropped."""
        self._source.stop_fetching()

    def forget(self) -> None:
        """Stop, and forget all state: it is ahead of what is durable, or not ours any more."""
        self.stop()
        self._processor.revoke_all_but(())

    async def run(self) -> None:
        """Process what is fetched, for ever."""
        while True:
            batch = await self._source.next_batch()
            self._is_busy = True
            try:
                await self._process(batch)
            except (HoleError, StateError) as error:
                self._fail(str(error))
            except Exception:  # noqa: BLE001 - going on would pass over what was not applied
                self._fail("raw records could not be processed")
            self._is_busy = False
            await asyncio.sleep(0)  # whatever else waits has its turn between two batches
            await self._give_way()

    async def _process(self, batch: FetchedBatch) -> None:
        await self._processor.admit(batch.records)
        # `admit` may have asked Kafka, and the partitions may be another worker's now.
        if self._source.is_current(batch):
            self._processor.handle_batch(batch.records)
