"""Latency from raw record to z-score on Apache Kafka, beside other programs and over a full hour.

2,016 contracts in the raw topic of one feed, half of them beyond |z| = 2, so that each change of
their rates is published at once and a minute has enough z-scores for a p99 (an exchange has one in
ten: more z-scores are more work for the worker). At 1,900 updates a second 744 contracts come in
one burst of eight records, as the frame of a large exchange does, the others in records of 1 to 20
spread over the second. At 20,000 a second all come in records of 63, spread evenly. Latency is
from the moment before a record is encoded and produced until a consumer in another process has its
z-score.

Beside the worker, at the same time and on the same records, runs a loop that only consumes a
record and produces one: the floor on this machine. It is told for each record, and once more
weighted as the z-scores are (each z-score with the loop's time for the same record). The other
programs do the job of rivals/job.py one after the other, on a topic of their own, with a loop of
their own beside them, while fundingstream's worker idles; their producers wait as long for company
(linger) as its does.

For the full hour, event times and receipts are moved ahead so that a full hour falls into the
measured span: the first one is also a settlement time of all contracts.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from benchmarks.arrivals import Arrivals, Stamp
from benchmarks.feeding import Feeder, Paced, Pattern, as_exchanges_send, pace, spread_out
from benchmarks.figures import histogram, quantile
from benchmarks.latency_report import aims, text
from benchmarks.load import FEED, INTERVAL_US, market
from benchmarks.platform import (
    BARE_LOOP,
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
from schemas.clock import now_us
from schemas.errors import UnavailableError
from schemas.partitioning import PARTITIONS
from schemas.times import US_PER_HOUR, US_PER_MINUTE, US_PER_S
from schemas.topics import ZSCORES, raw_topic

__all__ = ["BOUND_S", "TITLE", "add_options", "aims", "measure", "text"]

TITLE = "Latency: raw record to z-score"
BOUND_S = 1_200.0
CONTRACTS_EACH = 252
HIGH_SHARE = 0.5
QUICK_EACH = 100
USUAL_UPDATES_S = 1_900
HEAVY_UPDATES_S = 20_000
HEAVY_RECORD = 63
HOUR_AT_S = 4.0
"""How far into the measured span the full hour falls."""
HOUR_AFTER_S = 8.0
"""How long the span goes on after it."""
JUST_AFTER_S = 2.0
WARM_UP_S = 5.0
_ALL_OUT_S = 10.0
"""So long after the last record outputs may still come."""
_QUIET_S = 1.0
"""After this long without an output, no more are expected."""
_STARTED_S = 45.0
_DRAINED_S = 180.0


class Watched(NamedTuple):
    """A program under measurement, where its outputs appear, and how they tell their time."""

    label: str
    name: str
    topic: str
    stamp: Stamp


class Span(NamedTuple):
    """What one paced span gave. A full hour may have put its records ahead of the clock."""

    arrivals: dict[str, dict[int, list[float]]]
    """By program and time of sending (µs): how many ms each output took."""
    cpu_us: dict[str, float]
    sent: Paced
    seconds: float
    from_us: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--rounds", type=int, help="of each load (3; quick: 1)")
    parser.add_argument("--seconds", type=float, help="of each span at 1,900/s (24; quick: 5)")
    parser.add_argument("--alone", action="store_true", help="without the programs that do less")


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure each load, round by round."""
    rounds = given.rounds or (1 if given.quick else 3)
    seconds = given.seconds or (5.0 if given.quick else 24.0)
    version = None if given.alone else await quixstreams_version()
    rivals = [NAIVE_FAUST] if version is None else [QUIX, NAIVE_FAUST]
    each = QUICK_EACH if given.quick else CONTRACTS_EACH
    contracts = market(each, high_share=HIGH_SHARE)
    usual = as_exchanges_send(contracts, USUAL_UPDATES_S / (each * PARTITIONS))
    heavy = spread_out(contracts, HEAVY_UPDATES_S / (each * PARTITIONS), HEAVY_RECORD)
    async with platform() as servers:
        feeder = Feeder(servers.settings)
        write_statistics(servers, contracts)
        await servers.start_worker(wait=True)
        progress(f"history of {sum(map(len, contracts))} contracts")
        await servers.learn(feeder, contracts, now_us())
        bench = _Bench(servers, feeder)
        await bench.start_floor()
        found: dict[str, list[dict[str, Any]]] = {"1,900/s": [], "20,000/s": [], "others": []}
        for number in range(rounds):
            progress(f"round {number + 1}")
            found["1,900/s"].append(told(await bench.span(usual, seconds)))
            found["20,000/s"].append(told(await bench.span(heavy, seconds * 0.4)))
            if not given.alone:
                for rival in rivals:
                    span = await bench.rival(rival, number, usual, seconds / 3)
                    found["others"].append(told(span))
        found["hour"] = await _hours(bench, usual, rounds)
    return {"quixstreams": version, "loads": found}


