"""`python -m benchmarks modes`: poll, hybrid and stream one after the other, and one table.

Each mode has a stack of its own with the same contracts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.evidence import Stored, gather
from benchmarks.fault_report import seconds as shown
from benchmarks.fault_schedule import SLOW_CADENCE_S
from benchmarks.freshness import Freshness, freshness, listed_spans
from benchmarks.rest_calls import Sample
from benchmarks.running import Running, options_of, progress, running
from benchmarks.tables import table
from infra.runs import DEMO_CONTRACTS
from schemas.clock import now_us
from schemas.feeds import FEEDS, spec
from schemas.times import US_PER_HOUR

MODES = ("poll", "hybrid", "stream")
SECONDS = 150.0
POLL_S = 30
WARM_UP_S = 35.0
"""Longer than a polling period: every contract has been asked for."""
PARTS = ("producer", "worker")
_STALE_S = 10.0
"""The stale threshold of most feeds; the table shows ages only."""


class Figures(NamedTuple):
    """What was measured in one mode."""

    by_feed: Mapping[str, Freshness]
    overall: Freshness
    by_second: Freshness
    """Of the feeds that push each second; others have a new estimate once a minute."""
    calls_an_hour: Mapping[str, float]
    latency_ms: tuple[float, float, int]
    """From an event to its z-score: p50 and p99 in ms, and the number of samples."""
    parts: Mapping[str, tuple[float, float]]
    """Percent of a core, and MB of memory, by part."""


def main(arguments: Sequence[str]) -> int:
    """Run as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks modes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each mode")
    parser.add_argument("--feeds", nargs="+", choices=FEEDS, default=list(FEEDS), metavar="FEED")
    parser.add_argument("--contracts", type=int, default=DEMO_CONTRACTS)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data-dir", type=Path, help="where to leave data and logs")
    given = parser.parse_args(arguments)
    # Whole periods of polling: else a call more or less is a quarter of the figure.
    seconds = math.ceil(given.seconds / POLL_S) * POLL_S
    keep = given.data_dir
    found: dict[str, Figures] = {}
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory() as directory:
        for mode in given.modes:
            found[mode] = asyncio.run(
                _measure(
                    mode,
                    Path(directory) / mode,
                    tuple(given.feeds),
                    given.contracts,
                    seconds,
                )
            )
    print(json.dumps(_document(found), indent=2) if given.json else text(found))
    return 0


async def _measure(
    mode: str, directory: Path, feeds: tuple[str, ...], contracts: int, seconds: float
) -> Figures:
    environment = {
        "FUNDING_PRODUCER_MODE": mode,
        "FUNDING_PRODUCER_POLL_S": str(POLL_S),
    }
    progress(f"{mode}: starting {contracts} contracts of {', '.join(feeds)}")
    async with running(options_of(directory, feeds, contracts, environment)) as run:
        await run.ready()
        progress(f"{mode}: ready; {WARM_UP_S:.0f} s to warm up, {seconds:.0f} s to measure")
        await asyncio.sleep(WARM_UP_S)
        before, from_us = run.usage(), now_us()
        samples = await run.sampled(seconds)
        after, until_us = run.usage(), now_us()
        await run.stack.drain()
        parts = {
            name: (
                (after[name][0] - before[name][0]) / seconds * 100,
                after[name][1] / 1e6,
            )
            for name in PARTS
        }
        return await _figures(run, (from_us, until_us), samples, parts)


async def _figures(
    run: Running,
    span: tuple[int, int],
    samples: Sequence[Sample],
    parts: Mapping[str, tuple[float, float]],
) -> Figures:
    by_feed = {}
    every: list[Stored] = []
    by_second: list[Stored] = []
    for feed in run.options.feeds:
        rows = (await gather(run, feed, *span)).stored
        every += rows
        if spec(feed).cadence_s < SLOW_CADENCE_S:
            by_second += rows
        by_feed[feed] = freshness(rows, listed_spans(rows, {}, *span), span, spec(feed).stale_s)
    latency = await run.rows(
        "SELECT quantileExact(0.5)(ms), quantileExact(0.99)(ms), count() FROM (SELECT "
        "dateDiff('microsecond', event_time, computed_at) / 1000 AS ms FROM funding.zscores FINAL "
        f"WHERE toUnixTimestamp64Micro(received_at) >= {span[0]} "
        f"AND toUnixTimestamp64Micro(received_at) < {span[1]} AND trigger != 'flush')"
    )
    hours = (samples[-1][0] - samples[0][0]) / US_PER_HOUR
    calls = {
        feed: sum(
            number - samples[0][1][name]
            for name, number in samples[-1][1].items()
            if name.startswith(f"rest:{feed}/")
        )
        / hours
        for feed in run.options.feeds
    }
    p50_ms, p99_ms, number = latency[0]
    return Figures(
        by_feed,
        freshness(every, listed_spans(every, {}, *span), span, _STALE_S),
        freshness(by_second, listed_spans(by_second, {}, *span), span, _STALE_S),
        calls,
        (float(p50_ms), float(p99_ms), int(number)),
        parts,
    )


def _document(found: Mapping[str, Figures]) -> dict[str, Any]:
    return {
        mode: {
            "overall": each.overall._asdict(),
            "by_second": each.by_second._asdict(),
            "feeds": {feed: fresh._asdict() for feed, fresh in each.by_feed.items()},
            "calls_an_hour": dict(each.calls_an_hour),
            "latency_ms": list(each.latency_ms),
            "parts": {name: list(values) for name, values in each.parts.items()},
        }
        for mode, each in found.items()
    }


def text(found: Mapping[str, Figures]) -> str:
    """Return the table: a line for each figure, a column for each mode, and poll to stream."""
    lines: dict[str, list[float]] = {}
    for each in found.values():
        for name, value in _lines(each):
            lines.setdefault(name, []).append(value)
    both = "poll" in found and "stream" in found
    header = ["", *found, *(["poll / stream"] if both else [])]
    rows: list[list[object]] = []
    for name, values in lines.items():
        row: list[object] = [name, *map(shown, values)]
        if both:
            by_mode = dict(zip(found, values, strict=True))
            stream = by_mode["stream"]
            row.append(f"{by_mode['poll'] / stream:.1f}" if stream > 0 else "-")
        rows.append(row)
    return table(header, rows)


def _lines(figures: Figures) -> list[tuple[str, float]]:
    overall = figures.overall
    quick = figures.by_second
    lines = [
        ("all feeds: age of a rate, p50, s", overall.p50_s),
        ("all feeds: age p99, s", overall.p99_s),
        ("feeds that push each second: age p50, s", quick.p50_s),
        ("feeds that push each second: age p99, s", quick.p99_s),
    ]
    for feed, fresh in figures.by_feed.items():
        lines += [(f"{feed}: age p50, s", fresh.p50_s), (f"{feed}: age p99, s", fresh.p99_s)]
    lines += [
        ("event to z-score, p50, ms", figures.latency_ms[0]),
        ("event to z-score, p99, ms", figures.latency_ms[1]),
        ("REST calls an hour, all feeds", sum(figures.calls_an_hour.values())),
    ]
    lines += [(f"{feed}: REST calls an hour", n) for feed, n in figures.calls_an_hour.items()]
    for name, (cpu, memory_mb) in figures.parts.items():
        lines += [(f"{name}: CPU, % of a core", cpu), (f"{name}: memory, MB", memory_mb)]
    return lines
