"""Starts services in order, keeps them running, and stops them in reverse order.

A service is a child process with a readiness check. It gets its own session (Ctrl-C in a terminal
reaches the supervisor alone, which then stops everything in order) and dies with the supervisor
even after kill -9 (child.py). Ports and directories are checked by each service's own command,
which says in one line what is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from infra.embedded.supervision.process import ManagedProcess
from infra.embedded.supervision.readiness import ReadyCheck
from schemas.backoff import ceiling_s
from schemas.errors import UnavailableError

LineSink = Callable[[str, str], None]

STEADY_S = 10.0
"""A restarted service counts as back once it has run for so many seconds."""
_POLL_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often an ended service comes back: at most `max_restarts` in any `window_s`."""

    max_restarts: int = 5
    window_s: float = 60.0
    delay_first_s: float = 0.2
    delay_max_s: float = 10.0

    def delay_s(self, restarts_in_window: int) -> float:
        """Return the delay before the next restart: doubled by each one within the window."""
        return ceiling_s(restarts_in_window, self.delay_first_s, self.delay_max_s)


NEVER = RestartPolicy(max_restarts=0)


@dataclass(frozen=True, slots=True)
class Service:
    """What to run, and how to find out that it is ready.

    `env` replaces the environment when given. `ready` is asked again and again until it is true.
    A service that is not `vital` is restarted without limit, whatever its policy says, because the
    others go on without it.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    ready: ReadyCheck | None = None
    ready_timeout_s: float = 60.0
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    vital: bool = True
    stop_timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class ServiceEnd:
    """A service has ended by itself. `restarting` is false when the supervisor has given up.

    `vital` tells whether the other services need it.
    """

    name: str
    exit_code: int
    message: str
    restarting: bool
    vital: bool = True


class _Run:
    """A service under supervision. Its process changes with each restart."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.process: ManagedProcess | None = None
        self.monitor: asyncio.Task[None] | None = None


