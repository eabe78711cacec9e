"""The whole of fundingstream as real processes on free ports, for tests to watch and to hurt.

One stack serves a whole session. Tests that use it run in the session's event loop, where its
supervisor lives: mark them `asyncio(loop_scope="session")`.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from infra.embedded.ports import free_port
from infra.embedded.supervision.supervisor import Supervisor
from infra.stack.parts import Ports, Stack, StackOptions, service
from tests.support.stack_view import CONTRACTS, FEED, StackView
from tests.support.waiting import eventually


class RunningStack(StackView):
    """A stack of processes that this process supervises."""

    def __init__(self, stack: Stack, http: aiohttp.ClientSession) -> None:
        options = stack.options
        super().__init__(
            options.exchanges, options.web, stack.worker_settings, stack.sink_settings, http
        )
        self.stack = stack
        self.options = options
        self.supervisor = stack.supervisor

    async def connects(self) -> int:
        """How often the producer has connected since it started."""
        url = f"http://127.0.0.1:{self.options.ports.producer_metrics}/metrics"
        return int(await self.metric("fundingstream_feed_connects_total", FEED, url))

    async def complete(self) -> None:
        """Wait until every feed is live, quiet contracts by REST, and has its history."""

        async def done() -> bool:
            rows = await self.rows(
                "SELECT feed FROM funding.feeds FINAL WHERE contracts_expected > 0 "
                "AND state = 'live' AND contracts_live + contracts_by_rest + contracts_quiet "
                ">= contracts_expected "
                "AND backfill_done >= contracts_expected"
            )
            return {feed for (feed,) in rows} == set(self.options.feeds)

        await eventually(done, "every feed is live and has its history", 120)

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

    def truth(self, name: str) -> list[dict[str, Any]]:
        """The lines of one of the simulator's files."""
        path = self.options.data_dir / "truth" / f"{name}.ndjson"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


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
