"""The whole of fundingstream as real processes on free ports, for tests to watch and to hurt.

One stack serves a whole session. Tests that use it run in the session's event loop, where its
supervisor lives: mark them `asyncio(loop_scope="session")`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiohttp
import pytest
import pytest_asyncio

from infra.embedded.ports import free_port
from infra.embedded.supervision.supervisor import Supervisor
from infra.kafka.lag import LagReader
from infra.stack.parts import Ports, Stack, StackOptions, service
from schemas.clock import now_us
from schemas.feeds import FEEDS
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE
from schemas.topics import OUTPUT_TOPICS, raw_topic
from stream_app.sink.clickhouse import connect
from tests.support.waiting import eventually

FEED = "binance-usdm"
CONTRACTS = 60
_QUERY_TIMEOUT_S = 120.0
DRAIN_TIMEOUT_S = 30.0
T = TypeVar("T")


def settled_for_sure() -> tuple[int, int]:
    """Between these two times every settlement is stored by now.

    Tests may run over a full hour: what settled in the last minutes may not have been asked for,
    and the simulator's oldest hour may lie before the producer's 30 days.
    """
    now = now_us()
    return now - 30 * US_PER_DAY + US_PER_HOUR, now - 15 * US_PER_MINUTE


class Update(NamedTuple):
    """One rate of one contract at one time."""

    contract_id: str
    event_time: int
    rate: float


class Outage(NamedTuple):
    """A span of event time (µs) within which updates may be missing."""

    since: int
    until: int


class RunningStack:
    """A started stack, with the queries that tests make."""

    def __init__(self, stack: Stack, http: aiohttp.ClientSession) -> None:
        self.stack = stack
        self.options = stack.options
        self.supervisor = stack.supervisor
        self.outages: list[Outage] = []
        self._http = http

    async def get(self, url: str) -> tuple[int, str]:
        """Status and body of a GET; a path is one of the worker's pages."""
        full = f"{self.options.web}{url}" if url.startswith("/") else url
        async with self._http.get(full) as reply:
            return reply.status, await reply.text()

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query, by the writer."""
        return await asyncio.to_thread(self._rows, sql)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        client = connect(
            self.stack.sink_settings.model_copy(update={"clickhouse_timeout_s": _QUERY_TIMEOUT_S})
        )
        try:
            return list(client.query(sql).result_rows)
        finally:
            client.close()

    async def control(self, action: str, **body: Any) -> dict[str, Any]:
        """Ask the simulator for a fault, its end, or a listing; return what it answers."""
        url = f"{self.options.exchanges}/control/{action}"
        async with self._http.post(url, json=body) as reply:
            assert reply.status == 200, await reply.text()
            answer: dict[str, Any] = await reply.json()
            return answer

    async def counts(self) -> Counter[str]:
        """What the simulator counted."""
        return Counter(json.loads((await self.get(f"{self.options.exchanges}/stats"))[1])["counts"])

    async def connects(self) -> int:
        """How often the producer has connected since it started."""
        url = f"http://127.0.0.1:{self.options.ports.producer_metrics}/metrics"
        return int(await self.metric("fundingstream_feed_connects_total", FEED, url))

    async def metric(self, name: str, label: str, url: str = "/metrics") -> float:
        """A sample of the worker's metrics, or of those at a URL; 0 where there is none."""
        for line in (await self.get(url))[1].splitlines():
            if line.startswith(f"{name}{{") and f'"{label}"' in line:
                return float(line.rpartition(" ")[2])
        return 0.0

    async def flowing(self) -> None:
        """Wait until updates that are received from now on have been stored."""
        since = now_us()
        sql = (
            "SELECT count() FROM funding.rates WHERE transport = 'ws' AND "
            f"toUnixTimestamp64Micro(received_at) > {since}"
        )

        async def more() -> bool:
            return int((await self.rows(sql))[0][0]) >= 3 * CONTRACTS

        await eventually(more, "updates flow into ClickHouse", 60)

    async def kill(self, name: str) -> None:
        """Send SIGKILL, then wait until the supervisor has another process of the part ready."""
        pid = self.supervisor.pids[name]
        os.kill(pid, signal.SIGKILL)
        await self._replaced(name, pid)

    async def _replaced(self, name: str, pid: int) -> None:
        ready = service(self.options, name).ready
        assert ready is not None

        async def back() -> bool:
            return self.supervisor.pids.get(name, pid) != pid and await ready()

        await eventually(back, f"{name} is back", 60)

    async def restart_producer(self) -> None:
        """A fresh producer, without the backoff that faults have earned it; loses nothing."""
        async with self.quiet():
            await self.supervisor.stop_service("producer")
            await self.supervisor.start(service(self.options, "producer"))
        await self.flowing()

    def sent(self) -> list[Update]:
        """The simulator's truth: every update that it put on a socket."""
        return [
            Update(line["contract_id"], line["event_time"], line["rate"])
            for line in self._truth(FEED)
        ]

    def settled(self, after_us: int, before_us: int) -> list[tuple[str, int, float, float]]:
        """The simulator's settlements between two times: contract, time, rate, interval."""
        return [
            (s["contract_id"], s["funding_time"], s["rate"], float(s["interval_hours"]))
            for s in self._truth("settlements")
            if after_us < s["funding_time"] < before_us
        ]

    def _truth(self, name: str) -> list[dict[str, Any]]:
        path = self.options.data_dir / "truth" / f"{name}.ndjson"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """Silence on the stream, and everything that was sent processed and stored."""
        await self.control("silence")
        ticks = (await self.counts())[f"ticks:{FEED}"]

        async def two_later() -> bool:
            return (await self.counts())[f"ticks:{FEED}"] >= ticks + 2

        try:
            await eventually(two_later, "the simulator ticks", 30)
            await self.drained()
            yield
        finally:
            await self.control("resume")

    async def drained(self) -> None:
        """Wait until worker and sink have committed all of their input."""
        groups = (
            (self.stack.worker_settings.worker_id, [raw_topic(feed) for feed in FEEDS]),
            (self.stack.sink_settings.sink_group, [topic.name for topic in OUTPUT_TOPICS]),
        )
        for group, topics in groups:
            with closing(LagReader(self.stack.worker_settings, group)) as reader:
                await reader.wait(topics, DRAIN_TIMEOUT_S)

    async def check_rates(self) -> None:
        """funding.rates is the truth: each update once, to the last digit; call it when quiet.

        The truth is about the stream; a REST snapshot may add the current rates between two of
        its ticks, once each.
        """
        sql = (
            "SELECT contract_id, toUnixTimestamp64Micro(event_time), rate, transport "
            "FROM funding.rates FINAL"
        )
        rows = await self.rows(sql)
        found = Counter(Update(*row[:3]) for row in rows)
        assert max(found.values()) == 1, [u for u, count in found.items() if count > 1][:3]
        sent = Counter(self.sent())
        streamed = {Update(*row[:3]) for row in rows if row[3] == "ws"}
        assert streamed <= set(sent), sorted(streamed - set(sent))[:3]
        lost = [
            update
            for update in sent
            if update not in found
            and not any(o.since <= update.event_time <= o.until for o in self.outages)
        ]
        assert lost == [], f"{len(lost)} of {len(sent)} updates lost: {sorted(lost)[:3]}"
        assert await self.rows("SELECT * FROM funding.duplicates") == []


