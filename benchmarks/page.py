"""The page that people keep open: what it costs a browser, a network and the worker.

Everything runs as `fundingstream up` runs it. Once all baselines are loaded, Chromium opens the
page some times (first paint, first data), then stays on each view for a while (script, style and
layout by the browser's own counters; heap after a collection). From Kafka to the pixel is measured
in the browser: Kafka's timestamp of each z-score until the animation frame that has painted it.
Bytes are those of the frames of one page. Then the worker is measured in turns without viewers and
with many of them, which read from another process: from receipt at the producer until a consumer
in a third process has the z-score, for those published at once. A turn is a minute, since an
exchange that pushes once a minute pushes all of its contracts then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.arrivals import Arrivals
from benchmarks.figures import histogram, quantile, shown, spread
from benchmarks.running import Running, options_of, progress, running
from benchmarks.tables import Aim, table
from infra.runs import DEMO_CONTRACTS
from schemas.clock import now_us
from schemas.feeds import FEEDS
from schemas.topics import ZSCORES

TITLE = "The page"
BOUND_S = 1_800.0
VIEWERS, ROUNDS, ROUND_S, VIEW_S = 200, 3, 60.0, 15.0
VIEWS = ("contracts", "map", "spreads", "feeds", "alerts")
SETTLE_S = 5.0
MOST_BYTES_S, MOST_SCRIPT_MS_S, MOST_DIFFERENCE = 30_000, 100.0, 0.10


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--contracts", type=int, help=f"of all feeds ({DEMO_CONTRACTS})")
    parser.add_argument("--viewers", type=int, default=VIEWERS, help=f"open pages ({VIEWERS})")
    parser.add_argument("--rounds", type=int, help=f"without and with viewers ({ROUNDS})")
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="leave the tab on the contracts so long as well"
    )


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the page."""
    # Playwright is for tests and benchmarks, and not needed by the others.
    from benchmarks import tab  # noqa: PLC0415

    contracts = given.contracts or (60 if given.quick else DEMO_CONTRACTS)
    rounds = given.rounds or (1 if given.quick else ROUNDS)
    view_s, round_s = (2.0, 3.0) if given.quick else (VIEW_S, ROUND_S)
    viewers = min(given.viewers, 20) if given.quick else given.viewers
    with tempfile.TemporaryDirectory() as directory:
        options = options_of(Path(directory), FEEDS, contracts, {})
        async with running(options) as stack:
            await stack.ready()
            await asyncio.sleep(SETTLE_S)
            progress("all baselines are loaded")
            opened = await tab.opened(options.web, 2 if given.quick else 10)
            one = await _one_page(stack, view_s)
            progress(f"one page: {one}")
            watched = await tab.watched(options.web, VIEWS, view_s)
            progress(f"views: {watched}")
            longer = None
            if given.minutes:
                longer = await tab.watched(options.web, ("contracts",), given.minutes * 60)
            turns = [
                {
                    "without": await _round(stack, 0, round_s),
                    "with": await _round(stack, viewers, round_s),
                }
                for _ in range(rounds)
            ]
    return {
        "contracts": contracts,
        "opened": opened,
        "one": one,
        "watched": watched,
        "longer": {"minutes": given.minutes, **longer} if longer else None,
        "viewers": viewers,
        "turns": turns,
    }


