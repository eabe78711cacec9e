"""Updates a second and CPU of one worker on Apache Kafka, beside naive Faust and quixstreams.

Every contender works off the same backlog, one after the other, with 1, 63 and 420 contracts a
record; 63 contracts a partition (504: an exchange) for the first two, 420 (3,360) for the last. The
backlog's updates are a second apart and lie in the coming hour, so that the worker's flush every
5 s is part of the work and the wall clock's is not. It is measured from the first to the last
record on the contender's topic of rates, by the topic's end offsets, or for `seconds`; CPU is the
process's (librdkafka's threads included) over the same span. fundingstream's worker has 100
settlements and the facts of each contract beforehand. What the rivals leave out of the job is in
rivals/job.py.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.feeding import Feeder, send_backlog, send_history
from benchmarks.load import FEED, Instrument, market
from benchmarks.platform import (
    NAIVE_FAUST,
    QUIX,
    SCHEMA_FILE,
    Platform,
    Rival,
    platform,
    quixstreams_version,
)
from schemas.clock import now_us
from schemas.partitioning import PARTITIONS
from schemas.times import US_PER_HOUR, US_PER_S, hour_floor
from schemas.topics import RATES, SETTLEMENTS, raw_topic

OURS = "fundingstream"


class Size(NamedTuple):
    """Contracts in one record and in one partition, and the backlog in updates."""

    per_record: int
    each: int
    updates: int

    def rounds(self, share: float) -> int:
        """Return the seconds in which a share of the backlog comes at one update a second each."""
        return max(2, round(self.updates * share / (self.each * PARTITIONS)))


SIZES = (Size(1, 63, 30_000), Size(63, 63, 200_000), Size(420, 420, 400_000))
FULL_S = 60.0
"""A measurement of this many seconds has the whole backlog, a shorter one a part of it."""
FIRST_OUTPUT_S = 90.0
STALL_S = 10.0
DRAIN_S = 300.0
_TICK_S = 0.05


class Sample(NamedTuple):
    """How far a contender was at a moment."""

    at_s: float
    records: int
    cpu_s: float


class Speed(NamedTuple):
    """What a contender did."""

    updates: int
    updates_s: float
    cpu_us: float
    complete: bool

    @classmethod
    def between(cls, first: Sample, last: Sample, updates: int, *, complete: bool) -> Speed:
        """Compute it from the first and the last sample; `updates` were published in all."""
        done = last.records - first.records
        if done <= 0:
            return cls(updates, 0.0, 0.0, complete=False)
        return cls(
            updates,
            done / (last.at_s - first.at_s),
            (last.cpu_s - first.cpu_s) * 1e6 / done,
            complete,
        )


async def _sample(servers: Platform, name: str, topic: str, before: int) -> Sample:
    records = await asyncio.to_thread(servers.records, topic)
    return Sample(time.monotonic(), records - before, servers.cpu_s(name))


async def _watch(
    servers: Platform, name: str, topic: str, before: int, expected: int, seconds: float
) -> Speed:
    """Follow a running contender until it has published `expected` records or time is up."""
    begun_s = time.monotonic()
    first = last = None
    grown_s = begun_s
    while True:
        servers.require(name)
        sample = await _sample(servers, name, topic, before)
        if first is None:
            if sample.records > 0:
                first = last = sample
            elif sample.at_s - begun_s > FIRST_OUTPUT_S:
                break
        else:
            assert last is not None
            if sample.records > last.records:
                last, grown_s = sample, sample.at_s
            if (
                sample.records >= expected
                or sample.at_s - first.at_s > seconds
                or sample.at_s - grown_s > STALL_S
            ):
                break
        await asyncio.sleep(_TICK_S)
    if first is None or last is None:
        return Speed(0, 0.0, 0.0, complete=False)
    return Speed.between(first, last, last.records, complete=last.records >= expected)


async def _ours(servers: Platform, expected: int, seconds: float) -> Speed:
    before = await asyncio.to_thread(servers.records, RATES.name)
    await servers.start_worker(wait=False)
    speed = await _watch(servers, "worker", RATES.name, before, expected, seconds)
    # What is left would be measured with the next size.
    await servers.drained(raw_topic(FEED), DRAIN_S)
    await servers.stop("worker")
    return speed


async def _rival(
    servers: Platform, rival: Rival, size: Size, raw: str, expected: int, seconds: float
) -> Speed:
    name = f"{rival.module}-{size.per_record}"
    rates, zscores = f"{name}.rates", f"{name}.zscores"
    await asyncio.to_thread(servers.create, [rates, zscores])
    argv = rival.argv(
        bootstrap=servers.settings.kafka_bootstrap,
        group=name,
        raw=raw,
        rates=rates,
        zscores=zscores,
        schema=SCHEMA_FILE,
        statistics=servers.directory / "statistics.json",
        directory=servers.directory / name,
    )
    await servers.start(name, argv)
    try:
        return await _watch(servers, name, rates, 0, expected, seconds)
    finally:
        await servers.stop(name)


async def _settle(
    servers: Platform, feeder: Feeder, contracts: Sequence[Sequence[Instrument]], received_at: int
) -> None:
    """Run the worker until it has applied the contracts' history, then stop it."""
    before = await asyncio.to_thread(servers.records, SETTLEMENTS.name)
    sent = await asyncio.to_thread(send_history, feeder, contracts, received_at)
    await servers.start_worker(wait=False)
    await servers.drained(raw_topic(FEED), DRAIN_S)
    taken = await asyncio.to_thread(servers.records, SETTLEMENTS.name) - before
    assert taken == sent, f"the worker has taken {taken} of {sent} settlements"
    await servers.stop("worker")


