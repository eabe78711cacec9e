"""The order in which a flush makes things durable, and that a failure lets nothing be committed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from schemas.errors import UnavailableError
from stream_app.worker.checkpoint import Checkpoint, ExpelledError, Snapshot, Tables
from tests.support.processors import Journal, MemoryBars, MemoryOutputs, MemoryStore

BAR: Any = {"contract_id": "kucoin:A", "hour": 7}
ORDER = ["delivered", "baselines stored", "bars stored", "blocks stored"]


class Partition:
    """A partition with a change of each kind, that counts how often it was asked."""

    def __init__(self, journal: Journal, number: int = 2) -> None:
        self.journal, self.number = journal, number
        self.asked = 0

    def snapshot(self) -> Snapshot:
        """Two blocks, a baseline and a bar."""
        self.asked += 1
        blocks = [(0, b"block"), (-1, b"unlisted")]
        baselines = [("kucoin:A", b"baseline")]
        place = ("funding.raw.kucoin", "kucoin", self.number)
        return Snapshot(*place, blocks, baselines, [BAR], self.asked * 10)


async def always() -> bool:
    """The partitions are ours."""
    return True


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
    """Outputs, baselines and bars, blocks; then it tells what may be committed."""
    offsets = await scene.checkpoint.flush([scene.partition], always)
    assert scene.journal.kinds() == ORDER
    assert offsets == {("funding.raw.kucoin", 2): 10}


async def test_everything_goes_to_its_own_partition(scene: Scene) -> None:
    """Blocks in the order of their shards, the one of unlisted symbols last."""
    await scene.checkpoint.flush([Partition(scene.journal, 2), Partition(scene.journal, 5)], always)
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
    """What comes after it does not happen, and there is nothing to commit."""
    getattr(scene, failing).error = UnavailableError("no broker")
    with pytest.raises(UnavailableError, match="no broker"):
        await scene.checkpoint.flush([scene.partition], always)
    assert set(scene.journal.kinds()) <= done


@pytest.mark.parametrize(("asked", "done"), [(1, []), (2, ORDER[:1]), (3, ORDER[:3])])
async def test_a_worker_that_was_replaced_writes_nothing(
    scene: Scene, asked: int, done: list[str]
) -> None:
    """It is asked before each step that writes state, since the one before may have taken long."""
    answers = iter([True] * (asked - 1) + [False])

    async def owns() -> bool:
        return next(answers)

    with pytest.raises(ExpelledError):
        await scene.checkpoint.flush([scene.partition], owns)
    assert scene.journal.kinds() == done


async def test_two_flushes_do_not_mix(scene: Scene) -> None:
    """The second one looks at the partition when the first one is through."""
    flushes = (scene.checkpoint.flush([scene.partition], always) for _ in range(2))
    first, second = await asyncio.gather(*flushes)
    assert scene.journal.kinds() == ORDER * 2
    assert (*first.values(), *second.values()) == (10, 20)
