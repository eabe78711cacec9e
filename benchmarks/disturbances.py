"""What a disturbance of one of several workers costs: rows lost, rows different, silence.

Two or three workers share the partitions of a steady load. Again and again something happens to one
of them; then the silence of each partition is measured, the longest time without a new rate.
Afterwards a worker that nobody disturbs reads the same raw log, and every published record must be
equal to one of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.crew import RESTART_DELAY_S, Crew, eventually
from benchmarks.load import FEED
from benchmarks.platform import Platform, platform
from benchmarks.running import progress
from benchmarks.steady_load import Arrivals, SteadyLoad, silence_us
from infra.kafka.lag import LagReader
from infra.kafka.topic_reader import Span, read_topic, topic_ends
from infra.replay import compare, run_second_worker
from schemas.clock import now_us
from schemas.kafka.admin import ensure_topics
from schemas.partitioning import PARTITIONS
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_S
from schemas.topics import DEAD_LETTERS, TopicSpec, changelog_topic_spec, raw_topic
from stream_app.worker.output_producer import PUBLISHED
from stream_app.worker.tables import TABLES

CURRENT_US = US_PER_S
"""A partition whose newest rate is younger than this is processed again."""
FROZEN_S = 12.0
"""Longer than a session."""
GONE_S = 8.0
"""After which a worker that was killed for good is started again."""
SETTLED_S = 1.5
"""How long all partitions must have been current before the next disturbance."""
DRAIN_S = 120.0
REPLAY_S = 600.0
_ALWAYS = Span(0, 1 << 62)


@dataclass
class Found:
    """What one kind of disturbance led to."""

    kind: str
    workers: int
    times: int = 0
    lost: int = 0
    different: int = 0
    hit_s: list[float] = field(default_factory=list)
    """Silences of partitions of the worker that was hit (of all, if that is Kafka)."""
    other_s: list[float] = field(default_factory=list)
    """Of the others."""
    ended: list[str] = field(default_factory=list)
    """Workers that ended by themselves, with what they said last."""
    examples: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return a row of the table."""
        figures = (
            f"{median(silences):.1f} / {max(silences):.1f}" if silences else "–"
            for silences in (self.hit_s, self.other_s)
        )
        cells = (self.kind, self.workers, self.times, self.lost, self.different, *figures)
        return f"| {' | '.join(map(str, cells))} |"


HEADER = (
    "| disturbance | workers | times | rows lost | rows different | its partitions silent, s, "
    "p50 / max | the others |\n|---|---|---|---|---|---|---|"
)


class Plan(NamedTuple):
    """One scene."""

    workers: int
    kinds: Sequence[str]
    times: int
    """Of each kind."""
    contracts_each: int
    """Of a partition."""
    seed: int
    logs: Path | None = None
    """A directory for what the workers say."""


class Scene:
    """Running workers with a load."""

    def __init__(self, stage: Platform, plan: Plan) -> None:
        self.stage = stage
        self.workers = plan.workers
        self.crew = Crew(stage, plan.logs)
        self.load = SteadyLoad(stage.settings, plan.contracts_each, plan.seed)
        self.arrivals = Arrivals(stage.settings)
        self.chance = random.Random(plan.seed)

    async def begin(self) -> None:
        """Start the load, then worker after worker."""
        await asyncio.to_thread(self.load.prepare)
        self.arrivals.start()
        self.load.start()
        for number in range(self.workers):
            await self.crew.start(number)
        await self.settled()

    async def settled(self) -> None:
        """Wait until every partition has been processed without delay for a while."""
        quiet_from_us = now_us()

        def calm() -> bool:
            nonlocal quiet_from_us
            if any(self.arrivals.behind_us(p) > CURRENT_US for p in range(PARTITIONS)):
                quiet_from_us = now_us()
            return now_us() - quiet_from_us > SETTLED_S * US_PER_S

        await eventually(calm, "all partitions are processed without delay")

    async def disturb(self, kind: str, found: Found) -> None:
        """Let one disturbance happen, and measure its silences when it is over."""
        number = self.chance.choice(self.crew.numbers)
        hit = await self.crew.partitions_of(number, FEED)
        # Each comes at another point of the second in which the workers flush.
        await asyncio.sleep(self.chance.random())
        began_us = now_us()
        await KINDS[kind](self.crew, number)
        await self.settled()
        ended_us = now_us()
        if kind in {"broker", "rolling", "join"}:
            hit = set(range(PARTITIONS))
        for partition in range(PARTITIONS):
            silence = silence_us(self.arrivals.of[partition], began_us, ended_us) / US_PER_S
            (found.hit_s if partition in hit else found.other_s).append(silence)
        found.times += 1
        await self._restore()

    async def _restore(self) -> None:
        """Bring the number of workers back to what it was."""
        running = self.crew.numbers
        for number in range(self.workers):
            if number not in running:
                await self.crew.start(number)
        for number in running:
            if number >= self.workers:
                await self.crew.stop(number)
        await self.settled()

    async def end(self) -> None:
        """Stop the load, let all be processed, stop the workers."""
        await asyncio.to_thread(self.load.finish)
        self.arrivals.finish()
        await drained(self.stage)
        for number in self.crew.numbers:
            await self.crew.stop(number)


