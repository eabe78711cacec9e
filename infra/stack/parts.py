"""The whole of fundingstream on one machine: which parts, with which arguments, in which order."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from infra.clickhouse.migrate import migrate as migrate_database
from infra.embedded.clickhouse.access import (
    WRITER_NAME,
    WRITER_VARIABLE,
    Credentials,
    ensure_writer_credentials,
)
from infra.embedded.ports import require_free_port
from infra.embedded.supervision.readiness import http_ready, kafka_ready, tcp_ready
from infra.embedded.supervision.supervisor import Service, Supervisor
from infra.kafka.lag import LagReader
from infra.kafka.topics import create_topics_and_schemas
from infra.runs import CLICKHOUSE_URL_FILE, DEMO_CONTRACTS
from infra.settings import ENV_FILE_VARIABLE, PARTS
from producers.settings import ProducerSettings, check_limit_factor
from schemas.config.settings import ENV_PREFIX, S, load_settings
from schemas.errors import ConfigurationError, UnavailableError
from schemas.feeds import FEEDS
from schemas.topics import OUTPUT_TOPICS, raw_topic
from stream_app.settings import SinkSettings, WorkerSettings

HOST = "127.0.0.1"
PRODUCER = "producer"
DRAIN_TIMEOUT_S = 30.0
DRAIN_TOLD_EVERY_S = 3.0
SIMULATED_LIMIT_FACTOR = 50
"""Factor of the rate limits of simulated exchanges: all days of history take seconds instead of
the 45 minutes that the strictest real limits need."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of the parts, on loopback."""

    kafka: int = 9092
    registry: int = 8081
    clickhouse: int = 8123
    web: int = 6066
    producer_metrics: int = 9101
    sink_metrics: int = 9102
    simulator: int = 9443


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What to run. `kafka` and `clickhouse_url` name existing servers, used instead of own ones."""

    data_dir: Path
    ports: Ports = field(default_factory=Ports)
    live: bool = False
    feeds: tuple[str, ...] = FEEDS
    contracts: int = DEMO_CONTRACTS
    """How many contracts all simulated feeds have together."""
    seed: int = 1
    producers: int = 1
    """How many processes share the feeds."""
    aligned: bool = False
    """Whether all simulated exchanges push at the same moment."""
    kafka: str | None = None
    clickhouse_url: str | None = None
    exchange_base_url: str | None = None
    """Root URL of exchanges that somebody else serves, instead of the simulator."""
    simulator_arguments: tuple[str, ...] = ()
    extra_env: Mapping[str, str] = field(default_factory=dict)

    @property
    def bootstrap(self) -> str:
        """The address of Kafka, HOST:PORT."""
        return self.kafka or f"{HOST}:{self.ports.kafka}"

    @property
    def clickhouse(self) -> str:
        """The URL of ClickHouse."""
        return (self.clickhouse_url or f"http://{HOST}:{self.ports.clickhouse}").rstrip("/")

    @property
    def registry(self) -> str:
        """The URL of the schema registry."""
        return f"http://{HOST}:{self.ports.registry}"

    @property
    def web(self) -> str:
        """The URL of the status page, without a slash at its end."""
        return f"http://{HOST}:{self.ports.web}"

    @property
    def exchanges(self) -> str:
        """The root URL of the exchanges; empty for the real ones."""
        if self.exchange_base_url is not None:
            return self.exchange_base_url
        return "" if self.live else f"http://{HOST}:{self.ports.simulator}"

    @property
    def simulated(self) -> bool:
        """Whether the stack runs the simulator in place of the exchanges."""
        return self.exchange_base_url is None and not self.live

    def clickhouse_writer(self) -> Credentials | None:
        """Return the user who writes to the embedded ClickHouse; None where the server is not ours.

        The password is the environment's, or a secret that is kept beside the server's data.
        """
        if self.clickhouse_url is not None:
            return None
        given = {**os.environ, **self.extra_env}.get(WRITER_VARIABLE)
        if given:
            return Credentials(WRITER_NAME, given)
        return ensure_writer_credentials(self.data_dir / "clickhouse")

    def environment(self) -> dict[str, str]:
        """Return the environment of the parts: that of this process, changed by the options."""
        return {
            **os.environ,
            **(
                {"FUNDING_PRODUCER_LIMIT_FACTOR": str(SIMULATED_LIMIT_FACTOR)}
                if self.simulated
                else {}
            ),
            # The embedded server belongs to no cluster, whatever other servers do.
            **({"FUNDING_CLICKHOUSE_CLUSTER": ""} if self.clickhouse_url is None else {}),
            # This process has read the .env file; it may have changed when a part is restarted.
            ENV_FILE_VARIABLE: "",
            "FUNDING_KAFKA_BOOTSTRAP": self.bootstrap,
            "FUNDING_REGISTRY_URL": self.registry,
            "FUNDING_CLICKHOUSE_URL": self.clickhouse,
            "FUNDING_EXCHANGE_BASE_URL": self.exchanges,
            "FUNDING_WEB_PORT": str(self.ports.web),
            "FUNDING_PRODUCER_METRICS_PORT": str(self.ports.producer_metrics),
            "FUNDING_SINK_METRICS_PORT": str(self.ports.sink_metrics),
            "FUNDING_PRODUCER_DATA_DIR": str(self.data_dir / "producer"),
            "FUNDING_WORKER_DATA_DIR": str(self.data_dir / "worker"),
            "PYTHONUNBUFFERED": "1",
            **self.extra_env,
        }

    def settings(self, part: type[S]) -> S:
        """Return a part's settings as the part itself will read them.

        Raises:
            ConfigurationError: a value of the environment or of an option is wrong.
        """
        environment = self.environment()
        named = {name: f"{ENV_PREFIX}{name.upper()}" for name in part.model_fields}
        given = {name: environment.get(variable) for name, variable in named.items()}
        return load_settings(part, **given)


def producer_names(options: StackOptions) -> list[str]:
    """Return the names of the producers' services; a single one has no number."""
    if options.producers == 1:
        return [PRODUCER]
    return [f"{PRODUCER}-{number}" for number in range(1, options.producers + 1)]


