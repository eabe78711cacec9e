"""Kafka and the registry with all topics, and workers as processes of their own on them.

For tests of how a worker starts and ends; what it computes is tested with the whole stack.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import aiohttp

from infra.embedded.ports import free_port
from infra.embedded.supervision.supervisor import Supervisor
from infra.kafka.topics import create_topics_and_schemas
from infra.stack.parts import StackOptions, service
from schemas.config.settings import load_settings
from stream_app.settings import WorkerSettings
from tests.support.paths import ROOT
from tests.support.stack_fixture import options_of
from tests.support.waiting import eventually

WORKER = ("-m", "infra.cli", "worker")


class Scene:
    """A running broker and registry."""

    def __init__(self, options: StackOptions) -> None:
        self.options = options
        self.settings = load_settings(
            WorkerSettings, kafka_bootstrap=options.bootstrap, registry_url=options.registry
        )

    @asynccontextmanager
    async def worker(
        self, *, command: Sequence[str] = WORKER, **env: str
    ) -> AsyncIterator[WorkerProcess]:
        """A worker with a port of its own; it ends with the block."""
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=ROOT,
            env={**self.options.environment(), "FUNDING_WEB_PORT": str(port), **env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        worker = WorkerProcess(process, port)
        try:
            async with worker:
                yield worker
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class WorkerProcess:
    """One worker; all that it has said is in `said`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.said: list[str] = []
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        self._update = asyncio.create_task(self._read())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._update.cancel()
        await self._http.close()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode(errors="replace").rstrip())

    @property
    def output(self) -> str:
        """All that it has said."""
        return "\n".join(self.said)

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of one of its pages; 0 where it does not answer."""
        try:
            async with self._http.get(f"http://127.0.0.1:{self.port}{path}") as reply:
                return reply.status, json.loads(await reply.read())
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0, None

    async def started(self, timeout_s: float = 60.0) -> None:
        """Wait until it has its partitions and their state."""

        async def up() -> bool:
            assert self.process.returncode is None, self.output
            return (await self.get("/startupz"))[0] == 200

        await eventually(up, "the worker has started", timeout_s)

    async def ended(self, timeout_s: float) -> int:
        """Wait until it ends by itself; return its exit code."""
        async with asyncio.timeout(timeout_s):
            code = await self.process.wait()
            await self._update
        return code

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)


@asynccontextmanager
async def running_scene(directory: Path) -> AsyncIterator[Scene]:
    """A broker and a registry with all topics and schemas."""
    options = options_of(directory)
    async with Supervisor(sink=lambda _name, _line: None) as supervisor:
        await asyncio.gather(
            *(supervisor.start(service(options, name)) for name in ("broker", "registry"))
        )
        scene = Scene(options)
        await asyncio.to_thread(create_topics_and_schemas, scene.settings)
        yield scene
