"""`fundingstream up`: everything in one command, with a live summary.

Not responsible for: which parts there are (stack.py), keeping them alive (embedded/supervisor.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import click

from infra.embedded.supervisor import Supervisor
from infra.notices import Ends, notice_in
from infra.stack import DEMO_CONTRACTS, Ports, Stack, StackOptions, require_free_ports
from schemas.errors import ConfigurationError, UnavailableError
from schemas.feeds import FEEDS

DEMO_MARKER = ".fundingstream-demo"
DEFAULT_ROOT = Path(".fundingstream")
SUMMARY_EVERY_S = 5.0
_TOP = 3


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
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path),
              help="Where all data lives. Default: .fundingstream/live, or .fundingstream/demo, "
              "which each simulated run begins anew.")  # fmt: skip
@click.option("--kafka", metavar="HOST:PORT", help="Use this broker instead of an embedded one.")
@click.option("--clickhouse", "clickhouse_url", metavar="URL",
              help="Use this ClickHouse instead of the embedded one.")  # fmt: skip
@click.option("--kafka-port", type=int, default=9092, show_default=True)
@click.option("--registry-port", type=int, default=8081, show_default=True)
@click.option("--clickhouse-port", type=int, default=8123, show_default=True)
@click.option("--web-port", type=int, default=6066, show_default=True)
@click.option("--producer-metrics-port", type=int, default=9101, show_default=True)
@click.option("--sink-metrics-port", type=int, default=9102, show_default=True)
@click.option("--simulator-port", type=int, default=9443, show_default=True)
@click.option("--verbose", is_flag=True, help="Show what every part logs.")
def up(**given: Any) -> None:
    """Run everything on this machine: exchanges, Kafka, worker, sink, ClickHouse, page."""
    verbose, duration_s = given.pop("verbose"), given.pop("duration_s")
    asked_for = given.pop("data_dir")
    feeds = given.pop("feeds") or FEEDS
    data_dir = (asked_for or DEFAULT_ROOT / ("live" if given["live"] else "demo")).resolve()
    ports = Ports(**{name: given.pop(f"{name}_port") for name in Ports.__dataclass_fields__})
    options = StackOptions(data_dir=data_dir, ports=ports, feeds=feeds, **given)
    # Before anything is touched: a second run must not clear the first one's data.
    require_free_ports(options)
    try:
        _prepare(data_dir, begin_anew=asked_for is None and not options.live)
    except OSError as error:
        raise ConfigurationError(f"{data_dir} cannot be used ({error}): give --data-dir") from error
    asyncio.run(_run(options, duration_s, verbose=verbose))


def _prepare(directory: Path, *, begin_anew: bool) -> None:
    """Make the directory; the default one of a demo is begun anew.

    Raises:
        ConfigurationError: the default directory holds something that no demo made.
        OSError: it cannot be made or cleared.
    """
    if begin_anew and directory.exists():
        if not (directory / DEMO_MARKER).exists():
            raise ConfigurationError(
                f"{directory} exists and no demo made it: move it away, or give --data-dir"
            )
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if begin_anew:
        (directory / DEMO_MARKER).touch()


async def _run(options: StackOptions, duration_s: float | None, *, verbose: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log_path = options.data_dir / "fundingstream.log"
    with log_path.open("a", encoding="utf-8") as log:

        def sink(name: str, line: str) -> None:
            log.write(f"{name}: {line}\n")
            log.flush()
            shown = line if verbose else notice_in(line)
            if shown is not None:
                click.echo(f"{name}: {shown}")

        ends = Ends()
        begun_s = time.monotonic()
        async with Supervisor(sink, ends.ended, ends.back) as supervisor:
            stack = Stack(options, supervisor, lambda line: click.echo(f"  {line}"))
            starting = asyncio.create_task(stack.start())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                return
            await starting
            click.echo(_welcome(options, time.monotonic() - begun_s, log_path))
            await _until_the_end(options, supervisor, stopping, duration_s)
            click.echo("stopping: the input ends, the rest is processed and stored")
            if not await stack.drain():
                click.echo("stopped before everything was stored; it is still in Kafka", err=True)
    click.echo(f"stopped. Data: {options.data_dir}")


async def _until_the_end(
    options: StackOptions,
    supervisor: Supervisor,
    stopping: asyncio.Task[Any],
    duration_s: float | None,
) -> None:
    """Show the summary until a signal, the duration's end, or a part that stays down.

    Raises:
        UnavailableError: a part ended again and again and was given up.
    """
    failed = asyncio.create_task(supervisor.wait_failed())
    summary = asyncio.create_task(_summaries(options))
    try:
        done, _ = await asyncio.wait(
            [stopping, failed], timeout=duration_s, return_when=asyncio.FIRST_COMPLETED
        )
        if failed in done:
            raise UnavailableError(
                f"{failed.result().message}; what it said is in "
                f"{options.data_dir / 'fundingstream.log'}"
            )
    finally:
        for task in (failed, summary):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _welcome(options: StackOptions, took_s: float, log_path: Path) -> str:
    return "\n".join(
        [
            f"fundingstream is up in {took_s:.1f} s",
            f"  page        {options.web}/",
            f"  ClickHouse  {options.clickhouse}/?query=SELECT+count()+FROM+funding.rates",
            f"  Kafka       {options.bootstrap}",
            f"  registry    {options.registry}",
            f"  log         {log_path}",
            "  Ctrl-C stops it",
        ]
    )


async def _summaries(options: StackOptions) -> None:
    """Print a line every few seconds: updates/s, contracts, latency, the highest |z|."""
    before: tuple[float, int] | None = None
    timeout = aiohttp.ClientTimeout(total=SUMMARY_EVERY_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            await asyncio.sleep(SUMMARY_EVERY_S)
            try:
                async with session.get(f"{options.web}/api/summary") as reply:
                    summary = json.loads(await reply.read())
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                click.echo("  the worker does not answer")
                continue
            now_s = time.monotonic()
            rate = 0.0
            if before is not None and summary["updates"] >= before[1]:
                rate = (summary["updates"] - before[1]) / (now_s - before[0])
            before = now_s, summary["updates"]
            click.echo(_summary_line(summary, rate))
            sys.stdout.flush()


def _summary_line(summary: dict[str, Any], updates_per_s: float) -> str:
    p99_s = summary["latency_s"]["p99"]
    latency = "–" if p99_s is None else f"{p99_s * 1_000:.0f} ms"
    loading = f"  loading {summary['backfilling']:,}" if summary["backfilling"] else ""
    top = "  ".join(f"{row['symbol']} {row['z']:+.2f}" for row in summary["top"][:_TOP])
    return (
        f"  {updates_per_s:7,.0f} updates/s  {summary['contracts']:,} contracts  "
        f"p99 {latency}  lag {summary['lag']:,}{loading}  |z|: {top}"
    )
