"""The supervisor with real child processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.embedded.ports import free_port
from infra.embedded.supervision.process import MAX_LINE_CHARS
from infra.embedded.supervision.readiness import http_ready, tcp_ready
from infra.embedded.supervision.supervisor import (
    NEVER,
    RestartPolicy,
    Service,
    ServiceEnd,
    Supervisor,
)
from schemas.errors import UnavailableError
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)"
)


class Lines:
    """Collects the output."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.ends: list[ServiceEnd] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))

    def said(self, name: str, line: str) -> bool:
        """Whether a service wrote a line."""
        return (name, line) in self.lines


@asynccontextmanager
async def supervisor(lines: Lines) -> AsyncIterator[Supervisor]:
    """A supervisor whose output and ends are collected."""
    async with Supervisor(lines, lines.ends.append) as running:
        yield running


def service(name: str, code: str, *, restart: RestartPolicy = NEVER) -> Service:
    """A Python program as a service; ready once it has written "up"."""
    return Service(name, [sys.executable, "-c", code], restart=restart, stop_timeout_s=5.0)


def alive(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def children(pid: int) -> list[int]:
    """A process's children."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [child for child in map(int, text.split()) if alive(child)]


async def test_services_start_in_order_and_stop_in_reverse() -> None:
    """The second starts when the first is ready; on the way down the second ends first."""
    code = """
        import signal, sys, time
        def end(*_):
            print('down', flush=True); sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print('up', flush=True)
        time.sleep(60)
    """
    lines = Lines()

    def ready_when_up(name: str) -> Service:
        async def ready() -> bool:
            return lines.said(name, "up")

        return Service(name, [sys.executable, "-c", textwrap.dedent(code)], ready=ready)

    async with supervisor(lines) as running:
        for name in ("first", "second"):
            await running.start(ready_when_up(name))
        assert list(running.pids) == ["first", "second"]
        pids = list(running.pids.values())
    assert lines.lines == [
        ("first", "up"), ("second", "up"), ("second", "down"), ("first", "down"),
    ]  # fmt: skip
    assert not any(alive(pid) for pid in pids)
    assert lines.ends == []


async def test_a_service_that_ends_is_restarted_until_the_cap() -> None:
    """Two restarts with growing delays, then the failure is reported with its last line."""
    lines = Lines()
    policy = RestartPolicy(max_restarts=2, window_s=60, delay_first_s=0.05)
    async with supervisor(lines) as running:
        await running.start(service("web", "print('broken pipe dream'); exit(7)", restart=policy))
        async with asyncio.timeout(20):
            end = await running.wait_failed()
        assert end.exit_code == 7
        assert "broken pipe dream" in end.message
        assert [e.restarting for e in lines.ends] == [True, True, False]
        assert running.pids == {}
    assert sum(line == "broken pipe dream" for _, line in lines.lines) == 3


async def test_a_service_that_is_not_vital_is_never_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is restarted however often it ends, stops no other service, and its return is reported
    once.
    """
    monkeypatch.setattr("infra.embedded.supervision.supervisor.STEADY_S", 0.3)
    lines, back = Lines(), list[str]()
    policy = RestartPolicy(max_restarts=1, window_s=60, delay_first_s=0.02, delay_max_s=0.05)
    code = f"""
        import pathlib, sys, time
        if not pathlib.Path({str(tmp_path / "mended")!r}).exists():
            sys.exit(3)
        time.sleep(60)
    """
    weak = Service(
        "weak", [sys.executable, "-c", textwrap.dedent(code)], restart=policy, vital=False
    )
    async with Supervisor(lines, lines.ends.append, back.append) as running:
        await running.start(Service("strong", SLEEP))
        await running.start(weak)
        await eventually(lambda: len(lines.ends) >= 5, "it ends more often than the policy allows")
        assert all(end.restarting and not end.vital for end in lines.ends)
        assert (running.failures, back) == ((), [])
        (tmp_path / "mended").touch()
        await eventually(lambda: back == ["weak"], "it is back")
        assert set(running.pids) == {"strong", "weak"}


async def test_kill_9_of_a_service_brings_a_new_process() -> None:
    """The restarted process is another one, and it is stopped as well."""
    lines = Lines()
    async with supervisor(lines) as running:
        await running.start(Service("web", SLEEP, restart=RestartPolicy(delay_first_s=0.01)))
        before = running.pids["web"]
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: running.pids.get("web") not in {None, before}, "the restart")
        after = running.pids["web"]
        assert lines.ends[0].exit_code == -signal.SIGKILL
    assert not alive(after)


