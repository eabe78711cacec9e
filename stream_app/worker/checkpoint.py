"""What one flush makes durable, in the order that loses nothing.

Outputs delivered → baselines and bars on their changelogs → contract blocks on theirs → the offsets
that may be committed. If a step fails, nothing after it happens: a restart repeats everything from
the last commit, and the offsets in the blocks tell which records are already applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from schemas.errors import FundingStreamError
from schemas.records import HourlyBar
from stream_app.core.output.outputs import Outputs
from stream_app.core.state.contract_state import block_key
from stream_app.worker.output_producer import Generation
from stream_app.worker.raw_batches import Partition


class ExpelledError(FundingStreamError):
    """The group has gone on without this worker, so its partitions are others' to write."""


Owns = Callable[[], Awaitable[bool]]
"""Tells whether the group still holds this worker for the one that processes its partitions."""


class StateTable(Protocol):
    """A table of bytes by key, written with an explicit partition."""

    def get(self, key: bytes) -> bytes | None:
        """Return a stored value."""
        ...

    async def put(self, records: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Store values by (partition, key, value); return when the changelog has them."""
        ...


class BarTable(Protocol):
    """The table of closed bars."""

    def put(self, partition: int, bar: HourlyBar) -> Awaitable[Any]:
        """Store a bar; the result is done when the changelog has it."""
        ...


class Tables(NamedTuple):
    """The tables in which a worker's state survives it."""

    contracts: StateTable
    baselines: StateTable
    bars: BarTable


class OutputSink(Protocol):
    """Where outputs go, in generations of which each is delivered as a whole."""

    def publish(self, outputs: Outputs, partition: int) -> int:
        """Take outputs for a partition; return how many could not be encoded."""
        ...

    def cut(self) -> Generation:
        """End the current generation and return it."""
        ...

    async def delivered(self, generation: Generation) -> None:
        """Wait until all of a generation is on the broker.

        Raises:
            UnavailableError: a record was refused, or the broker is away for too long.
        """
        ...


class Snapshot(NamedTuple):
    """What one flush has to make durable for one partition."""

    topic: str
    feed: str
    partition: int
    blocks: list[tuple[int, bytes]]
    """Shard number and packed block of the contracts that changed."""
    baselines: list[tuple[str, bytes]]
    """Contract id and packed baseline of those that changed."""
    bars: list[HourlyBar]
    next_offset: int | None
    """What may be committed when all of this is durable; None: nothing was applied yet."""


class Checkpointed(Protocol):
    """A partition that can tell what has changed since it was asked last."""

    def snapshot(self) -> Snapshot:
        """Take out what a flush has to make durable."""
        ...


class Checkpoint:
    """Makes the effects of applied records durable, one flush at a time."""

    def __init__(self, outputs: OutputSink, tables: Tables) -> None:
        self._outputs = outputs
        self._tables = tables
        self._lock = asyncio.Lock()

    async def flush(self, partitions: Iterable[Checkpointed], owns: Owns) -> dict[Partition, int]:
        """Make everything that was applied durable; return the offsets to be committed.

        Records that are applied while this waits belong to the next flush. `owns` is asked before
        state is written: what a worker writes after it was replaced would hide what its successor
        has written.

        Raises:
            UnavailableError: a step failed.
            ExpelledError: this worker owns its partitions no more. Both leave their state in memory
                ahead of what is durable, so that it must not be used any longer.
        """
        async with self._lock:
            await _require(owns)
            snapshots = []
            for partition in list(partitions):
                snapshot = partition.snapshot()
                snapshots.append(snapshot)
                if snapshot.blocks or snapshot.baselines:
                    # Packing takes long: what is fetched meanwhile has its turn in between. Not
                    # after each, since with a backlog each turn takes long as well.
                    await asyncio.sleep(0)
            await self._outputs.delivered(self._outputs.cut())
            await _require(owns)
            await self._store_rest(snapshots)
            await _require(owns)
            # In the order of the shards: the one of unlisted symbols must be stored last.
            await self._tables.contracts.put(
                [
                    (s.partition, block_key(s.feed, s.partition, shard), data)
                    for s in snapshots
                    for shard, data in s.blocks
                ]
            )
            return {
                (s.topic, s.partition): s.next_offset
                for s in snapshots
                if s.next_offset is not None
            }

    async def _store_rest(self, snapshots: Sequence[Snapshot]) -> None:
        """Store baselines and bars, which must be there before the blocks."""
        await asyncio.gather(
            self._tables.baselines.put(
                [
                    (s.partition, contract.encode(), data)
                    for s in snapshots
                    for contract, data in s.baselines
                ]
            ),
            *(self._tables.bars.put(s.partition, bar) for s in snapshots for bar in s.bars),
        )


async def _require(owns: Owns) -> None:
    if not await owns():
        raise ExpelledError("the group has given the partitions of this worker away")
