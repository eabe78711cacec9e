"""Several workers of one group on one machine, and what can happen to them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException

from benchmarks.platform import Platform
from infra.embedded.ports import free_port
from infra.embedded.supervision.readiness import http_ready
from infra.embedded.supervision.supervisor import NEVER, RestartPolicy, Service
from infra.stack.parts import HOST, service
from schemas.errors import UnavailableError
from schemas.kafka import clients
from schemas.topics import RAW_PREFIX

MAX_AHEAD_S = 86_400.0
"""The load's event times run ahead of their receipt."""
RESTART_DELAY_S = RestartPolicy().delay_first_s
"""After which the stack's supervisor starts a part again."""
_ASK_S = 10.0
_ASKED_TIMES = 5
_READY_S = 90.0
_LOOK_EVERY_S = 0.1


class Crew:
    """The workers, by number."""

    def __init__(self, platform: Platform, logs: Path | None = None) -> None:
        """`logs`: a directory for what the workers say."""
        self._platform = platform
        self._logs = logs
        self._supervisor = platform.supervisor

    @property
    def numbers(self) -> list[int]:
        """The workers that run."""
        prefix = _name("")
        pids = self._supervisor.pids
        return sorted(int(n.removeprefix(prefix)) for n in pids if n.startswith(prefix))

    @property
    def ended(self) -> list[str]:
        """Workers that ended by themselves, with what they said last."""
        return [end.message for end in self._supervisor.failures if end.exit_code >= 0]

    async def start(self, number: int) -> None:
        """Start a worker, which may have ended; wait until it has partitions and their state."""
        await self.stop(number)
        await self._supervisor.start(self._service(number))

    async def stop(self, number: int) -> None:
        """Let a worker end in order."""
        await self._supervisor.stop_service(_name(number))

    async def kill(self, number: int) -> None:
        """Kill -9 a worker."""
        os.kill(self._pid(number), signal.SIGKILL)
        await eventually(lambda: number not in self.numbers, f"worker {number} has ended")
        await self.stop(number)

    def freeze(self, number: int) -> None:
        """Let a worker stand still."""
        os.kill(self._pid(number), signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """Let it go on."""
        os.kill(self._pid(number), signal.SIGCONT)

    async def restart_broker(self) -> None:
        """Stop Kafka in order and start it again on its own data."""
        await self._supervisor.stop_service("broker")
        await self._supervisor.start(service(self._platform.options, "broker"))

    def _pid(self, number: int) -> int:
        return self._supervisor.pids[_name(number)]

    def _service(self, number: int) -> Service:
        port = free_port()
        worker = service(self._platform.options, "worker")
        environment = {
            **(worker.env or {}),
            "FUNDING_WEB_PORT": str(port),
            "FUNDING_WORKER_MAX_AHEAD_S": str(MAX_AHEAD_S),
        }
        argv = worker.argv
        if self._logs is not None:
            log = self._logs.absolute() / f"{_name(number)}.log"
            argv = ["/bin/sh", "-c", f'exec "$0" "$@" >> {log} 2>&1', *argv]
        return replace(
            worker,
            name=_name(number),
            argv=argv,
            env=environment,
            ready=http_ready(f"http://{HOST}:{port}/startupz"),
            restart=NEVER,
        )

    async def partitions_of(self, number: int, feed: str) -> set[int]:
        """Return the partitions of a feed that the group has given to a worker.

        Raises:
            UnavailableError: Kafka does not say.
        """
        for _ in range(_ASKED_TIMES):
            # A broker that was just restarted may not know its groups yet.
            with suppress(KafkaException, TimeoutError):
                found = await asyncio.to_thread(self._assignments, feed)
                return found.get(self._member_id(number), set())
        raise UnavailableError("Kafka does not tell which worker has which partitions")

    def _member_id(self, number: int) -> str:
        """Return the id under which a worker is a member: its lock names its process."""
        directory = Path(self._platform.options.environment()["FUNDING_WORKER_DATA_DIR"])
        pid = str(self._pid(number))
        for lock in directory.glob("slot-*.lock"):
            member = lock.with_suffix(".member")
            if lock.read_text(encoding="utf-8").strip() == pid and member.exists():
                return member.read_text(encoding="utf-8").strip()
        return ""

    def _assignments(self, feed: str) -> dict[str, set[int]]:
        group = self._platform.settings.worker_id
        # Anew each time: after a restart of the broker one that knew it before gets no answer.
        admin: Any = clients.admin_client(self._platform.settings.quiet_librdkafka())
        future = admin.describe_consumer_groups([group], request_timeout=_ASK_S)[group]
        return {
            member.member_id: {
                at.partition
                for at in member.assignment.topic_partitions
                if at.topic == RAW_PREFIX + feed
            }
            for member in future.result(_ASK_S).members
        }


def _name(number: int | str) -> str:
    return f"worker-{number}"


async def eventually(condition: Callable[[], bool], what: str, timeout_s: float = _READY_S) -> None:
    """Wait for a condition.

    Raises:
        UnavailableError: it did not come about.
    """
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - of other processes
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        raise UnavailableError(f"not within {timeout_s:g} s: {what}") from None