async def test_what_does_not_get_ready_is_an_error_with_its_last_line() -> None:
    """An early end, a time-out and a missing program: one line each, and no process left."""
    lines = Lines()
    others = children(os.getpid())
    never = tcp_ready("127.0.0.1", free_port())
    async with supervisor(lines) as running:
        dies = Service("a", [sys.executable, "-c", "print('no disk'); exit(3)"], ready=never)
        with pytest.raises(UnavailableError, match=r"^a ended with exit code 3 .*: no disk$"):
            await running.start(dies)
        slow = Service("b", SLEEP, ready=never, ready_timeout_s=0.5)
        with pytest.raises(UnavailableError, match=r"^b was not ready within 0.5 s"):
            await running.start(slow)
        with pytest.raises(UnavailableError, match="cannot start /no/such/program"):
            await running.start(Service("c", ["/no/such/program"], ready=never))
        assert running.pids == {}
    assert children(os.getpid()) == others


async def test_a_service_deaf_to_sigterm_is_killed() -> None:
    """After its stop time-out, with the processes that it started itself."""
    lines = Lines()
    code = f"import subprocess; subprocess.Popen(['sleep', '61']); {STUBBORN}; time.sleep(60)"

    async def up() -> bool:
        return lines.said("deaf", "up")

    async with supervisor(lines) as running:
        deaf = Service("deaf", [sys.executable, "-c", code], ready=up, stop_timeout_s=0.3)
        await running.start(deaf)
        child = children(running.pids["deaf"])[0]
        started = time.monotonic()
        await running.stop_service("deaf")
        assert 0.3 <= time.monotonic() - started < 3
    await eventually(lambda: not alive(child), "the end of the child")


async def test_everything_can_be_killed_at_once() -> None:
    """Also a service that ignores SIGTERM; none is restarted, and no end is reported as
    unexpected.
    """
    lines = Lines()
    deaf = f"{STUBBORN}; time.sleep(60)"
    async with supervisor(lines) as running:
        for name in ("first", "second"):
            await running.start(service(name, deaf, restart=RestartPolicy()))
        await eventually(lambda: lines.said("first", "up") and lines.said("second", "up"), "both")
        pids = list(running.pids.values())
        running.kill()
        await eventually(lambda: not any(map(alive, pids)), "both have ended")
    assert running.pids == {}
    assert lines.ends == []


async def test_output_is_bounded_and_a_lost_reader_blocks_nobody() -> None:
    """A megabyte without a line end comes in pieces; a sink that fails does not stall the child."""
    lines = Lines()
    code = "import sys; sys.stdout.write('x' * 1000000 + '\\n'); print('done', flush=True)"

    def closed_pipe(name: str, line: str) -> None:
        lines(name, line)
        raise BrokenPipeError

    async with Supervisor(closed_pipe) as running:
        await running.start(service("loud", code))
        async with asyncio.timeout(10):
            await running.wait_failed()
    assert ("loud", "done") in lines.lines
    assert max(len(line) for _, line in lines.lines) == MAX_LINE_CHARS
    assert sum(line.count("x") for _, line in lines.lines[:-1]) >= 8_000


async def test_http_readiness_wants_a_success(tmp_path: Path) -> None:
    """A service is ready on status 200, and not on 404 or while its port is closed."""
    port = free_port()
    assert not await http_ready(f"http://127.0.0.1:{port}/")()
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    lines = Lines()
    async with supervisor(lines) as running:
        url = f"http://127.0.0.1:{port}"
        await running.start(Service("web", argv, cwd=tmp_path, ready=http_ready(f"{url}/")))
        assert not await http_ready(f"{url}/missing")()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")
def test_kill_9_of_the_parent_leaves_no_orphan() -> None:
    """Children, and children of children started in the same way, end with it."""
    program = textwrap.dedent(
        """
        import asyncio, sys
        from infra.embedded.supervision.child import argv_of_child
        from infra.embedded.supervision.supervisor import Service, Supervisor
        nested = (
            "import subprocess; from infra.embedded.supervision.child import argv_of_child;"
            "p = subprocess.Popen(argv_of_child(['sleep', '62']));"
            "print(p.pid, flush=True); p.wait()"
        )
        async def main():
            async with Supervisor(lambda name, line: print(line, flush=True)) as sup:
                for n in range(2):
                    await sup.start(Service(f"s{n}", ["sleep", "63"]))
                await sup.start(Service("nested", [sys.executable, "-c", nested]))
                print(*sup.pids.values(), flush=True)
                await asyncio.sleep(60)
        asyncio.run(main())
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids: list[int] = []
    while len(pids) < 4:
        line = parent.stdout.readline()
        assert line, "the supervisor ended"
        pids += [int(field) for field in line.split()]
    try:
        assert all(alive(pid) for pid in pids)
        parent.kill()
        parent.wait(5)
        deadline = time.monotonic() + 5
        while any(alive(pid) for pid in pids):
            assert time.monotonic() < deadline, "an orphan is left"
    finally:
        parent.kill()
        parent.stdout.close()
