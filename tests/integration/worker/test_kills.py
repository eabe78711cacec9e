"""kill -9 of the worker at random moments under load: what is stored is as if none had happened.

Kafka, registry, ClickHouse, worker and sink are the real processes, run as `up` runs them; the load
comes from kills.py in the place of exchange and producer. Afterwards a second worker that nobody
kills reads the same raw log, and every stored row must be equal. Twenty kills:

python -m tests.integration.worker.test_kills --kills 20
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import click
import pytest

from benchmarks.evidence import EVERY_DUPLICATE
from infra.clickhouse.migrate import migrate
from infra.embedded.supervision.supervisor import RestartPolicy, Supervisor
from infra.kafka.lag import LagReader
from infra.kafka.topics import create_topics_and_schemas
from infra.replay import VOLATILE, run_second_worker
from infra.stack.parts import Stack, service
from schemas.clock import now_us
from schemas.kafka.admin import ensure_topics
from schemas.topics import DEAD_LETTERS, TopicSpec, changelog_topic_spec, raw_topic
from stream_app.sink.clickhouse import connect
from stream_app.sink.tables import TABLES
from stream_app.worker.output_producer import PUBLISHED
from stream_app.worker.tables import TABLES as WORKER_TABLES
from tests.support.kills import (
    FEED,
    FIRST_BARS_FRAMES,
    Load,
    classify,
    differences,
    first_event_ms,
    store,
    values,
)
from tests.support.kills_report import Compared, Kill, Report, Watch
from tests.support.stack_fixture import RunningStack, options_of
from tests.support.waiting import eventually

MAX_AHEAD_S = 86_400.0
"""Event times run hours ahead of their receipt, so that bars close in a short run."""
KILLS = 3
SEED = 20
RECOVERY_TIMEOUT_S = 180.0
DRAIN_TIMEOUT_S = 300.0
REPLAY_TIMEOUT_S = 600.0
EARLY_SHARE = 0.3
"""Kills that do not wait for the recovery from the one before."""
ENDLESS = RestartPolicy(max_restarts=1_000_000, window_s=1.0)
"""`up` gives up at the sixth end within a minute; here each restart has the delay of a first."""


class Scene:
    """The running parts, the load and the kills."""

    def __init__(self, stack: RunningStack, deaths: list[int], seed: int) -> None:
        self.stack = stack
        self.deaths = deaths
        self.settings = stack.worker_settings.model_copy(update={"worker_max_ahead_s": MAX_AHEAD_S})
        self.load = Load(self.settings, seed)
        self.watch = Watch(self.settings, self.load)
        self._rng = random.Random(seed)

    async def kill_at_random(self, kills: int) -> None:
        """Kill the worker again and again, some times while it still recovers."""
        await self._reached(lambda: max(self.watch.seen_us) > 0, "the first rate")
        pid = 0
        for number in range(kills):
            if number and self._rng.random() < EARLY_SHARE:
                await self._replaced(pid)
                delay_s = self._rng.uniform(0.1, 4.0)
            else:
                await self._recovered()
                delay_s = self._rng.uniform(0.5, 6.0)
            # The moment is what is random: this wait stands for no condition.
            await asyncio.sleep(delay_s)
            await self._reached(self._pid, "a worker to kill")
            pid = self._pid()
            os.kill(pid, signal.SIGKILL)
            self.watch.kills.append(Kill(now_us()))
        await self._recovered()
        await self._reached(lambda: self.load.frames >= FIRST_BARS_FRAMES, "the first bars")

    async def _replaced(self, pid: int) -> None:
        await self._reached(lambda: self._pid() not in {0, pid}, "another worker")

    async def _recovered(self) -> None:
        kills = self.watch.kills
        await self._reached(lambda: not kills or kills[-1].recovered_us is not None, "recovery")

    async def _reached(self, condition: Callable[[], object], what: str) -> None:
        async def answer() -> object:
            assert self.load.failed is None, self.load.failed
            return condition()

        await eventually(answer, what, RECOVERY_TIMEOUT_S)

    def _pid(self) -> int:
        return self.stack.supervisor.pids.get("worker", 0)

    async def drained(self) -> None:
        """Wait until worker and sink have committed all of their input."""
        worker = (self.settings.worker_id, [raw_topic(FEED)])
        sink = (self.stack.sink_settings.sink_group, [topic.name for topic in PUBLISHED])
        for group, topics in (worker, sink):
            with closing(LagReader(self.settings, group)) as reader:
                await reader.wait(topics, DRAIN_TIMEOUT_S)

    async def undisturbed(self) -> str:
        """Run a worker that nobody kills over the same raw log; return its topics' prefix."""
        name = f"{self.settings.worker_id}-undisturbed"
        prefix = f"{name}."
        own = [
            *(TopicSpec(prefix + t.name, None, t.partitions, t.config) for t in PUBLISHED),
            TopicSpec(prefix + DEAD_LETTERS.name, None, config=DEAD_LETTERS.config),
            *(changelog_topic_spec(name, table) for table in WORKER_TABLES),
        ]
        await asyncio.to_thread(ensure_topics, self.settings, own)
        await run_second_worker(self.settings, name, prefix, REPLAY_TIMEOUT_S, owing=False)
        return prefix

    def compare(self, prefix: str) -> list[Compared]:
        """Compare every table that the worker fills."""
        client = connect(
            self.stack.sink_settings.model_copy(update={"clickhouse_timeout_s": 120.0})
        )
        compared = []
        client.command("CREATE DATABASE published")
        client.command("CREATE DATABASE undisturbed")
        for table in TABLES:
            if table.topic not in PUBLISHED:
                continue
            ours, other = f"published.{table.name}", f"undisturbed.{table.name}"
            stored = f"{table.full_name} FINAL"
            topic = table.topic.name
            compared.append(
                Compared(
                    table.name,
                    _count(client, stored),
                    _count(client, table.full_name),
                    store(client, table, ours, values(self.settings, topic)),
                    store(client, table, other, values(self.settings, prefix + topic)),
                    differences(client, table, stored, _newest(table.name, other), VOLATILE),
                    differences(client, table, ours, other, VOLATILE),
                )
            )
        client.close()
        return compared