@asynccontextmanager
async def _viewing(url: str, number: int) -> AsyncIterator[dict[str, Any]]:
    """Keep so many pages open; afterwards the dictionary has what they got."""
    found: dict[str, Any] = {}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.viewers", url, str(number),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert (await process.stdout.readline()).strip() == b"ready", "the viewers did not start"
        yield found
        process.stdin.close()
        found |= json.loads(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _one_page(stack: Running, seconds: float) -> dict[str, Any]:
    async with _viewing(stack.options.web, 1) as found:
        await asyncio.sleep(seconds)
    return found


async def _round(stack: Running, viewers: int, seconds: float) -> dict[str, Any]:
    """Measure the worker for so long with so many viewers."""
    if not viewers:
        return await _worker(stack, seconds)
    async with _viewing(stack.options.web, viewers) as found:
        await asyncio.sleep(SETTLE_S)
        worker = await _worker(stack, seconds)
    return {**worker, "pages": found}


async def _worker(stack: Running, seconds: float) -> dict[str, Any]:
    watcher = await asyncio.to_thread(Arrivals, stack.stack.worker_settings, ZSCORES.name, "zscore")
    before, begun_us = stack.usage()["worker"], now_us()
    await asyncio.sleep(seconds)
    after = stack.usage()["worker"]
    arrived = await asyncio.to_thread(watcher.end)
    took_ms = [each.took_ms for each in arrived if each.sent_us >= begun_us]
    return {
        "to_kafka_ms": histogram(took_ms),
        "p99_ms": round(quantile(took_ms, 0.99), 2) if took_ms else None,
        "cores": round((after[0] - before[0]) / seconds, 3),
        "memory_mb": round(after[1] / 1e6),
    }


def _spread(figures: Mapping[str, Any], which: str, name: str, digits: int = 1) -> Any:
    values = [turn[which][name] for turn in figures["turns"] if turn[which][name] is not None]
    return spread(values, digits)


def _difference(figures: Mapping[str, Any]) -> float:
    """Return by how much the median p99 with viewers is above that without, as a fraction."""
    without, with_ = (_spread(figures, which, "p99_ms", 2) for which in ("without", "with"))
    return float(with_["median"] / without["median"] - 1)


def text(figures: Mapping[str, Any]) -> str:
    """Return the figures as tables."""
    opened, one, watched = figures["opened"], figures["one"], figures["watched"]
    pixel, heap = watched["pixel_ms"], watched["heap_mb"]
    rows = [
        ["first paint, ms (median)", f"{opened['first_paint_ms']:.0f}"],
        [
            "first row of data, ms (median / most)",
            f"{opened['first_data_ms']:.0f} / {opened['first_data_most_ms']:.0f}",
        ],
        ["bytes a second", f"{one['bytes_s']:,}"],
        ["frames a second", f"{one['frames_s']:g}"],
        ["snapshot, bytes", f"{one['snapshot_bytes']:,}"],
        [
            "z-score on Kafka to pixel, ms, p50 / p99 / n",
            f"{pixel['p50']} / {pixel['p99']} / {pixel['count']:,}",
        ],
        ["heap, MB, first / last / most", f"{heap['first']} / {heap['last']} / {heap['most']}"],
    ]
    if figures["longer"]:
        heap = figures["longer"]["heap_mb"]
        rows.append([
            f"heap over {figures['longer']['minutes']:g} minutes, MB, first / last / most",
            f"{heap['first']} / {heap['last']} / {heap['most']}",
        ])  # fmt: skip
    costs = [
        [view, *(f"{cost[name]:g}" for name in ("script", "style_and_layout", "all_tasks"))]
        for view, cost in watched["cost_ms_s"].items()
    ]
    worker = [
        [
            f"{label}, {len(figures['turns'])} turns",
            shown(_spread(figures, which, "p99_ms"), 1),
            shown(_spread(figures, which, "cores", 3), 2),
            shown(_spread(figures, which, "memory_mb"), 0),
        ]
        for which, label in (("without", "no page"), ("with", f"{figures['viewers']} pages"))
    ]
    return "\n\n".join([
        f"{figures['contracts']:,} contracts; Chromium, 1440 × 900, one tab.",
        table(["one tab", ""], rows),
        table(["view: ms a second", "script", "style and layout", "all tasks"], costs),
        table(["worker", "p99 to the z-score on Kafka, ms", "cores", "RSS, MB"], worker),
    ])  # fmt: skip


def aims(figures: Mapping[str, Any]) -> list[Aim]:
    """Return what was aimed at, with what was measured."""
    bytes_s = figures["one"]["bytes_s"]
    script = figures["watched"]["cost_ms_s"]["contracts"]["script"]
    difference = _difference(figures)
    pages = f"worker's p99 with {figures['viewers']} pages"
    least = f"< {MOST_DIFFERENCE:.0%} above that without"
    return [
        Aim("a tab's bytes/s", f"< {MOST_BYTES_S:,}", f"{bytes_s:,}", bytes_s < MOST_BYTES_S),
        Aim(
            "script of the view of contracts",
            f"< {MOST_SCRIPT_MS_S:g} ms/s",
            f"{script:g} ms/s",
            script < MOST_SCRIPT_MS_S,
        ),
        Aim(pages, least, f"{difference:+.1%}", difference < MOST_DIFFERENCE),
    ]
