"""How a worker starts, waits and ends, as a process on a real Kafka: what fails in it ends it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from confluent_kafka import Producer

from infra.kafka.lag import LagReader
from schemas.clock import now_us
from schemas.control_items import TICK
from schemas.kafka.admin import static_members
from schemas.partitioning import PARTITIONS
from schemas.records import FeedState, RawBatch
from schemas.serde.registry import SchemaCatalog
from schemas.topics import RAW_PREFIX, STATUS, raw_topic, raw_topic_spec
from tests.support.waiting import eventually
from tests.support.worker_scene import Scene, running_scene
from tests.unit.stream_app.worker.probes.test_readiness import report

FEED = "binance-usdm"
FATAL = 70
CRASHING = ("-m", "tests.support.crashing_worker")

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Kafka and the registry."""
    async with running_scene(tmp_path_factory.mktemp("workers")) as running:
        yield running


def report_state(scene: Scene, state: FeedState, detail: str = "") -> None:
    """Let a producer report now."""
    now = now_us()
    status = {**report(state, detail=detail, feed=FEED), "reported_at": now, "since": now}
    producer: Any = Producer(scene.settings.librdkafka())
    value = SchemaCatalog(scene.settings).encoder(STATUS).encode(status)
    producer.produce(STATUS.name, value, key=FEED.encode())
    assert producer.flush(10) == 0


def produce_raw(scene: Scene) -> None:
    """Put one record on each partition of a raw topic: a tick, which changes no contract."""
    producer: Any = Producer(scene.settings.librdkafka())
    encoder = SchemaCatalog(scene.settings).encoder(raw_topic_spec(FEED))
    now = now_us()
    record: RawBatch = {
        "feed": FEED,
        "transport": "ws",
        "purpose": "stream",
        "channel": TICK,
        "connection_id": "test",
        "sequence": 0,
        "received_at": now,
        "items": [{"symbol": None, "payload": b"", "received_at": now}],
    }
    for partition in range(PARTITIONS):
        producer.produce(raw_topic(FEED), encoder.encode(record), partition=partition)
    assert producer.flush(10) == 0


async def members(scene: Scene) -> dict[str, str]:
    """Who is in the group."""
    return await asyncio.to_thread(static_members, scene.settings, "fundingstream") or {}


async def test_a_worker_whose_faust_has_crashed_ends(scene: Scene) -> None:
    """Its producer refuses a record while a flush waits for it: exit code 70, and one line why."""
    async with scene.worker(command=CRASHING, FUNDING_WORKER_ID="fundingstream") as worker:
        begun_s = time.monotonic()
        assert await worker.ended(90) == FATAL
        took_s = time.monotonic() - begun_s
    assert "MessageSizeTooLargeError" in worker.output
    assert "Faust has crashed" in worker.output
    print(f"ended {took_s:.1f} s after its start")  # noqa: T201 - shown with -rP


async def test_a_worker_that_stands_still_is_ended_and_one_that_was_stopped_is_not(
    scene: Scene,
) -> None:
    """The watchdog ends a blocked loop; time in which the process was stopped does not count."""
    env = {"FUNDING_WORKER_WATCHDOG_S": "4"}
    async with scene.worker(**env) as worker:
        await worker.started()
        worker.send(signal.SIGSTOP)
        await asyncio.sleep(8)  # what is tested is that this time does not count
        worker.send(signal.SIGCONT)
        await worker.started()
        produce_raw(scene)
        with closing(LagReader(scene.settings, "fundingstream")) as lag:
            await lag.wait([raw_topic(FEED)], 30)
        assert worker.process.returncode is None
        worker.send(signal.SIGTERM)
        assert await worker.ended(30) == 0
    async with scene.worker(command=(*CRASHING, "block"), **env) as worker:
        assert await worker.ended(90) == FATAL
    assert "the event loop has not answered for" in worker.output


async def test_input_that_is_not_processed_ends_the_worker(scene: Scene) -> None:
    """The event loop answers while the agent hangs; the committed offsets show that nothing
    moves.
    """
    env = {"FUNDING_WORKER_WATCHDOG_S": "4"}
    async with scene.worker(command=(*CRASHING, "hang"), **env) as worker:
        await worker.started()
        produce_raw(scene)
        assert await worker.ended(90) == FATAL
    assert f"{RAW_PREFIX}{FEED}/" in worker.output
    assert "none of them was" in worker.output


async def test_workers_need_no_names(scene: Scene) -> None:
    """Two on one machine share the group; one that is killed comes back under its name at once."""
    async with scene.worker() as first, scene.worker() as second:
        await asyncio.gather(first.started(), second.started())

        async def both() -> bool:
            ids = set((await members(scene)).values())
            noted = {path.read_text() for path in scene.options.data_dir.rglob("*.member")}
            return len(ids) == 2 and ids <= noted

        await eventually(both, "both are members, and have noted their ids for a successor", 30)
        before = await members(scene)
        first.send(signal.SIGKILL)
        await first.process.wait()
        async with scene.worker() as again:
            begun_s = time.monotonic()
            await again.started()
            took_s = time.monotonic() - begun_s
            assert (await members(scene)).keys() == before.keys()
            assert second.process.returncode is None
            for worker in (again, second):
                worker.send(signal.SIGTERM)
            assert await again.ended(30) == 0
            assert await second.ended(30) == 0
    assert "waiting whether it is alive" not in again.output
    print(f"back {took_s:.1f} s after its start")  # noqa: T201 - shown with -rP


async def test_a_name_that_is_in_use_is_refused(scene: Scene, tmp_path: Path) -> None:
    """On this machine by its lock, elsewhere by the group; who has it is not disturbed."""
    name = {"FUNDING_WORKER_INSTANCE": "mine"}
    elsewhere = {**name, "FUNDING_WORKER_DATA_DIR": str(tmp_path)}
    async with scene.worker(**name) as first:
        await first.started()

        async def listed() -> str | None:
            return (await members(scene)).get("mine")

        member_id = await eventually(listed, "the first is a member", 30)
        async with scene.worker(**name) as second:
            assert await second.ended(30) == 3
        assert f"(pid {first.process.pid})" in second.output
        async with scene.worker(**elsewhere) as third:
            assert await third.ended(60) == 3
        assert "FUNDING_WORKER_INSTANCE=mine is alive in the group" in third.output
        for refused in (second, third):
            assert "Traceback" not in refused.output
        assert await listed() == member_id
        assert (await first.get("/startupz"))[0] == 200
        first.send(signal.SIGTERM)
        assert await first.ended(30) == 0


async def test_readiness_follows_what_the_producers_report(scene: Scene) -> None:
    """Not ready before a report or while a feed is `down`, with the reason; ready once it is
    `live`.
    """
    async with scene.worker() as worker:
        await worker.started()
        status, body = await worker.get("/readyz")
        assert (status, body["why"]) == (503, ["no producer has reported"])

        async def says(ready: int, told: str) -> bool:
            status, body = await worker.get("/readyz")
            return bool(status == ready and told in " ".join(body["why"]))

        await asyncio.to_thread(report_state, scene, "down", "HTTP 403: not from here")
        await eventually(lambda: says(503, f"{FEED}: down for"), "it is down", 30)
        assert (await worker.get("/readyz"))[1]["why"][0].endswith("s: HTTP 403: not from here")
        await asyncio.to_thread(report_state, scene, "live")
        await eventually(lambda: says(200, ""), "it is ready", 30)
        summary = (await worker.get("/api/v1/summary"))[1]
        assert summary["feeds"][0]["state"] == "live"
        worker.send(signal.SIGTERM)
        assert await worker.ended(30) == 0