async def _join(crew: Crew, _number: int) -> None:
    await crew.start(max(crew.numbers) + 1)


async def _leave(crew: Crew, number: int) -> None:
    await crew.stop(number)


async def _kill(crew: Crew, number: int) -> None:
    """It is started again at once, as the supervisor of `fundingstream up` does."""
    await crew.kill(number)
    await asyncio.sleep(RESTART_DELAY_S)
    await crew.start(number)


async def _gone(crew: Crew, number: int) -> None:
    """Nobody starts it again."""
    await crew.kill(number)
    await asyncio.sleep(GONE_S)


async def _freeze(crew: Crew, number: int) -> None:
    crew.freeze(number)
    await asyncio.sleep(FROZEN_S)
    crew.thaw(number)


async def _rolling(crew: Crew, _number: int) -> None:
    for number in crew.numbers:
        await crew.stop(number)
        await crew.start(number)


async def _broker(crew: Crew, _number: int) -> None:
    await crew.restart_broker()


KINDS: dict[str, Callable[[Crew, int], Awaitable[None]]] = {
    "join": _join,
    "leave": _leave,
    "kill": _kill,
    "gone": _gone,
    "freeze": _freeze,
    "rolling": _rolling,
    "broker": _broker,
}


async def drained(stage: Platform) -> None:
    """Wait until the group has committed all of the raw log."""
    with closing(LagReader(stage.settings, stage.settings.worker_id)) as reader:
        await reader.wait([raw_topic(FEED)], DRAIN_S)


async def compared(stage: Platform, spans: Sequence[tuple[Found, Span]]) -> None:
    """Run a worker that nobody disturbs over the same log; count differences by their time."""
    settings = stage.settings.model_copy(update={"worker_max_ahead_s": 86_400.0})
    name = f"{settings.worker_id}-undisturbed"
    prefix = f"{name}."
    own = [
        *(TopicSpec(prefix + t.name, None, t.partitions, t.config) for t in PUBLISHED),
        TopicSpec(prefix + DEAD_LETTERS.name, None, config=DEAD_LETTERS.config),
        *(changelog_topic_spec(name, table) for table in TABLES),
    ]
    await asyncio.to_thread(ensure_topics, settings, own)
    await run_second_worker(settings, name, prefix, REPLAY_S, owing=False)
    catalog = SchemaCatalog(settings)
    for topic in PUBLISHED:
        assert topic.record_type is not None
        decode = catalog.decoder(topic.record_type).decode

        def records(of: str, decode: Any = decode) -> list[dict[str, Any]]:
            ends = topic_ends(settings, of, PARTITIONS)
            return list(read_topic(settings, of, decode, _ALWAYS, ends))

        ours, other = await asyncio.gather(
            asyncio.to_thread(records, topic.name), asyncio.to_thread(records, prefix + topic.name)
        )
        for found, span in spans:
            within = [[r for r in some if span.holds(r)] for some in (ours, other)]
            result = compare(topic.name, *within)
            found.different += result.missing
            found.lost += result.extra
            found.examples += [f"{topic.name} {example}" for example in result.examples]


async def measure(plan: Plan) -> list[Found]:
    """Run one scene: each kind of disturbance so many times, then the comparison."""
    async with platform() as stage:
        scene = Scene(stage, plan)
        await scene.begin()
        found, begun = [], []
        for kind in plan.kinds:
            found.append(Found(kind, plan.workers))
            begun.append(now_us())
            for number in range(plan.times):
                before = len(scene.crew.ended)
                await scene.disturb(kind, found[-1])
                found[-1].ended += scene.crew.ended[before:]
                progress(f"{plan.workers} workers, {kind} {number + 1} of {plan.times}")
        await scene.end()
        progress(f"{scene.load.updates:,} updates; comparing with an undisturbed run")
        # Nothing that was published lies outside: the first span begins and the last ends never.
        edges = [_ALWAYS.from_us, *begun[1:], _ALWAYS.to_us]
        spans = [Span(*edge) for edge in pairwise(edges)]
        await compared(stage, list(zip(found, spans, strict=True)))
    return found


def main(argv: Sequence[str]) -> int:
    """Run the benchmark; 1 if a row is lost or different."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks disturbances", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 3], metavar="N")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--times", type=int, default=10, help="of each kind")
    parser.add_argument("--contracts", type=int, default=20, help="of each partition")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logs", type=Path, help="directory for what the workers say")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    arguments = parser.parse_args(argv)
    if arguments.logs is not None:
        arguments.logs.mkdir(parents=True, exist_ok=True)
    results: list[Found] = []
    for workers in arguments.workers:
        plan = Plan(
            workers,
            arguments.kinds,
            arguments.times,
            arguments.contracts,
            arguments.seed,
            arguments.logs,
        )
        results += asyncio.run(measure(plan))
    if arguments.json:
        print(json.dumps([asdict(found) for found in results], indent=2))
    else:
        print(HEADER)
        print("\n".join(found.line() for found in results))
        print("\n".join(line for each in results for line in (*each.ended, *each.examples)))
    return int(any(found.lost or found.different for found in results))