class Supervisor:
    """Use as `async with Supervisor() as supervisor`: leaving the block stops everything.

    Create and use it in the main thread (see child.py).
    """

    def __init__(
        self,
        sink: LineSink | None = None,
        on_end: Callable[[ServiceEnd], None] | None = None,
        on_back: Callable[[str], None] | None = None,
    ) -> None:
        """`sink` gets (service, line) for all output; `on_end` each end that nobody asked for.

        `on_back` gets the name of a service that has run for STEADY_S since it was restarted.
        """
        self._sink = sink or prefixed_lines(sys.stdout)
        self._on_end = on_end
        self._on_back = on_back
        self._runs: dict[str, _Run] = {}
        self._failures: list[ServiceEnd] = []
        self._failed = asyncio.Event()
        self._stopping = False

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the running services by name, in start order."""
        return {
            name: run.process.pid
            for name, run in self._runs.items()
            if run.process is not None and not run.process.ended
        }

    @property
    def failures(self) -> tuple[ServiceEnd, ...]:
        """The services that the supervisor has given up on."""
        return tuple(self._failures)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self, service: Service) -> None:
        """Start a service and return once it is ready.

        Raises:
            UnavailableError: it did not become ready; the message has its last line.
        """
        if self._stopping:
            raise UnavailableError(f"{service.name} is not started: everything is being stopped")
        assert service.name not in self._runs, f"{service.name} is already started"
        run = _Run(service)
        self._runs[service.name] = run
        try:
            await self._launch(run)
        except BaseException:
            self._runs.pop(service.name, None)
            raise
        run.monitor = asyncio.create_task(self._monitor(run), name=f"monitor {service.name}")

    async def stop_service(self, name: str) -> None:
        """Stop a service and forget it; it can be started again. Unknown names are ignored."""
        run = self._runs.get(name)
        if run is None:
            return
        if run.monitor is not None:
            run.monitor.cancel()
            await asyncio.wait([run.monitor])
        if run.process is not None:
            await run.process.stop(run.service.stop_timeout_s)
        self._runs.pop(name, None)

    async def stop(self) -> None:
        """Stop all services, the last started first. Cancelling it kills the rest."""
        self._stopping = True
        try:
            for name in reversed(list(self._runs)):
                await self.stop_service(name)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """Send SIGKILL to every service and its children; nothing is restarted."""
        self._stopping = True
        for run in self._runs.values():
            if run.monitor is not None:
                run.monitor.cancel()
            if run.process is not None:
                run.process.kill()

    async def wait_failed(self) -> ServiceEnd:
        """Return when the supervisor gives up on a service, at once if it already has."""
        await self._failed.wait()
        return self._failures[0]

    async def _launch(self, run: _Run) -> None:
        """Start the process and wait until it is ready; kill it where it does not become ready."""
        service = run.service
        process = await ManagedProcess.spawn(
            service.argv,
            lambda line: self._sink(service.name, line),
            env=service.env,
            cwd=service.cwd,
        )
        run.process = process
        try:
            await self._wait_ready(service, process)
        except BaseException:
            process.kill()
            await process.wait()
            raise

    async def _wait_ready(self, service: Service, process: ManagedProcess) -> None:
        deadline = time.monotonic() + service.ready_timeout_s
        while not process.ended:
            if await _is_ready(service) and not _has_ended(process):
                return
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"{service.name} was not ready within {service.ready_timeout_s:g} s"
                    f"{_said(process)}"
                )
            await process.wait(_POLL_INTERVAL_S)
        code = await process.wait()
        assert code is not None, "an ended process has an exit code"
        raise UnavailableError(f"{service.name} {_ended(code)} before it was ready{_said(process)}")

    async def _monitor(self, run: _Run) -> None:
        """Restart the service as its policy allows, then report the failure and end."""
        policy, vital = run.service.restart, run.service.vital
        restarts: deque[float] = deque(maxlen=max(1, policy.max_restarts))
        while True:
            assert run.process is not None, "monitored after its first start"
            code = await self._wait_end(run, run.process, restarted=bool(restarts))
            now = time.monotonic()
            while restarts and now - restarts[0] > policy.window_s:
                restarts.popleft()
            restarting = not vital or len(restarts) < policy.max_restarts
            self._report(run, code, run.process, restarting=restarting)
            if not restarting:
                return
            delay_s = policy.delay_s(len(restarts))
            restarts.append(now)
            await asyncio.sleep(delay_s)
            with contextlib.suppress(UnavailableError):  # counted and reported in the next round
                await self._launch(run)

    async def _wait_end(self, run: _Run, process: ManagedProcess, *, restarted: bool) -> int:
        """Wait for the end of the process; report on the way that a restarted one is back."""
        if restarted:
            code = await process.wait(STEADY_S)
            if code is not None:
                return code
            if self._on_back is not None:
                self._on_back(run.service.name)
        code = await process.wait()
        assert code is not None, "waited without a time-out"
        return code

    def _report(self, run: _Run, code: int, process: ManagedProcess, *, restarting: bool) -> None:
        name = run.service.name
        message = f"{name} {_ended(code)} unexpectedly{_said(process)}"
        end = ServiceEnd(name, code, message, restarting, run.service.vital)
        outlook = "restarting" if restarting else "giving up"
        with contextlib.suppress(OSError):
            self._sink(name, f"{_ended(code)} unexpectedly, {outlook}")
        if not restarting:
            self._failures.append(end)
            self._failed.set()
        if self._on_end is not None:
            self._on_end(end)


def prefixed_lines(stream: TextIO) -> LineSink:
    """Return a sink that writes each line to `stream` behind the service's name."""

    def write(name: str, line: str) -> None:
        stream.write(f"{name:<10} | {line}\n")
        stream.flush()

    return write


async def _is_ready(service: Service) -> bool:
    return service.ready is None or await service.ready()


def _has_ended(process: ManagedProcess) -> bool:
    """Whether it has ended. Asked after a check, which another process may have answered."""
    return process.ended


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _said(process: ManagedProcess) -> str:
    return f": {process.last_line}" if process.last_line else ""