@asynccontextmanager
async def running_stack(options: StackOptions) -> AsyncIterator[RunningStack]:
    """A started stack; everything that it started ends with the block."""
    log = options.data_dir / "fundingstream.log"
    with log.open("a", encoding="utf-8") as out:

        def keep(name: str, line: str) -> None:
            out.write(f"{name}: {line}\n")
            out.flush()

        timeout = aiohttp.ClientTimeout(total=15)
        async with (
            Supervisor(sink=keep) as supervisor,
            aiohttp.ClientSession(timeout=timeout) as http,
        ):
            stack = Stack(options, supervisor, lambda line: keep("stack", line))
            await stack.start()
            yield RunningStack(stack, http)


def options_of(data_dir: Path, **changes: Any) -> StackOptions:
    """Options of a stack on free ports."""
    ports = Ports(**{field.name: free_port() for field in fields(Ports)})
    quick = {"FUNDING_SINK_BATCH_AGE_S": "0.2", **changes.pop("env", {})}
    feeds = changes.pop("feeds", (FEED,))
    return StackOptions(data_dir=data_dir, ports=ports, feeds=feeds, extra_env=quick, **changes)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningStack]:
    """The session's stack: simulated exchanges, Kafka, registry, worker, sink, ClickHouse."""
    options = options_of(tmp_path_factory.mktemp("stack"), contracts=CONTRACTS, seed=7)
    async with running_stack(options) as running:
        await running.flowing()
        yield running
