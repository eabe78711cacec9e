"""The stack of docker-compose.yml on this machine's engine, for tests to watch and to hurt."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import aiohttp
import docker
from docker.errors import DockerException
from docker.models.containers import Container
from testcontainers.compose import DockerCompose

from infra.embedded.ports import free_port
from schemas.config.settings import load_settings
from stream_app.settings import SinkSettings, WorkerSettings
from tests.support.monitoring import SHARES
from tests.support.paths import ROOT
from tests.support.stack_view import StackView
from tests.support.waiting import eventually

OVERRIDE = ROOT / "infra/docker/host-network.yml"
SCRAPE_CONFIG = ROOT / "infra/prometheus/host-network.yml"
FILES = ("docker-compose.yml", "infra/docker/host-network.yml", "tests/containers/quick.yml")
IMAGES = (
    "fundingstream:local",
    "fundingstream-standin:kafka",
    "fundingstream-standin:clickhouse",
    "fundingstream-standin:prometheus",
)
PORTS = (
    "KAFKA_PORT",
    "KAFKA_INTERNAL_PORT",
    "KAFKA_CONTROLLER_PORT",
    "REGISTRY_PORT",
    "CLICKHOUSE_PORT",
    "SIMULATOR_PORT",
    *(f"PRODUCER_{number}_PORT" for number in range(1, SHARES + 1)),
    "WEB_PORT",
    "SINK_PORT",
    "PROMETHEUS_PORT",
)
ONCE = ("secrets", "topics", "migrate")
"""Services that do one thing and end."""
_TRUTH = "/var/lib/fundingstream/simulator/truth"
_HEALTHY_S = 120.0


def missing() -> str:
    """Why no containers can be started here; empty: they can."""
    try:
        engine = docker.from_env()
        engine.ping()
    except DockerException as error:
        return f"no Docker engine answers ({str(error)[:200]})"
    tags = {tag for image in engine.images.list() for tag in image.tags}
    if lacking := sorted(set(IMAGES) - tags):
        return f"no image {', '.join(lacking)}: run infra/docker/build"
    docker_command = shutil.which("docker") or "docker"
    try:
        subprocess.run([docker_command, "compose", "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no Docker Compose v2"
    return ""


def _different_ports(count: int) -> list[int]:
    """Free ports, none of them twice."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[free_port()] = None
    return list(found)


class ComposeProject:
    """A project of its own on free ports, so that several can run on one machine."""

    def __init__(self, directory: Path) -> None:
        self.name = f"fundingstream-test-{os.getpid()}"
        self.ports = dict(zip(PORTS, _different_ports(len(PORTS)), strict=True))
        self.engine = docker.from_env()
        prometheus = directory / "prometheus.yml"
        prometheus.write_text(self._scrape_config(), "utf-8")
        variables = {
            "COMPOSE_PROJECT_NAME": self.name,
            "PROMETHEUS_CONFIG": prometheus,
            **self.ports,
        }
        env_file = directory / "compose.env"
        env_file.write_text("".join(f"{k}={v}\n" for k, v in variables.items()), "utf-8")
        self.compose = DockerCompose(
            ROOT, compose_file_name=list(FILES), env_file=str(env_file), keep_volumes=True
        )

    def _scrape_config(self) -> str:
        """What Prometheus scrapes on the host's network, on this project's ports."""
        text = SCRAPE_CONFIG.read_text("utf-8")
        defaults = dict(re.findall(r"\$\{(\w+_PORT):-(\d+)\}", OVERRIDE.read_text("utf-8")))
        for name, port in self.ports.items():
            text = text.replace(f"127.0.0.1:{defaults[name]}", f"127.0.0.1:{port}")
        return text

    def url(self, port: str) -> str:
        """Where a published port answers."""
        return f"http://127.0.0.1:{self.ports[port]}"

    def up(self) -> None:
        """Start what does not run, and return when everything is healthy.

        Compose gives up when a container ends, also one that its policy starts again: a worker ends
        where Kafka passes over records at a first assignment. So it is asked a second time.
        """
        with contextlib.suppress(subprocess.CalledProcessError):
            self.compose.start()
            return
        self.compose.start()

    def down(self, *, volumes: bool) -> None:
        """Stop and remove all containers, and their volumes where asked for."""
        self._compose("down", "--remove-orphans", *(["--volumes"] if volumes else []))

    def services(self) -> list[str]:
        """The services that run for as long as the project does."""
        names = self.compose.get_config()["services"]
        return sorted(name for name in names if name not in ONCE)

    def container(self, service: str) -> Container:
        """The container of a service, as the engine sees it now."""
        (found,) = self.engine.containers.list(
            all=True,
            filters={
                "label": [
                    f"com.docker.compose.project={self.name}",
                    f"com.docker.compose.service={service}",
                ]
            },
        )
        return found

    def run(self, service: str, *command: str) -> str:
        """What a command within a service's container prints."""
        output = self.container(service).exec_run(list(command)).output
        assert isinstance(output, bytes)
        return output.decode()

    def health(self, service: str) -> str:
        """`healthy`, or the state in which the container is."""
        state = self.container(service).attrs["State"]
        return str(state.get("Health", {}).get("Status") if state["Running"] else state["Status"])

    async def healthy(self, service: str) -> None:
        """Wait until a service's container runs and its health check succeeds."""

        async def answers() -> bool:
            return self.health(service) == "healthy"

        await eventually(answers, f"{service} is healthy", _HEALTHY_S)

    def another_worker(self, port: int) -> Container:
        """Start one more worker, whose page is on `port`."""
        web = f"FUNDING_WEB_PORT={port}"
        health = f"HEALTH_URL=http://127.0.0.1:{port}/healthz"
        printed = self._compose("run", "--detach", "--env", web, "--env", health, "worker")
        return self.engine.containers.get(printed.split()[-1])

    def _compose(self, *arguments: str) -> str:
        """What a command of Compose about this project prints."""
        command = [*self.compose.docker_compose_command(), *arguments]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def crash(self, service: str) -> None:
        """End the container's process as a fault would, not as an order to the engine."""
        os.kill(self.container(service).attrs["State"]["Pid"], signal.SIGKILL)


class ComposeStack(StackView):
    """A started project, with the queries that tests make."""

    def __init__(self, project: ComposeProject, http: aiohttp.ClientSession) -> None:
        kafka = f"127.0.0.1:{project.ports['KAFKA_PORT']}"
        super().__init__(
            project.url("SIMULATOR_PORT"),
            project.url("WEB_PORT"),
            load_settings(WorkerSettings, kafka_bootstrap=kafka),
            load_settings(SinkSettings, clickhouse_url=project.url("CLICKHOUSE_PORT")),
            http,
        )
        self.project = project

    def truth(self, name: str) -> list[dict[str, Any]]:
        """The lines of one of the simulator's files, copied out of its container."""
        path = f"{_TRUTH}/{name}.ndjson"
        chunks, _ = self.project.container("simulator").get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(f"{name}.ndjson")
            assert file is not None
            return [json.loads(line) for line in file.read().splitlines()]
