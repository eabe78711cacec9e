"""Updates a second and CPU time of one worker on Apache Kafka, beside other programs.

All work off the same backlog on the same broker: fundingstream's worker with all that it does
(order, bars, windows, audit, Avro, state on changelogs), and three that do less (rivals/job.py:
decode, deduplicate, keep a state for each contract, score, publish JSON): Faust as its
documentation teaches it, quixstreams, and a confluent-kafka loop without any state that survives
it. They run one after the other, round by round (ours, rival, rival, rival, ours, ...), each round
with a backlog of its own. Records have 1, 63 or 420 contracts; a partition has 63 contracts for
the first, 420 for the others. The backlog's updates of a contract are a second apart and pass no
full hour; its settlements of 30 days are loaded before. Measured is from a program's first output
to its last, or for some seconds, by the end of its topic of rates; CPU time is that of its
process, all threads and children included. Ratios are those of the same round.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.feeding import Feeder, send_backlog
from benchmarks.figures import shown, spread
from benchmarks.load import FEED, Instrument, market
from benchmarks.platform import (
    BARE_JOB,
    NAIVE_FAUST,
    OURS,
    QUIX,
    Platform,
    Rival,
    platform,
    quixstreams_version,
    write_statistics,
)
from benchmarks.running import progress
from benchmarks.speed import Speed, follow
from benchmarks.tables import Aim, table
from schemas.clock import now_us
from schemas.partitioning import PARTITIONS
from schemas.times import US_PER_HOUR, US_PER_S, hour_floor
from schemas.topics import RATES, raw_topic

TITLE = "One worker beside others: throughput"
BOUND_S = 1_500.0
QUICK_SHARE = 0.2
"""Of a backlog."""
QUICK_EACH = 63
LINGER_MS = 20.0
"""Of the rivals' producers: with their defaults (none) they would do worse."""
DRAINED_WITHIN_S = 120.0
MIN_UPDATES_S = 100_000
MAX_CPU_US = 10.0
MIN_RATIO = {1: 1.0, 63: 3.0, 420: 3.0}
"""To quixstreams, by contracts a record."""


class Size(NamedTuple):
    """Contracts in one record and in one partition, and a round's backlog in updates."""

    per_record: int
    each: int
    updates: int

    def seconds(self, share: float) -> int:
        """Return in how many seconds a share of the backlog comes, one update each a second."""
        return max(2, round(self.updates * share / (self.each * PARTITIONS)))


SIZES = (Size(1, 63, 150_000), Size(63, 420, 450_000), Size(420, 420, 450_000))


def sizes_of(given: argparse.Namespace) -> list[Size]:
    """Return the sizes that are asked for; of a quick run with fewer contracts."""
    sizes = [size for size in SIZES if size.per_record in given.sizes]
    if not given.quick:
        return sizes
    return [size._replace(each=max(QUICK_EACH, size.per_record)) for size in sizes]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--rounds", type=int, help="of each program and size (3; quick: 1)")
    parser.add_argument("--seconds", type=float, help="a measurement takes at most (5; quick: 3)")
    parser.add_argument("--sizes", type=int, nargs="+", choices=[s.per_record for s in SIZES],
                        default=[s.per_record for s in SIZES])  # fmt: skip
    parser.add_argument("--alone", action="store_true", help="without the rivals")


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run all programs, round by round, and return what each did in each."""
    rivals: list[Rival] = [] if given.alone else [NAIVE_FAUST, BARE_JOB]
    version = None if given.alone else await quixstreams_version()
    if version is not None:
        rivals.insert(1, QUIX)
    rounds = given.rounds or (1 if given.quick else 3)
    seconds = given.seconds or (3.0 if given.quick else 5.0)
    sizes = sizes_of(given)
    contracts = market(max(size.each for size in sizes))
    found: dict[str, Any] = {}
    async with platform() as servers:
        feeder = Feeder(servers.settings, linger_ms=20.0)
        write_statistics(servers, contracts)
        race = _Race(servers, feeder, rivals, seconds, QUICK_SHARE if given.quick else 1.0)
        for size in sizes:
            chosen = [part[: size.each] for part in contracts]
            await race.learn(chosen)
            runs: dict[str, list[dict[str, Any]]] = {}
            for number in range(rounds):
                for label, speed in (await race.round(size, number, chosen)).items():
                    runs.setdefault(label, []).append(speed._asdict())
            found[str(size.per_record)] = runs
    return {"sizes": found, "quixstreams": version, "seconds": seconds}


class _Race:
    """The programs on one broker; each round's backlog follows the one before in time."""

    def __init__(
        self,
        servers: Platform,
        feeder: Feeder,
        rivals: Sequence[Rival],
        seconds: float,
        share: float,
    ) -> None:
        self._servers = servers
        self._feeder = feeder
        self._rivals = rivals
        self._seconds = seconds
        self._share = share
        # From the full hour on: no hour ends within the backlogs.
        self._second = (hour_floor(now_us()) + US_PER_HOUR) // US_PER_S
        self._known: set[str] = set()

    async def learn(self, contracts: Sequence[Sequence[Instrument]]) -> None:
        """Have the worker take the history of the contracts that it does not know yet."""
        fresh = [[one for one in part if one.symbol not in self._known] for part in contracts]
        if any(fresh):
            progress(f"history of {sum(map(len, fresh))} contracts")
            await self._servers.start_worker(wait=True)
            await self._servers.learn(self._feeder, fresh, self._second * US_PER_S)
            await self._servers.stop("worker")
        self._known |= {one.symbol for part in contracts for one in part}

    async def round(
        self, size: Size, number: int, contracts: Sequence[Sequence[Instrument]]
    ) -> dict[str, Speed]:
        """Send a backlog and have every program work it off."""
        servers, name = self._servers, f"{size.per_record}-{number}"
        raw = f"bench.raw.{name}"
        await asyncio.to_thread(servers.create, [raw])
        seconds = size.seconds(self._share)
        span = range(self._second, self._second + seconds)
        self._second += seconds
        topics = [raw_topic(FEED), raw]
        expected = await asyncio.to_thread(
            send_backlog, self._feeder, contracts, topics, size.per_record, span
        )
        found = {OURS: await self._ours(expected)}
        for rival in self._rivals:
            found[rival.label] = await self._rival(rival, f"{rival.module}-{name}", raw, expected)
        told = ", ".join(f"{label} {speed.updates_s:,.0f}" for label, speed in found.items())
        progress(f"{size.per_record} a record, round {number + 1}: updates/s of {told}")
        return found

    async def _ours(self, expected: int) -> Speed:
        servers = self._servers
        before = await asyncio.to_thread(servers.records, RATES.name)
        await servers.start_worker(wait=False)
        followed = await follow(
            servers, "worker", RATES.name, expected, self._seconds, before=before
        )
        # What is left would be measured with the next round.
        await servers.drained(raw_topic(FEED), DRAINED_WITHIN_S)
        await servers.stop("worker")
        return followed.speed

    async def _rival(self, rival: Rival, name: str, raw: str, expected: int) -> Speed:
        rates, _ = await rival.start_job(self._servers, name, raw, LINGER_MS)
        try:
            followed = await follow(self._servers, name, rates, expected, self._seconds)
            return followed.speed
        finally:
            await self._servers.stop(name)


