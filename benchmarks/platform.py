"""What the worker's benchmarks run on: a Kafka and a registry of their own, and their observers."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import psutil
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from benchmarks.feeding import Feeder, send_history
from benchmarks.load import FEED, Instrument
from infra.embedded.ports import free_port
from infra.embedded.supervision.supervisor import NEVER, Service, Supervisor
from infra.kafka.lag import LagReader
from infra.kafka.topics import create_topics_and_schemas
from infra.stack.parts import Ports, StackOptions, service
from schemas.config.settings import load_settings
from schemas.errors import UnavailableError
from schemas.kafka import clients
from schemas.kafka.admin import ensure_topics
from schemas.partitioning import PARTITIONS
from schemas.topics import MAX_MESSAGE_BYTES, SETTLEMENTS, TopicSpec, raw_topic
from stream_app.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[1]
SCHEMA_FILE = ROOT / "schemas" / "avro" / "RawBatch.avsc"
RIVAL_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
"""Of the virtual environment that `make bench` makes: quixstreams' clients conflict with ours."""
LEARNT_WITHIN_S = 300.0
_ASK_S = 30.0
_RETRY_S = 0.1


class Platform:
    """The servers, and the processes that run against them."""

    def __init__(self, options: StackOptions, supervisor: Supervisor) -> None:
        self.options = options
        self.directory = options.data_dir
        self.supervisor = supervisor
        self.settings = load_settings(
            WorkerSettings,
            kafka_bootstrap=options.bootstrap,
            registry_url=options.registry,
        )
        self._admin: Any = clients.admin_client(self.settings.quiet_librdkafka())

    def create(self, names: Iterable[str]) -> None:
        """Create plain topics."""
        config = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
        ensure_topics(self.settings, [TopicSpec(name, None, config=config) for name in names])

    def records(self, topic: str) -> int:
        """Return how many records a topic has taken so far."""
        wanted = {TopicPartition(topic, p): OffsetSpec.latest() for p in range(PARTITIONS)}
        deadline_s = time.monotonic() + _ASK_S
        while True:
            found = self._admin.list_offsets(wanted, request_timeout=_ASK_S)
            try:
                return sum(future.result(timeout=_ASK_S).offset for future in found.values())
            except KafkaException:
                # A topic that was created a moment ago may have no leader yet.
                if time.monotonic() > deadline_s:
                    raise
            time.sleep(_RETRY_S)
            # The client keeps what it knew of the topic, even that it was not there.
            self._admin.list_topics(timeout=_ASK_S)

    async def start_worker(self, *, wait: bool, profile: Path | None = None) -> None:
        """Start fundingstream's worker as the stack does; `wait` until it says that it is ready.

        `profile`: a file for where its time goes (benchmarks/profiled.py).
        """
        worker = replace(service(self.options, "worker"), restart=NEVER)
        if profile is not None:
            argv = [sys.executable, "-m", "benchmarks.profiled", str(profile)]
            worker = replace(worker, argv=argv, cwd=ROOT)
        await self.supervisor.start(worker if wait else replace(worker, ready=None))

    async def learn(
        self, feeder: Feeder, contracts: Sequence[Sequence[Instrument]], received_at: int
    ) -> None:
        """Have the running worker take contracts' facts and settlements.

        Raises:
            UnavailableError: it has ended, or has not taken all of them in time.
        """
        before = await asyncio.to_thread(self.records, SETTLEMENTS.name)
        sent = await asyncio.to_thread(send_history, feeder, contracts, received_at)
        await self.drained(raw_topic(FEED), LEARNT_WITHIN_S)
        taken = await asyncio.to_thread(self.records, SETTLEMENTS.name) - before
        if taken < sent:
            raise UnavailableError(f"the worker has taken {taken} of {sent} settlements")

    async def start(self, name: str, argv: Iterable[str]) -> None:
        """Start a program that does not report when it is ready."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        await self.supervisor.start(Service(name, list(argv), cwd=ROOT, restart=NEVER))

    async def stop(self, name: str) -> None:
        """Stop a process that was started."""
        await self.supervisor.stop_service(name)

    def cpu_s(self, name: str) -> float:
        """Return the CPU seconds that a process and its children have used."""
        process = psutil.Process(self.supervisor.pids[name])
        family = [process, *process.children(recursive=True)]
        used_s = 0.0
        for each in family:
            with suppress(psutil.NoSuchProcess):  # a child may end in this moment
                used_s += sum(each.cpu_times()[:2])
        return used_s

    def require(self, name: str) -> None:
        """Check that a process still runs.

        Raises:
            UnavailableError: it does not; the message is the last that it said.
        """
        if name not in self.supervisor.pids:
            said = [end.message for end in self.supervisor.failures if end.name == name]
            raise UnavailableError(said[-1] if said else f"{name} has ended")

    async def drained(self, topic: str, timeout_s: float) -> None:
        """Wait until the worker has committed all of a topic.

        Raises:
            UnavailableError: it has ended, or is not done in time.
        """
        with closing(LagReader(self.settings, self.settings.worker_id)) as reader:
            await reader.wait([topic], timeout_s, still=lambda _left: self.require("worker"))


class Rival(NamedTuple):
    """Another program for the same job: how it is started, and what it is called."""

    label: str
    module: str
    python: str

    def argv(self, **arguments: object) -> list[str]:
        """Return the command that starts it, with its arguments as one JSON object."""
        text = json.dumps({name: str(value) for name, value in arguments.items()})
        return [self.python, "-m", f"benchmarks.rivals.{self.module}", text]

    async def start_job(
        self, servers: Platform, name: str, raw: str, linger_ms: float
    ) -> tuple[str, str]:
        """Start it under a name that no process has had, to do the job of rivals/job.py.

        Returns its topics of rates and of z-scores. It reads the statistics that
        `write_statistics` has written.
        """
        rates, zscores = f"{name}.rates", f"{name}.zscores"
        await asyncio.to_thread(servers.create, [rates, zscores])
        await servers.start(
            name,
            self.argv(
                bootstrap=servers.settings.kafka_bootstrap,
                group=name,
                raw=raw,
                rates=rates,
                zscores=zscores,
                linger_ms=linger_ms,
                schema=SCHEMA_FILE,
                statistics=servers.directory / STATISTICS,
                directory=servers.directory / name,
            ),
        )
        return rates, zscores


STATISTICS = "statistics.json"
OURS = "fundingstream"
NAIVE_FAUST = Rival("naive Faust", "naive_faust", sys.executable)
QUIX = Rival("quixstreams", "quix", str(RIVAL_PYTHON))
BARE_JOB = Rival("bare confluent loop", "bare_job", sys.executable)
BARE_LOOP = Rival("bare consume-and-produce loop", "bare_loop", sys.executable)


def write_statistics(servers: Platform, contracts: Sequence[Sequence[Instrument]]) -> None:
    """Write what the rivals score against: each contract's mean and standard deviation."""
    found = {each.contract_id: (each.mean, each.std) for part in contracts for each in part}
    (servers.directory / STATISTICS).write_text(json.dumps(found), encoding="utf-8")


async def quixstreams_version() -> str | None:
    """Return the version of quixstreams in its own environment, None if it is not there."""
    if not RIVAL_PYTHON.exists():
        return None
    process = await asyncio.create_subprocess_exec(
        *(str(RIVAL_PYTHON), "-c", "import quixstreams; print(quixstreams.__version__)"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    return out.decode().strip() if process.returncode == 0 else None


@asynccontextmanager
async def platform() -> AsyncIterator[Platform]:
    """Start broker and registry, with all topics and schemas; stop everything at the end."""
    ports = Ports(**{name: free_port() for name in Ports.__dataclass_fields__})
    with TemporaryDirectory() as directory:
        options = StackOptions(data_dir=Path(directory), ports=ports)
        async with Supervisor(sink=lambda _name, _line: None) as supervisor:
            for name in ("broker", "registry"):
                await supervisor.start(service(options, name))
            found = Platform(options, supervisor)
            await asyncio.to_thread(create_topics_and_schemas, found.settings)
            yield found