def _newest(name: str, table: str) -> str:
    """What a table keeps of rows that were published again with a correction."""
    if name != "settlements":
        return table
    order = "raw_offset DESC, raw_item DESC"
    return f"(SELECT * FROM {table} ORDER BY {order} LIMIT 1 BY contract_id, funding_time)"


def _count(client: Any, table: str) -> int:
    return int(client.query(f"SELECT count() FROM {table}").result_rows[0][0])


async def measure(directory: Path, kills: int, seed: int) -> Report:
    """Run everything once."""
    options = options_of(directory, env={"FUNDING_WORKER_MAX_AHEAD_S": str(MAX_AHEAD_S)})
    log = (directory / "parts.log").open("w", encoding="utf-8")
    deaths: list[int] = []
    with log:
        async with (
            Supervisor(
                lambda name, line: print(f"{name}: {line}", file=log, flush=True),
                lambda end: deaths.append(end.exit_code),
            ) as supervisor,
            aiohttp.ClientSession() as http,
        ):
            stack = Stack(options, supervisor, lambda _line: None)
            servers = ("broker", "registry", "clickhouse")
            await asyncio.gather(*(supervisor.start(service(options, s)) for s in servers))
            await asyncio.to_thread(create_topics_and_schemas, stack.worker_settings)
            await asyncio.to_thread(migrate, stack.sink_settings)
            worker = replace(service(options, "worker"), restart=ENDLESS)
            await asyncio.gather(
                supervisor.start(worker), supervisor.start(service(options, "sink"))
            )
            return await _scene(Scene(RunningStack(stack, http), deaths, seed), kills)


async def _scene(scene: Scene, kills: int) -> Report:
    scene.watch.start()
    begun_s = time.monotonic()
    scene.load.start()
    try:
        await scene.kill_at_random(kills)
    finally:
        scene.watch.stop()
        await asyncio.to_thread(scene.load.stop)
    load_s = time.monotonic() - begun_s
    await scene.drained()
    await scene.stack.supervisor.stop_service("worker")
    begun_s = time.monotonic()
    prefix = await scene.undisturbed()
    replay_s = time.monotonic() - begun_s
    tables = await asyncio.to_thread(scene.compare, prefix)
    duplicates = await scene.stack.rows(f"SELECT count() FROM ({EVERY_DUPLICATE})")
    others = sum(code != -signal.SIGKILL for code in scene.deaths)
    return Report(scene.watch.kills, scene.load, load_s, replay_s, tables, duplicates[0][0], others)


@pytest.mark.integration
@pytest.mark.timeout(900)
async def test_kills_change_nothing_that_is_stored(tmp_path: Path) -> None:
    """Rates, z-scores, bars, alerts, settlements and audit: no row missing, extra or changed."""
    report = await measure(tmp_path, KILLS, SEED)
    click.echo("\n".join(report.lines()))
    assert report.differing == 0
    assert report.duplicates == 0
    assert len(report.kills) == KILLS
    # Else the proof would be about nothing.
    assert all(table.rows > 100 for table in report.tables)
    repeated = sum(table.published - table.rows for table in report.tables)
    assert repeated > 0


def test_the_load_begins_before_a_full_hour() -> None:
    """Ten minutes before the next one, or before the one after it."""
    minute = 60_000
    assert first_event_ms(100 * minute) == 110 * minute
    assert first_event_ms(110 * minute) == 110 * minute
    assert first_event_ms(111 * minute) == 170 * minute


def test_differences_are_told_apart() -> None:
    """By key: only here, only there, on both sides with other values."""
    found = classify([(1, ("a",), (1,)), (-1, ("b",), (1,)), (1, ("c",), (1,)), (-1, ("c",), (2,))])
    assert (found.missing, found.extra, found.changed, found.total) == (1, 1, 1, 3)
    assert classify([]).total == 0


@click.command()
@click.option("--kills", type=click.IntRange(1), default=20, show_default=True)
@click.option("--seed", type=int, default=SEED, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Where to leave logs and data.")
def main(kills: int, seed: int, keep: Path | None) -> None:
    """Kill the worker that often and print the figures."""
    with tempfile.TemporaryDirectory() as directory:
        if keep is not None:
            keep.mkdir(parents=True)
        report = asyncio.run(measure(keep or Path(directory), kills, seed))
    click.echo("\n".join(report.lines()))
    if report.differing or report.duplicates:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