def _write_statistics(servers: Platform, contracts: Sequence[Sequence[Instrument]]) -> None:
    found = {each.contract_id: (each.mean, each.std) for part in contracts for each in part}
    path = servers.directory / "statistics.json"
    path.write_text(json.dumps(found), encoding="utf-8")


async def _measure(seconds: float, rivals: Sequence[Rival]) -> dict[int, dict[str, Speed]]:
    speeds: dict[int, dict[str, Speed]] = {}
    contracts = market(max(size.each for size in SIZES))
    # From the full hour on: no hour ends within a backlog.
    second = (hour_floor(now_us()) + US_PER_HOUR) // US_PER_S
    with_history = 0
    async with platform() as servers:
        feeder = Feeder(servers.settings, linger_ms=20.0)
        _write_statistics(servers, contracts)
        for size in SIZES:
            chosen = [part[: size.each] for part in contracts]
            if size.each > with_history:
                fresh = [part[with_history : size.each] for part in contracts]
                await _settle(servers, feeder, fresh, second * US_PER_S)
                with_history = size.each
            raw = f"bench.raw.{size.per_record}"
            await asyncio.to_thread(servers.create, [raw])
            rounds = size.rounds(min(1.0, seconds / FULL_S))
            expected = await asyncio.to_thread(
                send_backlog,
                *(feeder, chosen, [raw_topic(FEED), raw], size.per_record),
                range(second, second + rounds),
            )
            second += rounds
            found = speeds[size.per_record] = {OURS: await _ours(servers, expected, seconds)}
            for rival in rivals:
                found[rival.label] = await _rival(servers, rival, size, raw, expected, seconds)
    return speeds


def table(speeds: dict[int, dict[str, Speed]]) -> dict[str, Any]:
    """Return the figures by name, each rival's with fundingstream's ratio to it."""
    result: dict[str, Any] = {}
    for per_record, found in speeds.items():
        ours = found[OURS]
        for label, speed in found.items():
            key = f"{per_record} a record: {label}"
            result[f"{key}, updates/s, CPU us each"] = (
                round(speed.updates_s),
                round(speed.cpu_us, 1),
            )
            if not speed.complete:
                result[f"{key}, of the backlog done"] = speed.updates
            if label != OURS and speed.updates_s:
                result[f"{per_record} a record: {OURS} / {label}, by updates/s, by CPU"] = (
                    round(ours.updates_s / speed.updates_s, 1),
                    round(speed.cpu_us / ours.cpu_us, 1) if ours.cpu_us else None,
                )
    return result


def run(seconds: float, contracts: int, *, alone: bool = False) -> dict[str, Any]:
    """Measure each contender for at most `seconds`; `alone`: fundingstream's worker only."""
    del contracts
    result: dict[str, Any] = {}
    rivals: list[Rival] = [] if alone else [NAIVE_FAUST]
    if not alone:
        version = asyncio.run(quixstreams_version())
        if version is None:
            result["quixstreams"] = "not measured: it is not installed in .venv-bench (make bench)"
        else:
            result["quixstreams, version"] = version
            rivals.append(QUIX)
    return result | table(asyncio.run(_measure(seconds, rivals)))
