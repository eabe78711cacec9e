"""`fundingstream up` as a person runs it: one run a directory, what it tells, how it is stopped."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from infra.embedded.ports import free_port
from infra.stack.console import STOPPING, STOPPING_AT_ONCE
from infra.stack.parts import Ports
from schemas.errors import ConfigurationError, UnavailableError
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

SCRIPT = str(Path(sys.executable).with_name("fundingstream"))
DEADLINE_S = 120.0


class Up:
    """A run of the command, in a directory, on ports of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""

    async def says(self, pattern: str) -> str:
        """Wait for a line that matches; return it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while raw := await self.process.stdout.readline():
                line = raw.decode()
                self.output += line
                if re.search(pattern, line):
                    return line.rstrip("\n")
        raise AssertionError(f"it ended without {pattern!r}:\n{self.output}")

    async def ended(self) -> int | None:
        """Read on until the end; return the exit code."""
        async with asyncio.timeout(DEADLINE_S):
            rest, _ = await self.process.communicate()
        self.output += rest.decode()
        return self.process.returncode

    def descendants(self) -> list[psutil.Process]:
        """Every process that it started, and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)


@asynccontextmanager
async def up(cwd: Path, *arguments: str) -> AsyncIterator[Up]:
    """Start `up` with a small market; kill it at the end of the block if it still runs."""
    ports = [
        f"--{name.replace('_', '-')}-port={free_port()}" for name in Ports.__dataclass_fields__
    ]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FUNDING_")}
    process = await asyncio.create_subprocess_exec(
        *(SCRIPT, "up", "--contracts", "20", "--feed", "kucoin", *ports, *arguments),
        cwd=cwd,
        env=clean,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Up(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def gone(processes: list[psutil.Process]) -> None:
    """Wait until none of the processes lives."""
    await eventually(
        lambda: not any(p.is_running() and p.status() != "zombie" for p in processes),
        "the end of all processes",
        DEADLINE_S,
    )


async def shell(text: str, cwd: Path) -> str:
    """What lines that were pasted into a shell print; they must succeed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FUNDING_")}
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-ec", text),
        cwd=cwd,
        env=clean,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE_S):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_a_run_keeps_its_directory_and_tells_how_it_goes(tmp_path: Path) -> None:
    """From its first line to Ctrl-C; another run beside it, on other ports, leaves it alone."""
    async with up(tmp_path) as first:
        assert "SIMULATED market" in await first.says("market")
        await first.says("all parts are up")
        await first.says("to paste into another terminal")
        lines = [(await first.says("")).strip() for _ in range(3)]
        data = tmp_path / ".fundingstream" / "demo"
        before = sorted(data.rglob("*.log"))
        async with up(tmp_path) as second:
            assert await second.ended() == UnavailableError.exit_code
            assert second.output.count("\n") == 1
            assert f"is in use by another process (pid {first.process.pid})" in second.output
            assert "--data-dir" in second.output
        assert set(before) <= set(data.rglob("*.log"))
        await first.says("kucoin:")  # a z-score, with its feed before it
        assert lines[0].startswith("export FUNDING_KAFKA_BOOTSTRAP=")
        assert "kucoin:" in await shell("\n".join(lines[:2]), tmp_path)
        assert "kucoin:" in await shell(f"{lines[0]}\n{lines[2]}", tmp_path)
        first.process.send_signal(signal.SIGINT)
        await first.says(re.escape(STOPPING))
        assert await first.ended() == 0
        assert f"stopped. Data: {data}" in first.output
        log = (data / "fundingstream.log").read_text()
        assert "\x1b" not in log
        assert log.count("producer buffer full") < 10
        assert first.output.count("Traceback") == log.count("Traceback") == 0


async def test_a_second_ctrl_c_says_so_and_kills(tmp_path: Path) -> None:
    """At any moment: here while the parts start. Nothing is left, and the directory is free."""
    data = tmp_path / "data"
    arguments = ("--data-dir", shlex.quote(str(data)))
    async with up(tmp_path, *arguments) as run:
        await run.says("starting worker, sink")
        descendants = run.descendants()
        assert len(descendants) >= 4
        run.process.send_signal(signal.SIGINT)
        await run.says(re.escape(STOPPING))
        run.process.send_signal(signal.SIGINT)
        await run.says(re.escape(STOPPING_AT_ONCE))
        assert await run.ended() == 130
        await gone(descendants)
    async with up(tmp_path, *arguments, "--registry-port=0") as again:
        assert await again.ended() == ConfigurationError.exit_code
        assert "is not a port" in again.output


async def test_a_killed_runs_directory_is_free(tmp_path: Path) -> None:
    """The kernel gives the lock back; the next demo begins anew where the killed one was."""
    data = tmp_path / ".fundingstream" / "demo"
    async with up(tmp_path) as first:
        await first.says("starting broker")
        (data / "old").touch()
        descendants = first.descendants()
        first.process.kill()
        await first.process.wait()
        await gone(descendants)
    async with up(tmp_path) as second:
        await second.says("starting broker")
        assert not (data / "old").exists()
        assert (data / ".lock").read_text() == str(second.process.pid)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data-dir", "/sys/kernel"], "--data-dir"),
        (["--data-dir", "/dev/null"], "--data-dir"),
        (["--web-port", "99999"], "--web-port 99999 is not a port"),
        (["--kafka-port", "1", "--web-port", "1"], "--web-port and --kafka-port are both 1"),
        (["--clickhouse", "http://u:hunter2@h:1"], "set FUNDING_CLICKHOUSE_USERNAME"),
        (["--clickhouse", "http://h:1/?password=hunter2"], "set FUNDING_CLICKHOUSE_USERNAME"),
        (["--kafka", "u:hunter2@h:1"], "FUNDING_KAFKA_BOOTSTRAP"),
    ],
)
async def test_a_wrong_option_is_one_line(tmp_path: Path, arguments: list[str], told: str) -> None:
    """Before anything starts, and without what may be a secret."""
    async with up(tmp_path, *arguments) as run:
        assert await run.ended() == ConfigurationError.exit_code
    assert run.output.count("\n") == 1
    assert told in run.output
    assert "hunter2" not in run.output


async def test_a_directory_that_no_demo_made_is_not_cleared(tmp_path: Path) -> None:
    """Its lock file alone does not make it ours."""
    data = tmp_path / ".fundingstream" / "demo"
    data.mkdir(parents=True)
    (data / "thesis.tex").touch()
    for _ in range(2):
        async with up(tmp_path) as run:
            assert await run.ended() == ConfigurationError.exit_code
        assert "no demo made it" in run.output
    assert (data / "thesis.tex").exists()