async def _hours(bench: _Bench, usual: Pattern, rounds: int) -> list[dict[str, Any]]:
    """Pass full hours one after the other; the first is a settlement time."""
    first = -(-(now_us() + US_PER_MINUTE) // INTERVAL_US) * INTERVAL_US
    found = []
    for number in range(rounds):
        progress(f"full hour {number + 1}")
        hour = first + number * US_PER_HOUR
        span = await bench.span(usual, HOUR_AT_S + HOUR_AFTER_S, hour=hour)
        just_after = [
            took
            for sent_us, times in span.arrivals[OURS].items()
            if hour <= sent_us < hour + JUST_AFTER_S * US_PER_S
            for took in times
        ]
        found.append({**told(span), "just after": histogram(just_after)})
    return found


class _Bench:
    """The running worker with the floor beside it, and spans that both work through."""

    def __init__(self, servers: Platform, feeder: Feeder) -> None:
        self._servers = servers
        self._feeder = feeder
        self._watched = [Watched(OURS, "worker", ZSCORES.name, "zscore")]

    async def start_floor(self) -> None:
        """Start the loop beside the worker."""
        self._watched.append(await self._loop("loop", raw_topic(FEED)))

    async def _loop(self, name: str, raw: str) -> Watched:
        servers, out = self._servers, f"{name}.out"
        await asyncio.to_thread(servers.create, [out])
        await servers.start(
            name,
            BARE_LOOP.argv(
                bootstrap=servers.settings.kafka_bootstrap,
                group=name,
                raw=raw,
                out=out,
                linger_ms=servers.settings.worker_linger_ms,
            ),
        )
        return Watched(BARE_LOOP.label, name, out, "key")

    async def span(self, pattern: Pattern, seconds: float, *, hour: int | None = None) -> Span:
        """Pace a pattern through worker and loop, over a full hour (µs) if one is given."""
        topic = raw_topic(FEED)
        span = await self._span(self._watched, pattern, topic, seconds, hour)
        # What a slow worker has left over would be the next span's.
        await self._servers.drained(topic, _DRAINED_S)
        return span

    async def rival(self, rival: Rival, number: int, pattern: Pattern, seconds: float) -> Span:
        """Start a program and a loop on a topic of their own, pace a pattern through both."""
        servers, name = self._servers, f"{rival.module}-{number}"
        raw = f"bench.raw.{name}"
        await asyncio.to_thread(servers.create, [raw])
        _, zscores = await rival.start_job(servers, name, raw, servers.settings.worker_linger_ms)
        loop = await self._loop(f"loop-{name}", raw)
        try:
            await self._started(pattern, raw, [zscores, loop.topic])
            watched = [Watched(rival.label, name, zscores, "json"), loop]
            return await self._span(watched, pattern, raw, seconds)
        finally:
            await servers.stop(name)
            await servers.stop(loop.name)

    async def _started(self, pattern: Pattern, raw: str, outputs: Sequence[str]) -> None:
        """Pace a pattern until each topic of outputs has grown."""
        deadline_s = time.monotonic() + _STARTED_S
        while not all([await asyncio.to_thread(self._servers.records, out) for out in outputs]):
            if time.monotonic() > deadline_s:
                raise UnavailableError(f"no output on {' or '.join(outputs)}")
            await asyncio.to_thread(pace, self._feeder, pattern, raw, 1.0)

    async def _span(
        self,
        watched: Sequence[Watched],
        pattern: Pattern,
        topic: str,
        seconds: float,
        hour: int | None = None,
    ) -> Span:
        servers = self._servers
        watchers = await asyncio.gather(
            *(asyncio.to_thread(Arrivals, servers.settings, w.topic, w.stamp) for w in watched)
        )
        for each in watched:
            servers.require(each.name)
        ahead_us = 0
        if hour is not None:
            ahead_us = hour - int((WARM_UP_S + HOUR_AT_S) * US_PER_S) - now_us()
        send = partial(pace, self._feeder, pattern, topic, ahead_us=ahead_us)
        # Consumers settle down with what comes first.
        await asyncio.to_thread(send, WARM_UP_S)
        before = [servers.cpu_s(each.name) for each in watched]
        from_us, begun_s = now_us() + ahead_us, time.monotonic()
        sent = await asyncio.to_thread(send, seconds)
        took_s = time.monotonic() - begun_s
        await self._all_out([each.topic for each in watched])
        cpu_us = [
            (servers.cpu_s(each.name) - b) * 1e6 / sent.updates
            for each, b in zip(watched, before, strict=True)
        ]
        arrivals: dict[str, dict[int, list[float]]] = {}
        for each, watcher in zip(watched, watchers, strict=True):
            by_time = arrivals.setdefault(each.label, {})
            for arrival in await asyncio.to_thread(watcher.end):
                if arrival.sent_us >= from_us:
                    took_ms = arrival.took_ms + ahead_us / 1_000
                    by_time.setdefault(arrival.sent_us, []).append(took_ms)
        labels = [each.label for each in watched]
        return Span(arrivals, dict(zip(labels, cpu_us, strict=True)), sent, took_s, from_us)

    async def _all_out(self, topics: Sequence[str]) -> None:
        """Wait until no more outputs come, so that the latest records of a slow program count."""
        deadline_s = time.monotonic() + _ALL_OUT_S
        before: list[int] = []
        while time.monotonic() < deadline_s:
            now = [await asyncio.to_thread(self._servers.records, topic) for topic in topics]
            if now == before:
                return
            before = now
            await asyncio.sleep(_QUIET_S)


def told(span: Span) -> dict[str, Any]:
    """Return a span's figures: a histogram of each program, and the loop's weighted as z-scores."""
    programs: dict[str, Any] = {}
    for label, by_time in span.arrivals.items():
        values = [took for times in by_time.values() for took in times]
        programs[label] = {
            **histogram(values),
            "cpu_us": round(span.cpu_us[label], 1),
            "last_quarter_p50": _last_quarter_p50(span, by_time),
        }
    first, *_ = span.arrivals
    loop = span.arrivals[BARE_LOOP.label]
    same = [
        loop[sent_us][0]
        for sent_us, times in span.arrivals[first].items()
        if sent_us in loop
        for _ in times
    ]
    programs[BARE_LOOP.label]["same_records"] = histogram(same)
    return {
        "program": first,
        "updates_s": round(span.sent.updates / span.seconds),
        "pacer_late_p99_ms": round(quantile(span.sent.delays_ms, 0.99), 1),
        "programs": programs,
    }


def _last_quarter_p50(span: Span, by_time: Mapping[int, Sequence[float]]) -> float | None:
    """Return the median of the last quarter, by time of sending: it tells who falls behind."""
    since = span.from_us + span.seconds * 0.75 * US_PER_S
    late = [took for sent_us, times in by_time.items() if sent_us >= since for took in times]
    return round(quantile(late, 0.5), 1) if late else None
