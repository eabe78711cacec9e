"""The order in which a flush makes things durable, and that a failure acks nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from schemas.errors import UnavailableError
from stream_app.worker.checkpoint import Checkpoint, Snapshot, Tables
from tests.support.processors import (
    Event,
    Journal,
    MemoryBars,
    MemoryOutputs,
    MemoryStore,
    Message,
)

BAR: Any = {"contract_id": "kucoin:A", "hour": 7}
ORDER = ["delivered", "baselines stored", "bars stored", "blocks stored", "acked"]


class Partition:
    """A partition with a change of each kind, that counts how often it was asked."""

    def __init__(self, journal: Journal, number: int = 2) -> None:
        self.journal, self.number = journal, number
        self.asked = 0

    def snapshot(self) -> Snapshot:
        """Two blocks, a baseline, a bar and two events."""
        self.asked += 1
        first = self.asked * 10
        events = [Event(self.journal, Message(offset, None)) for offset in (first, first + 1)]
        blocks = [(0, b"block"), (-1, b"unlisted")]
        baselines = [("kucoin:A", b"baseline")]
        return Snapshot("kucoin", self.number, blocks, baselines, [BAR], events)


class Scene:
    """A checkpoint with outputs and tables in memory."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.outputs = MemoryOutputs(self.journal)
        self.contracts = MemoryStore(self.journal, "blocks")
        self.baselines = MemoryStore(self.journal, "baselines")
        self.bars = MemoryBars(self.journal)
        tables = Tables(self.contracts, self.baselines, self.bars)
        self.checkpoint = Checkpoint(self.outputs, tables)
        self.partition = Partition(self.journal)


@pytest.fixture
def scene() -> Scene:
    """Nothing is stored."""
    return Scene()


async def test_each_step_is_complete_before_the_next_begins(scene: Scene) -> None:
    """Outputs, baselines and bars, blocks, acks."""
    await scene.checkpoint.flush([scene.partition])
    assert scene.journal.kinds() == ORDER
    assert scene.journal.of("acked") == [10, 11]


async def test_everything_goes_to_its_own_partition(scene: Scene) -> None:
    """Blocks in the order of their shards, the one of unlisted symbols last."""
    await scene.checkpoint.flush([Partition(scene.journal, 2), Partition(scene.journal, 5)])
    assert scene.journal.of("blocks stored") == [
        (2, b"kucoin/2/0"),
        (2, b"kucoin/2/-1"),
        (5, b"kucoin/5/0"),
        (5, b"kucoin/5/-1"),
    ]
    assert scene.journal.of("baselines stored") == [(2, b"kucoin:A"), (5, b"kucoin:A")]
    assert scene.journal.of("bars stored") == [(2, 7), (5, 7)]


@pytest.mark.parametrize(
    ("failing", "done"),
    [
        ("outputs", set()),
        ("baselines", {"delivered", "bars stored"}),
        ("bars", {"delivered", "baselines stored"}),
        ("contracts", {"delivered", "baselines stored", "bars stored"}),
    ],
)
async def test_a_step_that_fails_ends_the_flush(scene: Scene, failing: str, done: set[str]) -> None:
    """What comes after it does not happen, and nothing is acked."""
    getattr(scene, failing).error = UnavailableError("no broker")
    with pytest.raises(UnavailableError, match="no broker"):
        await scene.checkpoint.flush([scene.partition])
    assert set(scene.journal.kinds()) <= done
    assert scene.journal.of("acked") == []


async def test_two_flushes_do_not_mix(scene: Scene) -> None:
    """The second one looks at the partition when the first one has acked."""
    await asyncio.gather(*(scene.checkpoint.flush([scene.partition]) for _ in range(2)))
    assert scene.journal.kinds() == ORDER * 2
    assert scene.journal.of("acked") == [10, 11, 20, 21]
