"""Kafka, registry and ClickHouse for the sink's benchmarks, and sinks that may be killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from benchmarks.crew import eventually
from benchmarks.platform import Platform, platform
from infra.clickhouse.migrate import migrate
from infra.embedded.ports import free_port
from infra.embedded.supervision.readiness import tcp_ready
from infra.embedded.supervision.supervisor import NEVER
from infra.stack.parts import HOST, service
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import connect
from stream_app.sink.tables import DATABASE

CLICKHOUSE = "clickhouse"
_TIMEOUT_S = 20


class SinkServers:
    """The servers, and the sinks that run against them."""

    def __init__(self, stage: Platform) -> None:
        self.stage = stage
        writer = stage.options.clickhouse_writer()
        assert writer is not None, "the embedded server has a writer"
        self.settings = stage.options.settings(SinkSettings).model_copy(
            update={
                "clickhouse_username": writer.user,
                "clickhouse_password": SecretStr(writer.password),
                "clickhouse_timeout_s": _TIMEOUT_S,
            }
        )

    async def start_clickhouse(self) -> None:
        """Start the server on its own data; wait until it answers."""
        server = replace(service(self.stage.options, CLICKHOUSE), restart=NEVER)
        await self.stage.supervisor.start(server)

    async def stop_clickhouse(self, number: signal.Signals) -> None:
        """End the server by a signal."""
        await self.end(CLICKHOUSE, number)

    async def end(self, name: str, number: signal.Signals) -> None:
        """Send a process a signal, wait for its end and forget it."""
        os.kill(self.stage.supervisor.pids[name], number)
        await eventually(lambda: name not in self.stage.supervisor.pids, f"{name} has ended")
        await self.stage.supervisor.stop_service(name)

    async def start_sink(self, name: str, group: str, *, dynamic: bool = False) -> None:
        """Start a sink as the stack does; a static member of its group unless told otherwise."""
        port = free_port()
        sink = service(self.stage.options, "sink")
        environment = {
            **(sink.env or {}),
            "FUNDING_SINK_GROUP": group,
            "FUNDING_SINK_INSTANCE": "" if dynamic else name,
            "FUNDING_SINK_METRICS_PORT": str(port),
        }
        await self.stage.supervisor.start(
            replace(sink, name=name, env=environment, ready=tcp_ready(HOST, port), restart=NEVER)
        )

    async def rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[tuple[Any, ...]]:
        """Return the rows of a query or of a statement."""
        return await asyncio.to_thread(self.ask, sql, parameters)

    def ask(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[tuple[Any, ...]]:
        """Do the same and block."""
        client = connect(self.settings)
        try:
            found: Sequence[tuple[Any, ...]] = client.query(sql, parameters).result_rows
            return found
        finally:
            client.close()

    async def empty(self) -> None:
        """Make all tables anew: what ClickHouse knew of earlier inserts is gone as well."""
        await self.rows(f"DROP DATABASE IF EXISTS {DATABASE}")
        await asyncio.to_thread(migrate, self.settings)


@asynccontextmanager
async def sink_servers() -> AsyncIterator[SinkServers]:
    """Start Kafka, registry and ClickHouse with tables; stop everything at the end."""
    async with platform() as stage:
        servers = SinkServers(stage)
        await servers.start_clickhouse()
        await servers.empty()
        yield servers