def producer_port(ports: Ports, share: int) -> int:
    """Return where the producer of a share serves its metrics.

    The first one's port is chosen; those of the others begin ten further on, behind the sink's.
    """
    return ports.producer_metrics + (0 if share == 1 else 8 + share)


def check_settings(options: StackOptions) -> None:
    """Check the settings of every part, before any of them starts.

    Raises:
        ConfigurationError: a value is wrong; the message names its variable.
    """
    for part in PARTS.values():
        options.settings(part)
    check_limit_factor(options.settings(ProducerSettings))


def require_free_ports(options: StackOptions) -> None:
    """Check every port that the stack will listen on, before anything starts.

    Raises:
        UnavailableError: a port is taken; the message names the flag that changes it.
        ConfigurationError: a number is no port, or given to two parts.
    """
    ports = options.ports
    wanted = [
        (ports.registry, "the schema registry", "--registry-port"),
        (ports.web, "the status page", "--web-port"),
        *(
            (producer_port(ports, share), "the producers' metrics", "--producer-metrics-port")
            for share in range(1, options.producers + 1)
        ),
        (ports.sink_metrics, "the sink's metrics", "--sink-metrics-port"),
    ]
    if options.kafka is None:
        wanted.append((ports.kafka, "Kafka", "--kafka-port"))
    if options.clickhouse_url is None:
        wanted.append((ports.clickhouse, "ClickHouse", "--clickhouse-port"))
    if options.simulated:
        wanted.append((ports.simulator, "the simulator", "--simulator-port"))
    flags: dict[int, str] = {}
    for port, _, flag in wanted:
        if port in flags:
            raise ConfigurationError(f"{flags[port]} and {flag} are both {port}: change one")
        flags[port] = flag
    for port, what, flag in wanted:
        require_free_port(port, what, flag)


