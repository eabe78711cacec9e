"""What one flush makes durable, in the order that loses nothing, and the acks that follow.

Outputs delivered → baselines and bars on their changelogs → contract blocks on theirs → events
acked. If a step fails, nothing after it happens: a restart repeats everything from the last ack,
and the offsets in the blocks tell which records are already applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from schemas.records import HourlyBar
from stream_app.core.output.outputs import Outputs
from stream_app.core.state.contract_state import block_key
from stream_app.worker.output_producer import Generation


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

    def newest(self, contract: str, limit: int) -> list[HourlyBar]:
        """Return a contract's newest bars, oldest first."""
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

    feed: str
    partition: int
    blocks: list[tuple[int, bytes]]
    """Shard number and packed block of the contracts that changed."""
    baselines: list[tuple[str, bytes]]
    """Contract id and packed baseline of those that changed."""
    bars: list[HourlyBar]
    events: list[Any]
    """The Faust events to ack when all of this is durable."""


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

    async def flush(self, partitions: Iterable[Checkpointed]) -> None:
        """Make everything that was applied durable, then ack it.

        Records that are applied while this waits belong to the next flush.

        Raises:
            UnavailableError: a step failed; nothing was acked.
        """
        async with self._lock:
            snapshots = []
            for partition in list(partitions):
                snapshots.append(partition.snapshot())
                await asyncio.sleep(0)  # packing takes long: the event loop goes on in between
            await self._outputs.delivered(self._outputs.cut())
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
            # In the order of the shards: the one of unlisted symbols must be stored last.
            await self._tables.contracts.put(
                [
                    (s.partition, block_key(s.feed, s.partition, shard), data)
                    for s in snapshots
                    for shard, data in s.blocks
                ]
            )
            for snapshot in snapshots:
                for event in snapshot.events:
                    event.ack()
