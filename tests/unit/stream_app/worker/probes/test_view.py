"""Pictures of the worker: one a second for all clients, in slices, and never before a batch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from stream_app.core.partition import FeedPartition
from stream_app.worker.probes.routes import Probes
from stream_app.worker.probes.slices import PATIENCE, Once, Pace
from stream_app.worker.probes.view import FRESH_S, WorkerView
from stream_app.worker.processor import Processor
from tests.support.clock import ManualClock
from tests.support.processors import HOUR_US, Bench, Message, S, tick

PATHS = ("/readyz", "/metrics")


class Watched:
    """A processor whose state is read, and which may be busy."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self.busy_answers = 0
        """So many times it will say that a batch waits."""
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._processor, name)

    def idle(self) -> bool:
        """Busy for a while."""
        if self.busy_answers:
            self.busy_answers -= 1
            self.calls.append("busy")
            return False
        return True

    def partitions(self) -> Iterator[FeedPartition]:
        """The state, which somebody reads now."""
        self.calls.append("read")
        return self._processor.partitions()


class Site:
    """The probes of a worker with a few contracts."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.worker = Watched(self.bench.processor)
        self.view = self.watch(self.bench.clock)
        self.url = ""

    def watch(self, clock: ManualClock) -> WorkerView:
        """A view of the worker."""
        return WorkerView(self.worker, dict, clock, self.worker.idle)  # type: ignore[arg-type]

    async def get(self, path: str) -> bytes:
        """The body of an answer, whatever its status."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}{path}") as reply:
            return await reply.read()


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    """The probes on a free port."""
    site = Site()
    for number, rate in enumerate((0.0001, -0.0003, 0.0002)):
        value = tick(rate, HOUR_US + number * S, f"C{number}USDT")
        await site.bench.feed(Message(number, value))
    app = web.Application()
    Probes(site.view, asyncio.get_running_loop, lambda: b"").add_to(app)
    async with TestServer(app) as server:
        site.url = str(server.make_url("")).rstrip("/")
        yield site


async def test_many_clients_that_ask_at_once_cost_one_picture_a_second(site: Site) -> None:
    """Whatever they ask for, and however often within the second."""
    for _ in range(2):
        await asyncio.gather(*(site.get(path) for path in PATHS * 12))
        site.bench.clock.advance(FRESH_S / 4)
    assert site.worker.calls == ["read"]
    site.bench.clock.advance(FRESH_S)
    await asyncio.gather(*(site.get(path) for path in PATHS * 12))
    assert site.worker.calls == ["read", "read"]


async def test_nobody_asks_and_nothing_is_done(site: Site) -> None:
    """What answers at once needs no picture either."""
    site.bench.clock.advance(60.0)
    assert json.loads(await site.get("/healthz"))["status"] == "ok"
    assert site.worker.calls == []


async def test_a_batch_that_waits_goes_first(site: Site) -> None:
    """Nothing is read before the worker is idle."""
    site.worker.busy_answers = 7
    await site.get("/readyz")
    assert site.worker.calls == ["busy"] * 7 + ["read"]


async def test_a_worker_that_is_never_idle_answers_late(site: Site) -> None:
    """A slice waits for a bounded time: catching up may take hours."""
    site.worker.busy_answers = 1_000_000
    assert b"ready" in await site.get("/readyz")
    assert site.worker.calls.index("read") == PATIENCE


async def test_the_loop_goes_on_between_slices(site: Site) -> None:
    """While a picture is taken of many contracts, others have many turns."""
    for number in range(3, 400):
        await site.bench.feed(Message(number, tick(0.0001, HOUR_US + number * S, f"C{number}USDT")))
    clock = CreepingClock(HOUR_US)
    view = site.watch(clock)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    running = asyncio.create_task(others())
    picture = await view.picture()
    running.cancel()
    assert picture.feeds[0]["contracts"] == 400
    # 25 pieces are read, and each look at this clock takes half a slice.
    assert turns >= 12


class CreepingClock(ManualClock):
    """A clock on which time goes on when it is read."""

    def monotonic_s(self) -> float:
        """Half a millisecond later than the time before."""
        self.advance(0.0005)
        return super().monotonic_s()


async def test_who_hangs_up_does_not_take_it_from_the_others(site: Site) -> None:
    """A cancelled client leaves the picture to those who wait with it."""
    site.worker.busy_answers = 3
    impatient = asyncio.create_task(site.view.picture())
    patient = asyncio.create_task(site.view.picture())
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).feeds[0]["contracts"] == 3
    assert site.worker.calls.count("read") == 1


async def test_a_picture_that_cannot_be_taken_is_tried_again(site: Site) -> None:
    """An error is told to all who ask within the second, and is not kept for ever."""
    processor, site.worker._processor = site.worker._processor, None  # type: ignore[assignment]
    for _ in range(2):
        assert b"500" in await site.get("/readyz")
    site.worker._processor = processor
    site.bench.clock.advance(FRESH_S)
    assert b"ready" in await site.get("/readyz")


async def test_once() -> None:
    """It is made when it is first asked for, and never again."""
    made = 0

    async def make() -> int:
        nonlocal made
        await asyncio.sleep(0)
        made += 1
        return made

    once = Once(make)
    assert not once.is_made
    assert list(await asyncio.gather(once.get(), once.get())) == [1, 1]
    assert await once.get() == 1
    assert once.is_made


async def test_a_slice_that_is_not_used_up_goes_on(site: Site) -> None:
    """On a clock that stands still the first call pauses, and no further one."""
    pace = Pace(site.bench.clock, site.worker.idle)
    site.worker.busy_answers = 4
    for _ in range(100):
        await pace.give_way()
    assert site.worker.calls == ["busy"] * 4
    site.bench.clock.advance(0.001)
    site.worker.busy_answers = 1
    await pace.give_way()
    assert site.worker.calls == ["busy"] * 5


class WaitingClock(ManualClock):
    """A clock on which the wait before a slice takes as long as a test says."""

    def __init__(self, waited_s: float) -> None:
        super().__init__()
        self.waited_s = waited_s
        self._reads = 0

    def monotonic_s(self) -> float:
        """The first two readings are before and after the wait; then 1.2 ms pass before each."""
        self._reads += 1
        if self._reads > 1:
            self.advance(self.waited_s if self._reads == 2 else 0.0012)
        return super().monotonic_s()


@pytest.mark.parametrize(("waited_s", "pieces"), [(0.0, 0), (0.02, 0), (0.2, 3), (9.0, 4)])
async def test_a_slice_that_has_waited_long_may_take_longer(waited_s: float, pieces: int) -> None:
    """A fiftieth of the wait, and 5 ms at most. A piece takes 1.2 ms here."""
    asked = 0

    def idle() -> bool:
        nonlocal asked
        asked += 1
        return True

    pace = Pace(WaitingClock(waited_s), idle)
    await pace.give_way()
    done = -1
    while asked == 1:
        await pace.give_way()
        done += 1
    assert done == pieces