def service(options: StackOptions, name: str) -> Service:
    """Return one part of the stack as a supervised service.

    A producer is `producer`, or `producer-K` where several share the feeds.
    """
    ports, data = options.ports, options.data_dir
    command, _, number = name.partition("-")
    share = int(number or 1)
    metrics_port = producer_port(ports, share)
    arguments: dict[str, list[str]] = {
        "broker": ["--port", str(ports.kafka), "--data-dir", str(data / "kafka")],
        "registry": ["--port", str(ports.registry), "--data-dir", str(data / "registry")],
        "clickhouse": ["--port", str(ports.clickhouse), "--data-dir", str(data / "clickhouse")],
        "simulator": [
            *("--port", str(ports.simulator), "--data-dir", str(data)),
            *("--seed", str(options.seed), "--contracts", str(options.contracts)),
            *("--feeds", ",".join(options.feeds), "--open-limits"),
            *(("--aligned",) if options.aligned else ()),
            *options.simulator_arguments,
        ],
        "worker": [],
        "sink": [],
        PRODUCER: [*options.feeds, "--share", f"{share}/{options.producers}"],
    }
    ready = {
        "broker": kafka_ready(HOST, ports.kafka),
        "registry": http_ready(f"{options.registry}/subjects"),
        "clickhouse": http_ready(f"http://{HOST}:{ports.clickhouse}/ping"),
        "simulator": http_ready(f"http://{HOST}:{ports.simulator}/healthz"),
        "worker": http_ready(f"{options.web}/startupz"),
        "sink": tcp_ready(HOST, ports.sink_metrics),
        PRODUCER: tcp_ready(HOST, metrics_port),
    }
    environment = options.environment() | {"FUNDING_PRODUCER_METRICS_PORT": str(metrics_port)}
    if name in {"clickhouse", "sink"} and (writer := options.clickhouse_writer()) is not None:
        environment |= {
            "FUNDING_CLICKHOUSE_USERNAME": writer.user,
            WRITER_VARIABLE: writer.password,
        }
    return Service(
        name=name,
        argv=[sys.executable, "-m", "infra.cli", command, *arguments[command]],
        env=environment,
        ready=ready[command],
        # The broker's first start downloads its jars.
        ready_timeout_s=300.0 if name == "broker" else 60.0,
        # Kafka keeps what the sink has not stored yet, so the others go on without it.
        vital=name != "sink",
        stop_timeout_s=30.0,
    )


class Stack:
    """The running parts."""

    def __init__(
        self, options: StackOptions, supervisor: Supervisor, progress: Callable[[str], None]
    ) -> None:
        """`progress` gets a line for each step."""
        self.options = options
        self.supervisor = supervisor
        self._progress = progress
        self.worker_settings = options.settings(WorkerSettings)
        self.sink_settings = options.settings(SinkSettings)
        writer = options.clickhouse_writer()
        if writer is not None:
            options.data_dir.mkdir(parents=True, exist_ok=True)
            (options.data_dir / CLICKHOUSE_URL_FILE).write_text(options.clickhouse, "utf-8")
            self.sink_settings = self.sink_settings.model_copy(
                update={
                    "clickhouse_username": writer.user,
                    "clickhouse_password": SecretStr(writer.password),
                }
            )

    async def start(self) -> None:
        """Start everything, each part once the parts that it needs are ready.

        Raises:
            FundingStreamError: a part did not come up; the message says which and what it said.
        """
        options = self.options
        servers = ["registry"]
        if options.kafka is None:
            servers.insert(0, "broker")
        if options.clickhouse_url is None:
            servers.append("clickhouse")
        if options.simulated:
            servers.append("simulator")
        await self._start(*servers)
        await asyncio.gather(
            asyncio.to_thread(create_topics_and_schemas, self.worker_settings),
            asyncio.to_thread(migrate_database, self.sink_settings),
        )
        self._progress("topics, schemas and tables are there")
        await self._start("worker", "sink")
        await self._start(*producer_names(options))

    async def _start(self, *names: str) -> None:
        async def one(name: str) -> None:
            begun_s = time.monotonic()
            await self.supervisor.start(service(self.options, name))
            pid = self.supervisor.pids[name]
            self._progress(f"{name} is up in {time.monotonic() - begun_s:.1f} s (pid {pid})")

        self._progress(f"starting {', '.join(names)}")
        await asyncio.gather(*(one(name) for name in names))

    async def drain(self) -> bool:
        """Stop the input, then wait until everything is processed and stored.

        Returns False if that took longer than DRAIN_TIMEOUT_S.
        """
        for name in ("simulator", *producer_names(self.options)):
            if name in self.supervisor.pids:
                await self.supervisor.stop_service(name)
        worker = ("processed", self.worker_settings.worker_id, [raw_topic(feed) for feed in FEEDS])
        sink = ("stored", self.sink_settings.sink_group, [topic.name for topic in OUTPUT_TOPICS])
        try:
            for what, group, topics in (worker, sink):
                with closing(LagReader(self.worker_settings, group)) as reader:
                    await reader.wait(topics, DRAIN_TIMEOUT_S, still=self._still(what))
        except UnavailableError:
            return False
        return True

    def _still(self, what: str) -> Callable[[int], None]:
        """Return a function that reports every few seconds how many records are left."""
        told_s = time.monotonic()

        def listen(left: int) -> None:
            nonlocal told_s
            if time.monotonic() - told_s > DRAIN_TOLD_EVERY_S:
                told_s = time.monotonic()
                self._progress(f"{left:,} records have still to be {what}")

        return listen
