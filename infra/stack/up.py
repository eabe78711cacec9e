"""Runs the whole of fundingstream on this machine, with a live summary, until it is stopped.

Which parts there are is decided in parts.py, what is printed in console.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TextIO

import aiohttp

from infra.embedded.storage import DataDirectory
from infra.embedded.supervision.supervisor import Supervisor
from infra.stack import console
from infra.stack.notices import Ends, notice_in
from infra.stack.parts import (
    Stack,
    StackOptions,
    check_settings,
    require_free_ports,
)
from schemas.config.settings import ENV_PREFIX, load_settings
from schemas.errors import ConfigurationError, UnavailableError
from schemas.text import printable
from stream_app.settings import SinkSettings

DEMO_MARKER = ".fundingstream-demo"
LOG_NAME = "fundingstream.log"
SUMMARY_EVERY_S = 5.0
EXIT_INTERRUPTED = 130
_MAX_SUMMARY_BYTES = 1 << 20


class Terminal(NamedTuple):
    """Where a run writes its lines for a person: standard output, and standard error."""

    tell: Callable[[str], None]
    warn: Callable[[str], None]


def run_up(
    options: StackOptions,
    terminal: Terminal,
    duration_s: float | None,
    *,
    begin_anew: bool,
    verbose: bool,
) -> None:
    """Run the whole stack until a signal, or for `duration_s`.

    Args:
        options: What to run; its data directory is locked meanwhile.
        terminal: Where the run writes.
        duration_s: Stop after this many seconds; None: only on a signal.
        begin_anew: Remove what an earlier run has left in the data directory.
        verbose: Show what every part logs.

    Raises:
        ConfigurationError: an option or a setting is wrong, or the directory cannot be used.
        UnavailableError: a port is taken, the directory is in use, or a part did not start or
            stay.
    """
    with DataDirectory(options.data_dir, "this run", "--data-dir") as directory:
        options = replace(options, data_dir=directory.path)
        require_free_ports(options)
        check_settings(options)
        with prepared(directory, begin_anew=begin_anew) as log:
            run = Run(options, terminal, log, verbose=verbose, begins_anew=begin_anew)
            asyncio.run(run.until_stopped(duration_s))


def prepared(directory: DataDirectory, *, begin_anew: bool) -> TextIO:
    """Return the run's log, opened; the default directory of a demo is begun anew before.

    Raises:
        ConfigurationError: the default directory holds something that no demo made, or the
            directory cannot be cleared or written.
    """
    marker = directory.path / DEMO_MARKER
    try:
        if begin_anew:
            if not marker.exists() and not directory.is_empty():
                raise ConfigurationError(
                    f"{directory.path} exists and no demo made it: move it away, or give --data-dir"
                )
            marker.touch()
            directory.clear(keep=DEMO_MARKER)
        return (directory.path / LOG_NAME).open("a", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{directory.path} cannot be used ({error}): give --data-dir"
        ) from error


class Run:
    """One run of all parts, and what the terminal shows of it."""

    def __init__(
        self,
        options: StackOptions,
        terminal: Terminal,
        log: TextIO,
        *,
        verbose: bool,
        begins_anew: bool,
    ) -> None:
        """`log` gets every line of every part; `verbose` shows them on the terminal as well."""
        self._options = options
        self._tell, self._warn = terminal
        self._log = log
        self._verbose = verbose
        self._begins_anew = begins_anew
        ends = Ends(self._warn)
        self._supervisor = Supervisor(self._line, ends.ended, ends.back)
        self._stop = asyncio.Event()

    async def until_stopped(self, duration_s: float | None) -> None:
        """Start all parts, run them until a signal or the end of `duration_s`, stop them.

        Raises:
            FundingStreamError: a part did not start, or ended again and again.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._interrupted)
        self._tell(console.market(self._options))
        begun_s = time.monotonic()
        async with self._supervisor:
            stack = Stack(self._options, self._supervisor, lambda line: self._tell(f"  {line}"))
            if await self._started(stack):
                self._tell(self._welcome(time.monotonic() - begun_s))
                await self._show(duration_s)
                if not self._stop.is_set():
                    self._tell(console.STOPPING)
                if not await stack.drain():
                    self._warn("not everything is stored yet; it stays in Kafka")
                self._tell("  stopping the parts")
        self._tell(f"stopped. Data: {self._options.data_dir}")

    def _interrupted(self) -> None:
        """Stop in order at the first signal, and kill everything at the second."""
        if not self._stop.is_set():
            self._stop.set()
            self._tell(console.STOPPING)
            return
        self._warn(console.STOPPING_AT_ONCE)
        self._supervisor.kill()
        # Threads that wait for Kafka would delay an ordinary exit by many seconds.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED)

    def _line(self, name: str, line: str) -> None:
        text = printable(line)
        self._log.write(f"{name}: {text}\n")
        self._log.flush()
        shown = text if self._verbose else notice_in(text)
        if shown is not None:
            self._tell(f"{name}: {shown}")

    async def _started(self, stack: Stack) -> bool:
        """Start the parts; False when a signal came before all of them were up."""
        starting = asyncio.create_task(stack.start())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._stop.is_set():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return False
        await starting
        return True

    def _welcome(self, took_s: float) -> str:
        return console.welcome(
            self._options,
            took_s,
            self._options.data_dir / LOG_NAME,
            script=sys.argv[0],
            exports=needed_exports(self._options),
            begins_anew=self._begins_anew,
        )

    async def _show(self, duration_s: float | None) -> None:
        """Show the summary until a signal, the duration's end, or a part that stays down.

        Raises:
            UnavailableError: a part ended again and again and was given up.
        """
        failed = asyncio.create_task(self._supervisor.wait_failed())
        stopping = asyncio.create_task(self._stop.wait())
        summary = asyncio.create_task(show_summaries(self._options.web, self._tell))
        try:
            done, _ = await asyncio.wait(
                [stopping, failed], timeout=duration_s, return_when=asyncio.FIRST_COMPLETED
            )
            if failed in done:
                raise UnavailableError(
                    f"{printable(failed.result().message)}; what it said is in "
                    f"{self._options.data_dir / LOG_NAME}"
                )
        finally:
            for task in (failed, stopping, summary):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def needed_exports(options: StackOptions) -> dict[str, str]:
    """Return the variables that a tool in this environment needs to find the parts."""
    found = load_settings(SinkSettings)
    wanted = {
        "kafka_bootstrap": options.bootstrap,
        "registry_url": options.registry,
        "clickhouse_url": options.clickhouse,
    }
    return {
        f"{ENV_PREFIX}{name.upper()}": value
        for name, value in wanted.items()
        if getattr(found, name) != value
    }


async def _answer(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url) as reply:
        answer: dict[str, Any] = json.loads(await reply.content.read(_MAX_SUMMARY_BYTES))
    return answer


async def show_summaries(web: str, tell: Callable[[str], None]) -> None:
    """Show the worker's summary every few seconds, and once that every feed brings data."""
    before: tuple[float, int] | None = None
    told_ready = False
    timeout = aiohttp.ClientTimeout(total=SUMMARY_EVERY_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            await asyncio.sleep(SUMMARY_EVERY_S)
            try:
                summary = await _answer(session, f"{web}/api/v1/summary")
                summary |= await _answer(session, f"{web}/readyz")
                now_s, updates = time.monotonic(), summary["updates"]
                rate = 0.0
                if before is not None and updates >= before[1]:
                    rate = (updates - before[1]) / (now_s - before[0])
                before = now_s, updates
                lines = console.summary_lines(summary, rate)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError, TypeError):
                tell("  the worker does not answer")
                continue
            tell(lines)
            if summary.get("ready") and not told_ready:
                told_ready = True
                tell("  ready: every feed brings data")
            sys.stdout.flush()
