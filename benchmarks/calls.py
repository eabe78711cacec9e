"""`python -m benchmarks calls`: the REST calls of a healthy stack, by feed and path.

With the exchanges' real limits and the default refresh intervals; the span begins when all history
is complete, for which the strictest limits take 40 minutes with all contracts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.rest_calls import CLOCK_US, HourlyCalls, Sample, full_hours, hourly
from benchmarks.running import Running, options_of, progress, running
from benchmarks.tables import table
from schemas.clock import now_us
from schemas.feeds import FEEDS
from schemas.times import US_PER_HOUR, US_PER_MINUTE, US_PER_S

CONTRACTS = 200
MINUTES = 20.0
MAX_AN_HOUR = 48
"""REST calls of a feed whose stream is well, in an hour (docs/feeds.md)."""


def main(arguments: Sequence[str]) -> int:
    """Run as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks calls", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--feeds", nargs="+", choices=FEEDS, default=list(FEEDS), metavar="FEED")
    parser.add_argument("--contracts", type=int, default=CONTRACTS)
    parser.add_argument(
        "--limit-factor", type=float, default=1.0, help="shortens the start-up, changes no call"
    )
    parser.add_argument("--over-the-hour", action="store_true", help="until one is in")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data-dir", type=Path, help="where to leave data and logs")
    given = parser.parse_args(arguments)
    keep = given.data_dir
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory() as directory:
        started, samples = asyncio.run(
            _measure(
                Path(directory),
                tuple(given.feeds),
                given.contracts,
                given.minutes * 60,
                given.limit_factor,
                over_the_hour=given.over_the_hour,
            )
        )
    found = {feed: hourly(samples, f"rest:{feed}") for feed in given.feeds}
    span = (samples[0][0], samples[-1][0])
    print(
        json.dumps(_document(found, started, span), indent=2)
        if given.json
        else _text(found, started, span)
    )
    failures = failed(found)
    for failure in failures:
        progress(f"FAILED: {failure}")
    return 1 if failures else 0


async def _measure(
    directory: Path,
    feeds: tuple[str, ...],
    contracts: int,
    seconds: float,
    limit_factor: float,
    *,
    over_the_hour: bool,
) -> tuple[Counter[str], list[Sample]]:
    """Return what was counted until everything was ready, and the samples from then on."""
    options = options_of(
        directory, feeds, contracts, {"FUNDING_PRODUCER_LIMIT_FACTOR": str(limit_factor)}
    )
    async with running(options) as run:
        begun_s = time.monotonic()
        await run.ready()
        started = await run.counts()
        progress(f"history is complete after {time.monotonic() - begun_s:.0f} s")
        await _no_outage(run)
        if over_the_hour:
            now = now_us()
            end = -(-now // US_PER_HOUR) * US_PER_HOUR + CLOCK_US + US_PER_MINUTE
            seconds = max(seconds, (end - now) / US_PER_S)
        progress(f"counting for {seconds / 60:.1f} minutes")
        return started, await run.sampled(seconds)


async def _no_outage(run: Running) -> None:
    rows = await run.rows("SELECT count() FROM funding.feeds WHERE state = 'down'")
    if rows[0][0]:
        progress("a feed was down at start: what follows it is in the counts")


def failed(found: Mapping[str, Mapping[str, HourlyCalls]]) -> list[str]:
    """Return the feeds that call more often than they may."""
    totals = {feed: sum(c.an_hour for c in paths.values()) for feed, paths in found.items()}
    return [
        f"{feed}: {total:.1f} REST calls an hour, more than {MAX_AN_HOUR}"
        for feed, total in totals.items()
        if total > MAX_AN_HOUR
    ]


def _document(
    found: Mapping[str, Mapping[str, HourlyCalls]], started: Counter[str], span: tuple[int, int]
) -> dict[str, Any]:
    return {
        "from": span[0],
        "until": span[1],
        "full_hours": full_hours(*span),
        "start_up": {name: n for name, n in sorted(started.items()) if name.startswith("rest:")},
        "failures": failed(found),
        "feeds": {
            feed: {path: calls._asdict() for path, calls in paths.items()}
            for feed, paths in found.items()
        },
    }


def _text(
    found: Mapping[str, Mapping[str, HourlyCalls]], started: Counter[str], span: tuple[int, int]
) -> str:
    rows: list[tuple[object, ...]] = []
    for feed, paths in found.items():
        rows += [
            (feed, path, calls.counted, calls.after_the_hour, f"{calls.an_hour:.1f}")
            for path, calls in paths.items()
        ]
        total = sum(calls.an_hour for calls in paths.values())
        counted = sum(calls.counted for calls in paths.values())
        rows.append((feed, "**all**", counted, "", f"**{total:.1f}**"))
    hours = full_hours(*span)
    begun, ended = (
        time.strftime("%H:%M:%S", time.gmtime(at / US_PER_S)) for at in (span[0], span[1])
    )
    clock = (
        f"It has {hours} full hour(s); calls of the 10 minutes after it are counted as they are."
        if hours
        else "It has no full hour: calls that follow the clock are NOT in these figures."
    )
    in_start = [
        (feed, sum(n for name, n in started.items() if name.startswith(f"rest:{feed}/")))
        for feed in found
    ]
    header = ("feed", "path", "counted", "after the full hour", "an hour")
    minutes = (span[1] - span[0]) / US_PER_MINUTE
    return "\n\n".join(
        [
            f"From {begun} to {ended} UTC, {minutes:.1f} minutes. {clock}",
            table(header, rows),
            "Before that, at start: " + ", ".join(f"{feed} {n}" for feed, n in in_start) + ".",
            *(f"- FAILED: {failure}" for failure in failed(found)),
        ]
    )
