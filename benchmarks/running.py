"""A whole stack under measurement: started on free ports, asked, and stopped at the end.

What faults, calls and modes have in common.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import clickhouse_connect
import psutil

from infra.embedded.ports import free_port
from infra.embedded.supervision.supervisor import Supervisor
from infra.stack.parts import Ports, Stack, StackOptions
from schemas.clock import now_us
from schemas.errors import UnavailableError

READY_WITHIN_S = 300.0
SAMPLE_S = 5.0
_ASK_S = 30.0
_POLL_S = 0.5
_NEWEST = (
    "SELECT feed, argMax(tuple(state, contracts_expected, contracts_live + contracts_by_rest "
    "+ contracts_quiet, backfill_done, mode), reported_at) FROM funding.feeds GROUP BY feed"
)


def progress(line: str) -> None:
    """Print one line of progress to standard error."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def free_ports() -> Ports:
    """Return ports that are free now."""
    return Ports(**{name: free_port() for name in Ports.__dataclass_fields__})


class Running:
    """A started stack, with the queries and samples that measurements need."""

    def __init__(self, stack: Stack, http: aiohttp.ClientSession) -> None:
        self.stack = stack
        self.options = stack.options
        self.supervisor = stack.supervisor
        self._http = http

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        columns = await self.columns(sql)
        return list(zip(*columns, strict=True))

    async def columns(self, sql: str) -> list[Sequence[Any]]:
        """Return the columns of a query; empty ones where there is no row."""
        return await asyncio.to_thread(self._columns, sql)

    def _columns(self, sql: str) -> list[Sequence[Any]]:
        client = clickhouse_connect.get_client(
            dsn=self.options.clickhouse,
            autogenerate_session_id=False,
            send_receive_timeout=120,
        )
        try:
            result = client.query(sql)
            columns: list[Sequence[Any]] = list(result.result_columns)
            return columns or [() for _ in result.column_names]
        finally:
            client.close()

    async def control(self, action: str, body: Any) -> dict[str, Any]:
        """Post a control request to the simulator and return its answer.

        Raises:
            UnavailableError: it refuses; the message is its own.
        """
        url = f"{self.options.exchanges}/control/{action}"
        async with self._http.post(url, json=body) as reply:
            answer: dict[str, Any] = await reply.json()
            if reply.status != 200:
                raise UnavailableError(f"{url}: {answer}")
            return answer

    async def counts(self) -> Counter[str]:
        """Return what the simulator counted so far."""
        async with self._http.get(f"{self.options.exchanges}/stats") as reply:
            return Counter((await reply.json())["counts"])

    async def ready(self) -> None:
        """Wait until every feed delivers all contracts, quiet ones by REST, and has its history.

        Raises:
            UnavailableError: not within READY_WITHIN_S, or longer while history still comes.
        """
        deadline_s = time.monotonic() + READY_WITHIN_S
        done = -1
        while True:
            found = dict(await self.rows(_NEWEST))
            missing = [feed for feed in self.options.feeds if not _is_ready(found.get(feed))]
            if not missing:
                return
            loaded = sum(int(status[3]) for status in found.values())
            if loaded > done:
                done, deadline_s = loaded, time.monotonic() + READY_WITHIN_S
            if time.monotonic() > deadline_s:
                raise UnavailableError(f"not ready: { ({f: found.get(f) for f in missing}) }")
            await asyncio.sleep(_POLL_S)

    async def sampled(self, seconds: float) -> list[tuple[int, Counter[str]]]:
        """Wait; return what the simulator had counted, every SAMPLE_S and at both ends."""
        end_s = time.monotonic() + seconds
        samples = [(now_us(), await self.counts())]
        while (left_s := end_s - time.monotonic()) > 0:
            await asyncio.sleep(min(SAMPLE_S, left_s))
            samples.append((now_us(), await self.counts()))
        return samples

    def usage(self) -> dict[str, Usage]:
        """Return what each part has used so far, its children included."""
        return {name: Usage.of(pid) for name, pid in self.supervisor.pids.items()}


class Usage(tuple[float, int]):
    """CPU seconds, and bytes of memory."""

    __slots__ = ()

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Measure a process and its children."""
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        cpu_s = sum(sum(each.cpu_times()[:2]) for each in family)
        return cls((cpu_s, sum(each.memory_info().rss for each in family)))


def _is_ready(status: tuple[Any, ...] | None) -> bool:
    if status is None:
        return False
    state, expected, delivered, done, mode = status
    streams = mode == "poll" or (state == "live" and delivered >= expected)
    return bool(expected and streams and done >= expected)


@asynccontextmanager
async def running(options: StackOptions) -> AsyncIterator[Running]:
    """Start everything; what the parts say is in `parts.log` of the data directory."""
    options.data_dir.mkdir(parents=True, exist_ok=True)
    with (options.data_dir / "parts.log").open("a", encoding="utf-8") as log:

        def keep(name: str, line: str) -> None:
            log.write(f"{name}: {line}\n")
            log.flush()

        timeout = aiohttp.ClientTimeout(total=_ASK_S)
        async with (
            Supervisor(sink=keep) as supervisor,
            aiohttp.ClientSession(timeout=timeout) as http,
        ):
            stack = Stack(options, supervisor, lambda line: keep("stack", line))
            await stack.start()
            yield Running(stack, http)


def options_of(
    data_dir: Path,
    feeds: tuple[str, ...],
    contracts: int,
    environment: Mapping[str, str],
    simulator_arguments: tuple[str, ...] = (),
    producers: int = 1,
) -> StackOptions:
    """Return the options of a stack on free ports."""
    return StackOptions(
        data_dir=data_dir,
        ports=free_ports(),
        feeds=feeds,
        contracts=contracts,
        producers=producers,
        extra_env=environment,
        simulator_arguments=simulator_arguments,
    )
