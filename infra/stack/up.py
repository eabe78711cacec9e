"""`fundingstream up`: everything in one command, with a live summary.

Which parts there are is decided in stack.py, what is printed in console.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import aiohttp
import click

from infra.embedded.storage import DataDirectory
from infra.embedded.supervision.supervisor import Supervisor
from infra.stack import console
from infra.stack.notices import Ends, notice_in
from infra.stack.parts import (
    DEMO_CONTRACTS,
    Ports,
    Stack,
    StackOptions,
    check_settings,
    require_free_ports,
)
from infra.stack.runs import RUN_DIRECTORIES
from schemas.config.settings import ENV_PREFIX, load_settings
from schemas.errors import ConfigurationError, UnavailableError
from schemas.feeds import FEEDS
from schemas.text import printable
from stream_app.settings import SinkSettings

DEMO_MARKER = ".fundingstream-demo"
LOG_NAME = "fundingstream.log"
SUMMARY_EVERY_S = 5.0
EXIT_INTERRUPTED = 130
_MAX_SUMMARY_BYTES = 1 << 20


@click.command()
@click.option("--live", is_flag=True, help="The real exchanges instead of simulated ones.")
@click.option(
    "--contracts", type=click.IntRange(2, 20_000), default=DEMO_CONTRACTS, show_default=True,
    help="Simulated contracts of all feeds together.",
)  # fmt: skip
@click.option("--feed", "feeds", multiple=True, type=click.Choice(FEEDS), metavar="FEED",
              help="Only this feed; may be given again. Default: all.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True,
              help="The same seed gives the same simulated market.")  # fmt: skip
@click.option("--duration", "duration_s", type=click.FloatRange(1),
              help="Stop by itself after this many seconds.")  # fmt: skip
@click.option("--data-dir", type=click.Path(path_type=Path),
              help="Where all data lives. Default: .fundingstream/live, or .fundingstream/demo, "
              "which each simulated run begins anew.")  # fmt: skip
@click.option("--kafka", metavar="HOST:PORT", help="Use this broker instead of an embedded one.")
@click.option("--clickhouse", "clickhouse_url", metavar="URL",
              help="Use this ClickHouse instead of the embedded one.")  # fmt: skip
@click.option("--kafka-port", type=int, default=9092, show_default=True)
@click.option("--registry-port", type=int, default=8081, show_default=True)
@click.option("--clickhouse-port", type=int, default=8123, show_default=True)
@click.option("--web-port", type=int, default=6066, show_default=True,
              envvar="FUNDING_WEB_PORT", show_envvar=True)  # fmt: skip
@click.option("--producer-metrics-port", type=int, default=9101, show_default=True,
              envvar="FUNDING_PRODUCER_METRICS_PORT", show_envvar=True)  # fmt: skip
@click.option("--sink-metrics-port", type=int, default=9102, show_default=True,
              envvar="FUNDING_SINK_METRICS_PORT", show_envvar=True)  # fmt: skip
@click.option("--simulator-port", type=int, default=9443, show_default=True)
@click.option("--verbose", is_flag=True, help="Show what every part logs.")
def up(**given: Any) -> None:
    """Run everything on this machine: exchanges, Kafka, worker, sink, ClickHouse, page."""
    verbose, duration_s = given.pop("verbose"), given.pop("duration_s")
    asked_for = given.pop("data_dir")
    feeds = given.pop("feeds") or FEEDS
    data_dir = asked_for or RUN_DIRECTORIES["live" if given["live"] else "demo"]
    ports = Ports(**{name: given.pop(f"{name}_port") for name in Ports.__dataclass_fields__})
    begin_anew = asked_for is None and not given["live"]
    with DataDirectory(data_dir, "this run", "--data-dir") as directory:
        options = StackOptions(data_dir=directory.path, ports=ports, feeds=feeds, **given)
        require_free_ports(options)
        check_settings(options)
        with prepared(directory, begin_anew=begin_anew) as log:
            run = Run(options, log, verbose=verbose, begins_anew=begin_anew)
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
    """One run of all parts, and what the terminal is told of it."""

    def __init__(
        self, options: StackOptions, log: TextIO, *, verbose: bool, begins_anew: bool
    ) -> None:
        """`log` gets every line of every part; `verbose` shows them as well."""
        self._options = options
        self._log = log
        self._verbose = verbose
        self._begins_anew = begins_anew
        ends = Ends()
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
        click.echo(console.market(self._options))
        begun_s = time.monotonic()
        async with self._supervisor:
            stack = Stack(self._options, self._supervisor, lambda line: click.echo(f"  {line}"))
            if await self._started(stack):
                click.echo(self._welcome(time.monotonic() - begun_s))
                await self._show(duration_s)
                if not self._stop.is_set():
                    click.echo(console.STOPPING)
                if not await stack.drain():
                    click.echo("not everything is stored yet; it stays in Kafka", err=True)
                click.echo("  stopping the parts")
        click.echo(f"stopped. Data: {self._options.data_dir}")

    def _interrupted(self) -> None:
        """The first signal asks for an orderly stop, the second kills."""
        if not self._stop.is_set():
            self._stop.set()
            click.echo(console.STOPPING)
            return
        click.echo(console.STOPPING_AT_ONCE, err=True)
        self._supervisor.kill()
        # Threads that wait for Kafka would hold an ordinary exit for many seconds.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED)

    def _line(self, name: str, line: str) -> None:
        text = printable(line)
        self._log.write(f"{name}: {text}\n")
        self._log.flush()
        shown = text if self._verbose else notice_in(text)
        if shown is not None:
            click.echo(f"{name}: {shown}")

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
        summary = asyncio.create_task(show_summaries(self._options.web))
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
    """Return the variables without which a tool in this environment would not find the parts."""
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


async def show_summaries(web: str) -> None:
    """Print the worker's summary every few seconds, and once that all feeds bring data."""
    before: tuple[float, int] | None = None
    told_ready = False
    timeout = aiohttp.ClientTimeout(total=SUMMARY_EVERY_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            await asyncio.sleep(SUMMARY_EVERY_S)
            try:
                async with session.get(f"{web}/api/summary") as reply:
                    summary = json.loads(await reply.content.read(_MAX_SUMMARY_BYTES))
                now_s, updates = time.monotonic(), summary["updates"]
                rate = 0.0
                if before is not None and updates >= before[1]:
                    rate = (updates - before[1]) / (now_s - before[0])
                before = now_s, updates
                lines = console.summary_lines(summary, rate)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError, TypeError):
                click.echo("  the worker does not answer")
                continue
            click.echo(lines)
            if summary.get("ready") and not told_ready:
                told_ready = True
                click.echo("  ready: every feed brings data")
            sys.stdout.flush()
