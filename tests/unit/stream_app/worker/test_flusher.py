"""A flush that takes long goes before the processing of batches, for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from stream_app.worker import flusher as flushing
from stream_app.worker.checkpoint import Owns
from stream_app.worker.flusher import PATIENCE_S, YIELDED_S, Flusher
from stream_app.worker.processor import Processor
from stream_app.worker.raw_batches import Partition
from tests.support.clock import ManualClock
from tests.support.processors import Bench


class Case:
    """A flusher whose flush lasts until the test lets it end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        bench = Bench()

        async def flush(_processor: Processor, _owns: Owns) -> Mapping[Partition, int]:
            self.begun.set()
            await self.may_end.wait()
            return {}

        monkeypatch.setattr(Processor, "flush", flush)
        self.flusher = Flusher(
            bench.processor, lambda: bench.group, bench.forget, self.clock, session_s=6.0
        )

    async def flushing_for(self, seconds: float) -> asyncio.Task[None]:
        """Begin a flush, and let it have lasted so long."""
        task = asyncio.create_task(self.flusher.flush())
        await self.begun.wait()
        self.clock.advance(seconds)
        return task


async def test_batches_do_not_wait_for_a_short_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor while there is none."""
    case = Case(monkeypatch)
    async with asyncio.timeout(5):
        await case.flusher.give_way()
        task = await case.flushing_for(PATIENCE_S / 2)
        await case.flusher.give_way()
    case.may_end.set()
    await task


async def test_a_flush_that_takes_longer_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it has ended."""
    case = Case(monkeypatch)
    task = await case.flushing_for(2 * PATIENCE_S)
    waiting = asyncio.create_task(case.flusher.give_way())
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    case.may_end.set()
    async with asyncio.timeout(5):
        await waiting
    assert task.done()


async def test_a_flush_that_waits_for_kafka_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither one that has taken too long already, nor beyond that time."""
    case = Case(monkeypatch)
    task = await case.flushing_for(YIELDED_S)
    async with asyncio.timeout(5):
        await case.flusher.give_way()
    case.may_end.set()
    await task

    monkeypatch.setattr(flushing, "YIELDED_S", PATIENCE_S * 1.1)
    case = Case(monkeypatch)
    task = await case.flushing_for(PATIENCE_S * 1.05)
    async with asyncio.timeout(5):
        await case.flusher.give_way()
    assert not task.done()
    case.may_end.set()
    await task
