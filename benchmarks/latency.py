"""Latency on Apache Kafka from raw record to z-score, at an exchange's rate and at ten times that.

1,904 contracts, all in the raw topic of one feed: 744 of them come in one burst of eight records,
as the frame of a large exchange does, the others in records of 1 to 20 spread over the period (1 s,
or 0.095 s). Latency is from the moment before a record is encoded and produced to the moment at
which a consumer in another process has its z-score, for those emitted at once. Beside it, at the
same moment and on the same raw records: a bare confluent-kafka loop; after it, with the same
pacing: an empty stock Faust agent and the loop again. Both forward only a key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.arrivals import Arrival, Arrivals, Stamp
from benchmarks.feeding import Feeder, pace, send_history
from benchmarks.load import FEED, Instrument, market
from benchmarks.pipeline import quantile
from benchmarks.platform import BARE_LOOP, EMPTY_AGENT, Platform, Rival, platform
from schemas.clock import now_us
from schemas.partitioning import PARTITIONS
from schemas.times import US_PER_S
from schemas.topics import SETTLEMENTS, ZSCORES, raw_topic

OURS = "fundingstream"
CONTRACTS_EACH = 238
RATES_HZ = {"1,900": 1_900 / (CONTRACTS_EACH * PARTITIONS), "20,000": 10.5}
WARM_UP_S = 5.0
_FIRST_S = 2.0
_SETTLED_S = 300.0
_LAST_S = 1.5
"""After this long without an output, no more are expected."""


class Watched(NamedTuple):
    """A program under measurement, where its outputs appear, and how they tell their time."""

    label: str
    name: str
    topic: str
    stamp: Stamp


class Window(NamedTuple):
    """What one paced span gave."""

    arrivals: dict[str, list[float]]
    cpu_us: dict[str, float]
    updates_s: float
    delays_ms: list[float]


async def _span(
    servers: Platform,
    feeder: Feeder,
    contracts: Sequence[Sequence[Instrument]],
    watched: Sequence[Watched],
    rate_hz: float,
    seconds: float,
) -> Window:
    """Pace the input through running programs and note when their outputs come."""
    topic = raw_topic(FEED)
    await asyncio.to_thread(pace, feeder, contracts, topic, rate_hz, WARM_UP_S)
    watchers = [
        (each, await asyncio.to_thread(Arrivals, servers.settings, each.topic, each.stamp))
        for each in watched
    ]
    for each in watched:
        servers.require(each.name)
    before = {each.label: servers.cpu_s(each.name) for each in watched}
    # Consumers settle down with what comes first.
    first, _ = await asyncio.to_thread(pace, feeder, contracts, topic, rate_hz, _FIRST_S)
    from_us = now_us()
    updates, delays_ms = await asyncio.to_thread(pace, feeder, contracts, topic, rate_hz, seconds)
    took_s = (now_us() - from_us) / US_PER_S
    if any(each.label == OURS for each in watched):
        await servers.drained(topic, _SETTLED_S)
    await _quiet(servers, [each.topic for each in watched])
    cpu_s = {each.label: servers.cpu_s(each.name) - before[each.label] for each in watched}
    found: dict[str, list[float]] = {}
    for each, watcher in watchers:
        arrived: list[Arrival] = await asyncio.to_thread(watcher.end)
        found[each.label] = [a.took_ms for a in arrived if a.sent_us >= from_us]
    cpu_us = {label: value * 1e6 / (first + updates) for label, value in cpu_s.items()}
    return Window(found, cpu_us, updates / took_s, delays_ms)


async def _quiet(servers: Platform, topics: Sequence[str]) -> None:
    """Wait until no more outputs come, so that the latest records of a slow program count."""
    deadline_s = time.monotonic() + _SETTLED_S
    before: list[int] = []
    while time.monotonic() < deadline_s:
        now = [await asyncio.to_thread(servers.records, topic) for topic in topics]
        if now == before:
            return
        before = now
        await asyncio.sleep(_LAST_S)


async def _start_floor(servers: Platform, rival: Rival) -> Watched:
    out = f"{rival.module}.out"
    await asyncio.to_thread(servers.create, [out])
    await servers.start(
        rival.module,
        rival.argv(
            bootstrap=servers.settings.kafka_bootstrap,
            group=rival.module,
            raw=raw_topic(FEED),
            out=out,
            linger_ms=servers.settings.worker_linger_ms,
            directory=servers.directory / rival.module,
        ),
    )
    return Watched(rival.label, rival.module, out, "key")


async def _settle(
    servers: Platform, feeder: Feeder, contracts: Sequence[Sequence[Instrument]]
) -> None:
    sent = await asyncio.to_thread(send_history, feeder, contracts, now_us())
    await servers.drained(raw_topic(FEED), _SETTLED_S)
    taken = await asyncio.to_thread(servers.records, SETTLEMENTS.name)
    assert taken == sent, f"the worker has taken {taken} of {sent} settlements"


async def _measure(seconds: float, *, alone: bool) -> dict[str, list[Window]]:
    contracts = market(CONTRACTS_EACH)
    windows: dict[str, list[Window]] = {}
    async with platform() as servers:
        feeder = Feeder(servers.settings)
        await servers.start_worker(wait=True)
        await _settle(servers, feeder, contracts)
        ours = Watched(OURS, "worker", ZSCORES.name, "zscore")
        floors = [] if alone else [await _start_floor(servers, BARE_LOOP)]
        for rate, rate_hz in RATES_HZ.items():
            window = await _span(servers, feeder, contracts, [ours, *floors], rate_hz, seconds)
            windows[rate] = [window]
        await servers.stop("worker")
        if not alone:
            floors.append(await _start_floor(servers, EMPTY_AGENT))
            for rate, rate_hz in RATES_HZ.items():
                window = await _span(servers, feeder, contracts, floors, rate_hz, seconds)
                windows[rate].append(window)
    return windows


def table(windows: dict[str, list[Window]]) -> dict[str, Any]:
    """Return the figures by name, with fundingstream's ratio to each floor."""
    result: dict[str, Any] = {}
    for rate, spans in windows.items():
        ours = spans[0].arrivals[OURS]
        for number, span in enumerate(spans):
            when = "" if number == 0 else ", 2nd span"
            result[f"{rate}/s{when}: updates/s sent, pacer late ms p99"] = (
                round(span.updates_s),
                round(quantile(span.delays_ms, 0.99), 1),
            )
            for label, took_ms in span.arrivals.items():
                key = f"{rate}/s{when}: {label}"
                if not took_ms:
                    result[f"{key}"] = "nothing came"
                    continue
                p50_ms, p99_ms = quantile(took_ms, 0.5), quantile(took_ms, 0.99)
                result[f"{key}, ms p50 / p99 / n"] = (
                    round(p50_ms, 1),
                    round(p99_ms, 1),
                    len(took_ms),
                )
                result[f"{key}, CPU us an update"] = round(span.cpu_us[label], 1)
                if label != OURS and ours:
                    ratio = round(quantile(ours, 0.99) / p99_ms, 1)
                    result[f"{rate}/s{when}: {OURS} / {label}, by p99"] = ratio
    return result


def run(seconds: float, contracts: int, *, alone: bool = False) -> dict[str, Any]:
    """Measure each rate for `seconds`; `alone`: without the floors."""
    del contracts
    return table(asyncio.run(_measure(seconds, alone=alone)))
