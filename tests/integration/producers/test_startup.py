"""Parts that start where something is missing: one line with the way out, and the exit code."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from infra.embedded.ports import free_port
from infra.embedded.supervision.readiness import http_ready, kafka_ready
from infra.stack.parts import Ports, StackOptions, require_free_ports
from schemas.errors import ConfigurationError, SchemaError, UnavailableError
from schemas.process.logs import NOTICE
from tests.support.stack_fixture import RunningStack
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

NOWHERE = "127.0.0.1:1"
KAFKA, REGISTRY = "FUNDING_KAFKA_BOOTSTRAP", "FUNDING_REGISTRY_URL"
CLICKHOUSE = "FUNDING_CLICKHOUSE_URL"
_AT_A_TIME = 5


class Ended(NamedTuple):
    """How a command ended, and what it told."""

    code: int | None
    out: str
    err: str


async def fundingstream(*arguments: str, cwd: Path, env: Mapping[str, str]) -> Ended:
    """Run the console script until it ends by itself."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FUNDING_")}
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("fundingstream")),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env={**clean, **env},
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return Ended(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def background(*arguments: str, cwd: Path) -> AsyncIterator[None]:
    """Run a part for the time of the block."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("fundingstream")),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=cwd,
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


@contextmanager
def taken_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        yield int(listening.getsockname()[1])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ended(
    stack: RunningStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Ended]]:
    """Every command below, run to its end; side by side, since some wait for a while."""
    cwd = tmp_path_factory.mktemp("startup")
    kafka, registry = stack.options.bootstrap, stack.options.registry
    no_topics, no_schemas = free_port(), free_port()
    here = {KAFKA: kafka, REGISTRY: registry}
    no_kafka = {KAFKA: NOWHERE, REGISTRY: registry}
    broker = ("broker", "--engine", "noida", "--port", str(no_topics), "--data-dir", "kafka")
    empty_registry = ("registry", "--port", str(no_schemas), "--data-dir", "registry")
    limit = asyncio.Semaphore(_AT_A_TIME)

    async def run(name: str, *arguments: str, env: Mapping[str, str]) -> tuple[str, Ended]:
        own = cwd / name
        own.mkdir()  # Side by side, two producers of one feed and directory would refuse.
        async with limit:
            return name, await fundingstream(*arguments, cwd=own, env=env)

    with taken_port() as port:
        async with background(*broker, cwd=cwd), background(*empty_registry, cwd=cwd):
            await eventually(http_ready(f"http://127.0.0.1:{no_schemas}/subjects"), "registry", 30)
            await eventually(kafka_ready("127.0.0.1", no_topics), "broker", 30)
            busy, data = str(port), ("--data-dir", "busy")
            yield dict(
                await asyncio.gather(
                    run("producer without Kafka", "producer", env=no_kafka),
                    run("topics without Kafka", "topics", env=no_kafka),
                    run("tail without Kafka", "tail", "rates", env=no_kafka),
                    run("replay without Kafka", "replay", env=no_kafka),
                    run("backfill without Kafka", "backfill", env=no_kafka),
                    run("tail without a registry", "tail", "rates",
                        env={**here, REGISTRY: f"http://{NOWHERE}"}),
                    run("topics without a registry", "topics",
                        env={**here, REGISTRY: f"http://{NOWHERE}"}),
                    run("sql without ClickHouse", "sql", "SELECT 1",
                        env={CLICKHOUSE: f"http://{NOWHERE}"}),
                    run("migrate without ClickHouse", "migrate",
                        env={CLICKHOUSE: f"http://{NOWHERE}"}),
                    run("tail without topics", "tail", "rates",
                        env={**here, KAFKA: f"127.0.0.1:{no_topics}"}),
                    run("producer without a registry", "producer",
                        env={**here, REGISTRY: f"http://{NOWHERE}"}),
                    run("worker without a registry", "worker", "--web-port", str(free_port()),
                        env={**here, REGISTRY: f"http://{NOWHERE}"}),
                    run("worker without Kafka", "worker", "--web-port", str(free_port()),
                        env=no_kafka),
                    run("producer without schemas", "producer",
                        env={**here, REGISTRY: f"http://127.0.0.1:{no_schemas}"}),
                    run("producer without topics", "producer",
                        env={**here, KAFKA: f"127.0.0.1:{no_topics}"}),
                    run("producer on a busy port", "producer", "--metrics-port", busy, env=here),
                    run("worker on a busy port", "worker", "--web-port", busy, env=here | {
                        "FUNDING_WORKER_ID": "nobody"}),
                    run("up without its Kafka", "up", "--kafka", NOWHERE, env={}),
                    run("up without its ClickHouse", "up", "--clickhouse", f"http://{NOWHERE}",
                        env={}),
                    run("up on a busy port", "up", "--registry-port", busy, *data, env={}),
                    run("a password in a URL", "sql", "SELECT 1",
                        env={"FUNDING_CLICKHOUSE_URL": "http://h/?password=hunter2"}),
                    run("a user in a URL", "topics",
                        env={REGISTRY: "http://u:hunter2@h", "FUNDING_REGISTRY_USERNAME": "u"}),
                    run("a misspelt setting", "producer", env={"FUNDING_KAFKA_BOOTSTRAPS": "x"}),
                    run("a wrong setting", "producer", env={"FUNDING_PRODUCER_METRICS_PORT": "x"}),
                )
            )  # fmt: skip


CASES = {
    "producer without Kafka": (UnavailableError, NOWHERE, "set FUNDING_KAFKA_BOOTSTRAP"),
    "topics without Kafka": (UnavailableError, NOWHERE, "set FUNDING_KAFKA_BOOTSTRAP"),
    "tail without Kafka": (UnavailableError, NOWHERE, "set FUNDING_KAFKA_BOOTSTRAP"),
    "replay without Kafka": (UnavailableError, NOWHERE, "set FUNDING_KAFKA_BOOTSTRAP"),
    "backfill without Kafka": (UnavailableError, NOWHERE, "set FUNDING_KAFKA_BOOTSTRAP"),
    "tail without a registry": (UnavailableError, NOWHERE, "set FUNDING_REGISTRY_URL"),
    "topics without a registry": (UnavailableError, NOWHERE, "set FUNDING_REGISTRY_URL"),
    "sql without ClickHouse": (UnavailableError, NOWHERE, "set FUNDING_CLICKHOUSE_URL"),
    "migrate without ClickHouse": (UnavailableError, NOWHERE, "set FUNDING_CLICKHOUSE_URL"),
    "tail without topics": (UnavailableError, "funding.rates", "fundingstream topics"),
    "a password in a URL": (
        ConfigurationError,
        "FUNDING_CLICKHOUSE_URL",
        "set FUNDING_CLICKHOUSE_USERNAME",
    ),
    "a user in a URL": (ConfigurationError, REGISTRY, "set FUNDING_REGISTRY_USERNAME"),
    "producer without a registry": (UnavailableError, NOWHERE, "set FUNDING_REGISTRY_URL"),
    "worker without a registry": (UnavailableError, NOWHERE, "set FUNDING_REGISTRY_URL"),
    "worker without Kafka": (UnavailableError, NOWHERE, "set FUNDING_KAFKA_BOOTSTRAP"),
    "producer without schemas": (SchemaError, "funding.raw.binance-usdm", "fundingstream topics"),
    "producer without topics": (
        UnavailableError,
        "funding.raw.binance-usdm",
        "fundingstream topics",
    ),
    "producer on a busy port": (UnavailableError, "port", "FUNDING_PRODUCER_METRICS_PORT"),
    "worker on a busy port": (UnavailableError, "port", "FUNDING_WEB_PORT"),
    "up without its Kafka": (UnavailableError, NOWHERE, "set FUNDING_KAFKA_BOOTSTRAP"),
    "up without its ClickHouse": (UnavailableError, NOWHERE, "set FUNDING_CLICKHOUSE_URL"),
    "up on a busy port": (UnavailableError, "port", "--registry-port"),
    "a misspelt setting": (ConfigurationError, "FUNDING_KAFKA_BOOTSTRAPS", "fundingstream config"),
    "a wrong setting": (ConfigurationError, "FUNDING_PRODUCER_METRICS_PORT", "integer"),
}


@pytest.mark.parametrize(
    "name",
    CASES,
)
@pytest.mark.asyncio(loop_scope="session")
async def test_what_is_missing_is_told_in_one_line(ended: dict[str, Ended], name: str) -> None:
    """What is wrong, where, and what to do; the exit code of its kind of error; no traceback.

    A service that waits for its server has said so before.
    """
    if name.endswith("without topics") and find_spec("noida_db") is None:
        pytest.skip("needs the noida-db wheel")
    error, where, way_out = CASES[name]
    end = ended[name]
    assert "Traceback" not in end.out + end.err
    assert "hunter2" not in end.out + end.err
    assert end.code == error.exit_code
    lines = [line for line in end.err.splitlines() if NOTICE not in line]
    assert len(lines) == 1, end.err
    assert lines[0].startswith("fundingstream: ")
    assert where in lines[0]
    assert way_out in lines[0]


def test_live_needs_no_port_for_a_simulator(tmp_path: Path) -> None:
    """A taken simulator port stops a simulated run and no other."""
    free = {name: free_port() for name in Ports.__dataclass_fields__}
    with taken_port() as port:
        ports = Ports(**{**free, "simulator": port})
        require_free_ports(StackOptions(tmp_path, ports, live=True))
        require_free_ports(StackOptions(tmp_path, ports, exchange_base_url=f"http://{NOWHERE}"))
        with pytest.raises(UnavailableError, match="--simulator-port"):
            require_free_ports(StackOptions(tmp_path, ports))