def text(figures: Mapping[str, Any]) -> str:
    """Return the figures as tables."""
    labels = list(dict.fromkeys(label for runs in figures["sizes"].values() for label in runs))
    heads = [_called(label, figures["quixstreams"]) for label in labels]
    speed, cpu, ratio = [], [], []
    for size, runs in figures["sizes"].items():
        speed.append([size, *(shown(_spread(runs.get(label), "updates_s", 0)) for label in labels)])
        cpu.append([size, *(shown(_spread(runs.get(label), "cpu_us", 1)) for label in labels)])
        ratio.append([size, *(shown(_ratio(runs, label), 1) for label in labels if label != OURS)])
    tables = [
        "Updates a second, median of the rounds (least-greatest):",
        table(["contracts a record", *heads], speed),
        "µs of CPU an update:",
        table(["contracts a record", *heads], cpu),
    ]
    if len(labels) > 1:
        others = [head for head, label in zip(heads, labels, strict=True) if label != OURS]
        tables += [
            f"{OURS}'s updates a second as a multiple of the others' in the same round:",
            table(["contracts a record", *others], ratio),
        ]
    if figures["quixstreams"] is None:
        tables.append("quixstreams was not measured: it was not installed in `.venv-bench`.")
    return "\n\n".join(tables)


def _called(label: str, version: str | None) -> str:
    return f"{label} {version}" if label == QUIX.label and version else label


def _spread(runs: Sequence[Mapping[str, Any]] | None, field: str, digits: int) -> Any:
    return spread([run[field] for run in runs or () if run["updates_s"]], digits)


def _ratio(runs: Mapping[str, Sequence[Mapping[str, Any]]], rival: str) -> Any:
    """Return how much faster ours is than a rival, round by round."""
    pairs = zip(runs[OURS], runs.get(rival, ()), strict=False)
    return spread(
        [ours["updates_s"] / theirs["updates_s"] for ours, theirs in pairs if theirs["updates_s"]],
        2,
    )


def aims(figures: Mapping[str, Any]) -> list[Aim]:
    """Return what was aimed at, with what was measured."""
    found = []
    for size, runs in figures["sizes"].items():
        if int(size) > 1:
            speed, cpu = _spread(runs[OURS], "updates_s", 0), _spread(runs[OURS], "cpu_us", 1)
            is_met = bool(speed) and speed["median"] >= MIN_UPDATES_S
            is_met = is_met and cpu["median"] <= MAX_CPU_US
            aim = f"≥ {MIN_UPDATES_S:,} updates/s, ≤ {MAX_CPU_US:g} µs of CPU"
            measured = f"{shown(speed)}/s, {shown(cpu, 1)} µs"
            found.append(Aim(f"{size} contracts a record", aim, measured, is_met))
        ratio = _ratio(runs, QUIX.label)
        if ratio is not None:
            least = MIN_RATIO[int(size)]
            what = f"{size} a record, beside {QUIX.label}"
            is_met = ratio["median"] >= least
            found.append(Aim(what, f"≥ {least:g} ×", f"{shown(ratio, 1)} ×", is_met))
    return found
