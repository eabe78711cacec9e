"""Where a worker's CPU time goes: µs an update, by stage.

The real worker takes live loads as in the benchmark of latency (with one contract in ten beyond |z|
= 2), and works off backlogs as in that of throughput, all on Apache Kafka. It notes at each ms of
its CPU time in which of our functions its main thread is (benchmarks/profiled.py); the core is
shown by module. The time of librdkafka's threads (fetching, compressing, sending) and of other
threads is that of their own clocks. Stages below 1 % are added up.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.feeding import (
    Feeder,
    Pattern,
    as_exchanges_send,
    pace,
    send_backlog,
    spread_out,
)
from benchmarks.load import FEED, market
from benchmarks.platform import Platform, platform
from benchmarks.profile_stages import CORE
from benchmarks.running import progress
from benchmarks.speed import Followed, Sample, follow
from benchmarks.tables import Aim, table
from benchmarks.throughput import DRAINED_WITHIN_S, QUICK_SHARE, SIZES, sizes_of
from schemas.clock import now_us
from schemas.errors import UnavailableError
from schemas.partitioning import PARTITIONS
from schemas.times import US_PER_HOUR, US_PER_S, hour_floor
from schemas.topics import RATES, raw_topic

TITLE = "Where the time goes"
BOUND_S = 600.0
HEAVY_RECORD = 63
LIVE_EACH = 252
"""Contracts of a partition."""
QUICK_EACH = 100
LIVE_WARM_UP_S = 4.0
SHOWN_SHARE = 0.01
SMALL = "everything else"
SMALL_CORE = f"{CORE}everything else"


class Line(msgspec.Struct):
    """A line of benchmarks/profiled.py."""

    at_s: float
    cpu_s: dict[str, float]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--seconds", type=float, help="of each size at most (6; quick: 3)")
    parser.add_argument("--sizes", type=int, nargs="+", choices=[s.per_record for s in SIZES],
                        default=[s.per_record for s in SIZES])  # fmt: skip


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Profile the worker under a live load, then for each size of records."""
    seconds = given.seconds or (3.0 if given.quick else 6.0)
    sizes = sizes_of(given)
    live_each = QUICK_EACH if given.quick else LIVE_EACH
    contracts = market(max(live_each, *(size.each for size in sizes)))
    second = (hour_floor(now_us()) + US_PER_HOUR) // US_PER_S
    found: dict[str, Any] = {}
    async with platform() as servers:
        feeder = Feeder(servers.settings, linger_ms=20.0)
        await servers.start_worker(wait=True)
        progress(f"history of {sum(map(len, contracts))} contracts")
        await servers.learn(feeder, contracts, now_us())
        await servers.stop("worker")
        live = [part[:live_each] for part in contracts]
        each_hz = 1 / (live_each * PARTITIONS)
        loads = [("live, 1,900/s", as_exchanges_send(live, 1_900 * each_hz))]
        if not given.quick:
            heavy = spread_out(live, 20_000 * each_hz, HEAVY_RECORD)
            loads.append((f"live, 20,000/s of {HEAVY_RECORD}", heavy))
        for load, pattern in loads:
            progress(load)
            found[load] = await _live(servers, pattern, seconds)
        for size in sizes:
            rounds = size.seconds(QUICK_SHARE if given.quick else 1.0)
            chosen = [part[: size.each] for part in contracts]
            span = range(second, second + rounds)
            second += rounds
            progress(f"{size.per_record} contracts a record")
            expected = await asyncio.to_thread(
                send_backlog, feeder, chosen, [raw_topic(FEED)], size.per_record, span
            )
            found[f"{size.per_record} a record"] = await _backlog(servers, expected, seconds)
    return {"loads": found}


async def _backlog(servers: Platform, expected: int, seconds: float) -> dict[str, Any]:
    path = servers.directory / "profile.ndjson"
    before = await asyncio.to_thread(servers.records, RATES.name)
    await servers.start_worker(wait=False, profile=path)
    followed = await follow(servers, "worker", RATES.name, expected, seconds, before=before)
    return by_stage(await _ended(servers, path), followed)


