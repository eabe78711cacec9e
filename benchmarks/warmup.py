"""`python -m benchmarks warmup`: the first minutes of a fresh stack, ten seconds by ten seconds.

A stack like the one of `make demo` starts with empty tables on free ports, and 30 days of
settlements are loaded while live rates stream. Each row tells how late live records were (by the
worker's own reports on `funding.workers`), how many contracts were stale and how many baselines
were loaded. Exit code 1: a live p99 above LATE_S, or baselines that took longer than
LOADED_WITHIN_S.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from benchmarks.fault_report import table
from benchmarks.running import Running, Usage, options_of, progress, running
from infra.runs import DEMO_CONTRACTS
from schemas.feeds import FEEDS
from schemas.kafka.topic_follower import TopicFollower
from schemas.records import WorkerStatus
from schemas.serde.registry import SchemaCatalog
from schemas.topics import WORKERS

SECONDS = 200.0
EVERY_S = 10.0
LATE_S = 0.5
LOADED_WITHIN_S = 90.0
"""Seconds of measuring, from the moment at which all parts are up."""


class Row(NamedTuple):
    """One span of EVERY_S."""

    until_s: float
    """Since all parts were up."""
    p50_ms: float | None
    """The median of the medians that the worker reported, one a second."""
    p99_ms: float | None
    """The worst p99 that it reported."""
    behind: int
    stale: int
    loaded: int
    expected: int
    cpu: Mapping[str, float]
    """Cores, by part."""


def main(arguments: Sequence[str]) -> int:
    """Run as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks warmup", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--contracts", type=int, default=DEMO_CONTRACTS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data-dir", type=Path, help="where to leave data and logs")
    given = parser.parse_args(arguments)
    keep = given.data_dir
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory() as directory:
        started_s, rows = asyncio.run(_measure(Path(directory), given.contracts, given.seconds))
    missed = verdict(rows)
    if given.json:
        document = {"started_s": started_s, "rows": [row._asdict() for row in rows]}
        print(json.dumps({**document, "missed": missed}, indent=2))
    else:
        print(f"all parts were up after {started_s:.1f} s\n\n{text(rows)}\n")
        print("\n".join(missed) or "All criteria are met.")
    return 1 if missed else 0


def verdict(rows: Sequence[Row]) -> list[str]:
    """Return what was missed, a line each."""
    missed = []
    worst_ms = max((row.p99_ms for row in rows if row.p99_ms is not None), default=None)
    if worst_ms is None:
        return ["The worker reported no live record."]
    if worst_ms > LATE_S * 1_000:
        missed.append(f"The live p99 was {worst_ms:.0f} ms, not below {LATE_S * 1_000:.0f} ms.")
    loaded = [row.until_s for row in rows if row.expected and row.loaded >= row.expected]
    if not loaded:
        missed.append(f"{rows[-1].loaded} of {rows[-1].expected} baselines were loaded at the end.")
    elif loaded[0] > LOADED_WITHIN_S:
        missed.append(f"All baselines took {loaded[0]:.0f} s, not {LOADED_WITHIN_S:.0f} s.")
    return missed


def text(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    parts = sorted({part for row in rows for part in row.cpu})
    head = ["until, s", "p50, ms", "p99, ms", "behind", "stale", "baselines", *parts]
    return table(
        head,
        [
            [
                f"{row.until_s:.0f}",
                "-" if row.p50_ms is None else f"{row.p50_ms:.0f}",
                "-" if row.p99_ms is None else f"{row.p99_ms:.0f}",
                str(row.behind),
                str(row.stale),
                f"{row.loaded}/{row.expected}",
                *(f"{row.cpu.get(part, 0.0):.2f}" for part in parts),
            ]
            for row in rows
        ],
    )


async def _measure(data_dir: Path, contracts: int, seconds: float) -> tuple[float, list[Row]]:
    begun_s = time.monotonic()
    async with running(options_of(data_dir, FEEDS, contracts, {})) as stack:
        started_s = time.monotonic() - begun_s
        progress(f"all parts are up after {started_s:.1f} s")
        settings = stack.stack.worker_settings
        reports: list[WorkerStatus] = []
        reader = TopicFollower(
            settings,
            SchemaCatalog(settings),
            WORKERS,
            lambda _key, report: reports.append(report),
            from_beginning=False,
        )
        reader.start()
        try:
            return started_s, await _rows(stack, reports, seconds)
        finally:
            await asyncio.to_thread(reader.stop)


async def _rows(stack: Running, reports: list[WorkerStatus], seconds: float) -> list[Row]:
    rows: list[Row] = []
    begun_s = time.monotonic()
    used = stack.usage()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=EVERY_S)) as http:
        while (since_s := time.monotonic() - begun_s) < seconds:
            await asyncio.sleep(EVERY_S * (len(rows) + 1) - since_s)
            summary = await _json(http, f"{stack.options.web}/api/summary")
            taken, reports[:] = list(reports), []
            now = stack.usage()
            rows.append(_row(time.monotonic() - begun_s, taken, summary, _cores(used, now)))
            used = now
            progress(text(rows[-1:]).splitlines()[-1])
    return rows


async def _json(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with http.get(url) as reply:
        found: dict[str, Any] = await reply.json()
        return found


def _cores(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, float]:
    return {part: (after[part][0] - before[part][0]) / EVERY_S for part in after if part in before}


def _row(
    until_s: float,
    reports: Sequence[WorkerStatus],
    summary: Mapping[str, Any],
    cpu: Mapping[str, float],
) -> Row:
    medians = sorted(r["delay_p50_s"] for r in reports if r["delay_p50_s"] is not None)
    worst = [r["delay_p99_s"] for r in reports if r["delay_p99_s"] is not None]
    warming = summary["warming_up"]
    contracts = summary["contracts"]
    return Row(
        until_s,
        medians[len(medians) // 2] * 1_000 if medians else None,
        max(worst) * 1_000 if worst else None,
        max((r["records_behind"] for r in reports), default=0),
        sum(feed["stale"] for feed in summary["feeds"]),
        warming["loaded"] if warming else contracts,
        warming["expected"] if warming else contracts,
        cpu,
    )