async def _live(servers: Platform, pattern: Pattern, seconds: float) -> dict[str, Any]:
    path = servers.directory / "live.ndjson"
    await servers.start_worker(wait=True, profile=path)
    send = partial(pace, Feeder(servers.settings), pattern, raw_topic(FEED))
    # The first update of a contract costs more than the others.
    await asyncio.to_thread(send, LIVE_WARM_UP_S)
    before = await asyncio.to_thread(servers.records, RATES.name)
    sending = asyncio.create_task(asyncio.to_thread(send, 2 * seconds))
    followed = await follow(servers, "worker", RATES.name, sys.maxsize, 2 * seconds, before=before)
    await sending
    return by_stage(await _ended(servers, path), followed)


async def _ended(servers: Platform, path: Path) -> list[Line]:
    """Let the worker do what is left and stop it; return what it noted."""
    await servers.drained(raw_topic(FEED), DRAINED_WITHIN_S)
    await servers.stop("worker")
    return _lines(path)


def _lines(path: Path) -> list[Line]:
    decode = msgspec.json.Decoder(Line).decode
    return [decode(line) for line in path.read_bytes().splitlines()]


def by_stage(lines: Sequence[Line], followed: Followed) -> dict[str, Any]:
    """Return the µs an update of each stage, between the first and the last output.

    Raises:
        UnavailableError: the profile has no two lines between them.
    """
    samples = followed.samples
    inside = [
        line for line in lines if samples and samples[0].at_s <= line.at_s <= samples[-1].at_s
    ]
    if len(inside) < 2:
        raise UnavailableError("the worker was done before its time could be measured")
    first, last = inside[0], inside[-1]
    updates = _done(samples, last.at_s) - _done(samples, first.at_s)
    used = {stage: last.cpu_s[stage] - first.cpu_s.get(stage, 0.0) for stage in last.cpu_s}
    stages = {stage: round(cpu_s * 1e6 / updates, 3) for stage, cpu_s in used.items()}
    return {
        "updates": round(updates),
        "updates_s": round(updates / (last.at_s - first.at_s)),
        "stages": dict(sorted(stages.items(), key=lambda stage: -stage[1])),
    }


def _done(samples: Sequence[Sample], at_s: float) -> float:
    """Return how many outputs there were at a moment, between two samples."""
    place = min(max(1, bisect_left([s.at_s for s in samples], at_s)), len(samples) - 1)
    a, b = samples[place - 1], samples[place]
    share = (at_s - a.at_s) / (b.at_s - a.at_s)
    return a.records + share * (b.records - a.records)


def text(figures: Mapping[str, Any]) -> str:
    """Return the figures as a table."""
    columns = {load: _shown(found["stages"]) for load, found in figures["loads"].items()}
    stages = {stage for column in columns.values() for stage in column}
    order = sorted(
        stages, key=lambda s: (s.startswith(CORE), s in {SMALL, SMALL_CORE}, -_most(s, columns))
    )
    rows: list[list[str]] = [
        [stage, *(f"{column[stage]:.2f}" if stage in column else "" for column in columns.values())]
        for stage in order
    ]
    totals = [f"**{sum(column.values()):.2f}**" for column in columns.values()]
    rows.append(["**all**", *totals])
    rows.append(["updates/s", *(f"{f['updates_s']:,}" for f in figures["loads"].values())])
    return table(["µs of CPU an update", *columns], rows)


def _most(stage: str, columns: Mapping[str, Mapping[str, float]]) -> float:
    return max(column.get(stage, 0.0) for column in columns.values())


def _shown(stages: Mapping[str, float]) -> dict[str, float]:
    """Return the stages with those that are too small to show added up."""
    least = sum(stages.values()) * SHOWN_SHARE
    found: dict[str, float] = {}
    for stage, value in stages.items():
        small = SMALL_CORE if stage.startswith(CORE) else SMALL
        name = stage if value >= least else small
        found[name] = found.get(name, 0.0) + value
    return found


def aims(figures: Mapping[str, Any]) -> list[Aim]:
    """Nothing is aimed at by stage."""
    del figures
    return []
