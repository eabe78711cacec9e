"""`python -m benchmarks sink-faults`: rows missing and stored twice, whatever is killed.

Numbered rates and z-scores are published steadily, as many as a desk's 1,900 contracts make. Under
that load ClickHouse is away three times (SIGTERM, kill -9, kill -9), one sink is killed with -9 at
random moments, and then one of two and of three sinks, which comes back at once or only after the
others have its partitions. After each phase every number that was published is looked for. The
tables are not merged meanwhile, so that the two guards against doubles are told apart: what the
deduplication token did not catch is a row twice without FINAL, and what the key of the table did
not catch is a row twice with FINAL. What the token caught are the inserts that the server dropped;
its counter is calibrated by a repeated insert first. What the counter had reached between its last
reading and a kill of the server is not known. At the end two of 20,000 rows are poison: one cannot
be read, the other is refused by ClickHouse.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from confluent_kafka import Consumer

from benchmarks.running import progress
from benchmarks.sink_rows import TOPICS, Publisher, SteadyRows, above_zero, at_least_one, record
from benchmarks.sink_servers import SinkServers, sink_servers
from benchmarks.tables import table
from infra.kafka.lag import LagReader
from schemas.clock import now_us
from schemas.errors import StateError
from schemas.serde.codec import HEADER_BYTES, Encoder
from schemas.topics import DEAD_LETTERS
from stream_app.sink.avro_container import container, container_header
from stream_app.sink.clickhouse import connect, insert_settings
from stream_app.sink.tables import DATABASE, TABLES

GROUP = "sink-faults"
OUTAGES = (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL)
SINKS = (2, 3)
AWAY_S = 9.0
"""Longer than a session of the group: the others take over."""
POISON_ROWS = 10_000
REFUSED_SYMBOL = "REFUSED"
_STEADY_S = 3.0
_KILLED_WITHIN_S = (0.2, 4.0)
_DRAINED_WITHIN_S = 180.0
_LETTERS_WITHIN_S = 30.0
_FRESH_LEVEL = 1
"""Of a part as it was inserted; a merged one has a greater level."""
_SPECS = [spec for spec in TABLES if spec.topic in TOPICS]
_COUNTER = "SELECT value FROM system.events WHERE event = 'DuplicatedInsertedBlocks'"
_UNMERGED = "MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1"
_CONSTRAINT = "refused_by_benchmark"
_REASON_CHARS = 100
"""Of a reason, in the table; --json has all of it."""


class Plan(NamedTuple):
    """What is done."""

    rate: float
    outage_s: float
    kills: int
    group_kills: int
    seed: int


@dataclass
class Found:
    """What a phase led to."""

    phase: str
    sinks: int
    published: int = 0
    missing: int = 0
    twice: int = 0
    twice_final: int = 0
    caught: float = 0.0
    drained_s: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing is missing or twice; several sinks may need the tables' keys for it."""
        return not (self.missing or self.twice_final or (self.twice and self.sinks == 1))


@dataclass
class Poisoned:
    """What became of a row that cannot be stored."""

    kind: str
    published: int
    stored: int
    letters: int
    reason: str

    @property
    def good(self) -> bool:
        """Whether all others are stored and this one is kept with a reason."""
        return self.stored == self.published - 1 and self.letters == 1 and bool(self.reason)


class Scene:
    """The servers, the sinks and the load."""

    def __init__(self, servers: SinkServers, plan: Plan) -> None:
        self._servers = servers
        self._plan = plan
        self._chance = random.Random(plan.seed)
        self._publisher = Publisher(servers.settings)
        self._counted = 0
        """The server's counter at its last reading."""
        self._caught_blocks = 0
        self._blocks_each = 1
        """By how much the counter grows with one repeated insert."""

    async def begin(self) -> None:
        """Calibrate the counter, then make the tables anew and keep them from being merged."""
        self._blocks_each = await asyncio.to_thread(self._calibrated)
        await self._servers.empty()
        for spec in _SPECS:
            await self._servers.rows(f"ALTER TABLE {spec.full_name} {_UNMERGED}")
        await self._read_counter()
        self._caught_blocks = 0
        await self._servers.start_sink("sink-1", GROUP)

    async def outages(self) -> Found:
        """ClickHouse is away three times."""
        found, first = Found(f"ClickHouse away {self._plan.outage_s:g} s, 3 times", 1), self._next
        with SteadyRows(self._publisher, self._plan.rate):
            for number in OUTAGES:
                await asyncio.sleep(_STEADY_S)
                await self._read_counter()
                await self._servers.stop_clickhouse(number)
                progress(f"ClickHouse has ended by {number.name}")
                await asyncio.sleep(self._plan.outage_s)
                await self._servers.start_clickhouse()
                self._counted = 0
                await asyncio.sleep(_STEADY_S)
        return await self._ended(found, first)

    async def kills(self) -> Found:
        """The only sink is killed at random moments after its start."""
        found, first = Found(f"the sink killed {self._plan.kills} times", 1), self._next
        with SteadyRows(self._publisher, self._plan.rate):
            for number in range(self._plan.kills):
                await asyncio.sleep(self._chance.uniform(*_KILLED_WITHIN_S))
                await self._servers.end("sink-1", signal.SIGKILL)
                await self._servers.start_sink("sink-1", GROUP)
                progress(f"killed {number + 1} of {self._plan.kills}")
        return await self._ended(found, first)

    async def group(self, sinks: int) -> Found:
        """One of several sinks is killed, again and again; each second time it stays away."""
        for number in range(2, sinks + 1):
            if f"sink-{number}" not in self._servers.stage.supervisor.pids:
                await self._servers.start_sink(f"sink-{number}", GROUP)
        what = f"one of {sinks} sinks killed {self._plan.group_kills} times"
        found, first = Found(what, sinks), self._next
        with SteadyRows(self._publisher, self._plan.rate):
            for number in range(self._plan.group_kills):
                await asyncio.sleep(self._chance.uniform(*_KILLED_WITHIN_S))
                victim = f"sink-{self._chance.randint(1, sinks)}"
                await self._servers.end(victim, signal.SIGKILL)
                await asyncio.sleep(AWAY_S if number % 2 else 0.0)
                await self._servers.start_sink(victim, GROUP)
                progress(f"killed {victim}, {number + 1} of {self._plan.group_kills}")
        return await self._ended(found, first)

    async def poison(self, kind: str) -> Poisoned:
        """Publish 9,999 good rows and one that is not."""
        rates = _SPECS[0]
        if kind == "refused":
            condition = f"CHECK symbol != '{REFUSED_SYMBOL}'"
            await self._servers.rows(
                f"ALTER TABLE {rates.full_name} ADD CONSTRAINT {_CONSTRAINT} {condition}"
            )
        letters_before = len(await asyncio.to_thread(self._letters, 0))
        first, half = self._next, POISON_ROWS // 2
        await asyncio.to_thread(self._publisher.publish, half)
        row, now = record(0, now_us()), now_us()
        if kind == "refused":
            value = self._publisher.encoded(0, row | {"symbol": REFUSED_SYMBOL, "raw_offset": -1})
        else:
            value = self._publisher.encoded(0, row)[:-4]
        self._publisher.send(0, row["contract_id"], value, now)
        await asyncio.to_thread(self._publisher.publish, POISON_ROWS - half - 1)
        await asyncio.to_thread(self._publisher.flush)
        await self._drained()
        stored, _ = await self._stored_and_twice(first, final=False)
        letters = await asyncio.to_thread(self._letters, letters_before + 1)
        reason = letters[-1] if len(letters) > letters_before else ""
        return Poisoned(kind, POISON_ROWS, stored, len(letters) - letters_before, reason)

    @property
    def _next(self) -> int:
        return self._publisher.count

    async def _ended(self, found: Found, first: int) -> Found:
        """Wait until all is stored and confirmed, then count."""
        found.published = self._next - first
        found.drained_s = round(await self._drained(), 1)
        stored, twice = await self._stored_and_twice(first, final=False)
        _, found.twice_final = await self._stored_and_twice(first, final=True)
        found.missing, found.twice = found.published - stored, twice
        await self._read_counter()
        found.caught = round(self._caught_blocks / self._blocks_each, 1)
        self._caught_blocks = 0
        await self._check_unmerged()
        progress(f"{found}")
        return found

    async def _drained(self) -> float:
        """Wait until the group has confirmed everything; return how long that took."""
        begun_s = time.monotonic()
        with closing(LagReader(self._servers.settings, GROUP)) as reader:
            await reader.wait(
                [topic.name for topic in TOPICS],
                _DRAINED_WITHIN_S,
                still=lambda _left: self._servers.stage.require("sink-1"),
            )
        return time.monotonic() - begun_s

    async def _stored_and_twice(self, first: int, *, final: bool) -> tuple[int, int]:
        """Return how many of the rows from this number on are stored, and how many rows too many.

        With FINAL as a query with FINAL shows them, else as they lie on the disk.
        """
        stored = twice = 0
        for spec in _SPECS:
            ((rows, distinct),) = await self._servers.rows(
                f"SELECT count(), uniqExact(raw_offset) FROM {spec.full_name} "
                f"{'FINAL' if final else ''} WHERE raw_offset >= {{first:Int64}}",
                {"first": first},
            )
            stored, twice = stored + distinct, twice + rows - distinct
        return stored, twice

    async def _read_counter(self) -> None:
        """Take over what the server's counter has grown by; it begins at 0 with each server."""
        now = await asyncio.to_thread(self._counter)
        self._caught_blocks += now - self._counted
        self._counted = now

    def _counter(self) -> int:
        return sum(value for (value,) in self._servers.ask(_COUNTER))

    def _calibrated(self) -> int:
        """Insert one row twice under one token; return by how much the counter has grown.

        Raises:
            StateError: it has not: the server does not know tokens, or does not count them.
        """
        spec, before = _SPECS[0], self._counter()
        body = Encoder(spec.record_type, 1).encode(record(0, now_us()))[HEADER_BYTES:]
        data = container(container_header(spec.record_type.text), [body])
        with closing(connect(self._servers.settings)) as client:
            sent = {**insert_settings(client), "insert_deduplication_token": GROUP}
            for _ in range(2):
                columns = list(spec.record_type.fields)
                client.raw_insert(spec.full_name, columns, data, fmt="Avro", settings=sent)
        grown = self._counter() - before
        if grown <= 0:
            raise StateError("ClickHouse has not counted a repeated insert as one")
        return grown

    async def _check_unmerged(self) -> None:
        """Check that no double has been removed by a merge.

        Raises:
            StateError: there was one.
        """
        ((level,),) = await self._servers.rows(
            "SELECT max(level) FROM system.parts WHERE database = {database:String} "
            "AND table IN {names:Array(String)}",
            {"database": DATABASE, "names": [spec.name for spec in _SPECS]},
        )
        if level > _FRESH_LEVEL:
            raise StateError("ClickHouse has merged parts: doubles cannot be counted")

    def _letters(self, count: int) -> list[str]:
        """Return the reasons of all dead letters; wait until there are that many."""
        settings = self._servers.settings
        consumer: Any = Consumer(
            {
                **settings.quiet_librdkafka(),
                "group.id": f"{GROUP}-letters-{count}-{time.monotonic_ns()}",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        consumer.subscribe([DEAD_LETTERS.name])
        found, ended = [], set[int]()
        until_s = time.monotonic() + _LETTERS_WITHIN_S
        while time.monotonic() < until_s:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error() is None:
                found.append(dict(message.headers())["error"].decode())
            else:
                ended.add(message.partition())
            if len(found) >= count and len(ended) == DEAD_LETTERS.partitions:
                break
        consumer.close()
        return found


async def measure(plan: Plan) -> tuple[list[Found], list[Poisoned]]:
    """Run all phases."""
    async with sink_servers() as servers:
        scene = Scene(servers, plan)
        await scene.begin()
        found = [await scene.outages(), await scene.kills()]
        found += [await scene.group(sinks) for sinks in SINKS]
        return found, [await scene.poison(kind) for kind in ("unreadable", "refused")]


def text(found: Sequence[Found], poisoned: Sequence[Poisoned]) -> str:
    """Return the result as Markdown."""
    rows = [
        [
            each.phase,
            f"{each.published:,}",
            each.missing,
            each.twice,
            each.twice_final,
            f"{each.caught:g}",
            f"{each.drained_s:g}",
        ]
        for each in found
    ]
    head = ["phase", "rows published", "missing", "twice without FINAL", "twice with FINAL",
            "inserts that the token caught", "s until all was stored"]  # fmt: skip
    poison = [
        [each.kind, f"{each.published:,}", f"{each.stored:,}", each.letters, _cell(each.reason)]
        for each in poisoned
    ]
    poison_head = ["poison", "rows published", "stored", "dead letters", "reason"]
    return f"{table(head, rows)}\n\n{table(poison_head, poison)}"


def _cell(reason: str) -> str:
    """Return what a server said as code in a table."""
    shown = reason if len(reason) <= _REASON_CHARS else f"{reason[:_REASON_CHARS]}…"
    return f"`{shown.replace('`', '').replace('|', '/')}`"


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; 1 if a row is missing, twice where it must not be, or not explained."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks sink-faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rate", type=above_zero, help="rows/s of both topics together (2000)")
    parser.add_argument("--outage-s", type=above_zero, help="ClickHouse is away (60; quick: 5)")
    parser.add_argument("--kills", type=at_least_one, help="of the only sink (20; quick: 3)")
    parser.add_argument("--group-kills", type=at_least_one, help="of each group (8; quick: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    parser.add_argument("--quick", action="store_true", help="a small part, to see that it runs")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--save", action="store_true", help="keep it in docs/benchmarks.json")
    given = parser.parse_args(arguments)
    plan = Plan(
        given.rate or 2_000.0,
        given.outage_s or (5.0 if given.quick else 60.0),
        given.kills or (3 if given.quick else 20),
        given.group_kills or (2 if given.quick else 8),
        given.seed,
    )
    found, poisoned = asyncio.run(measure(plan))
    if given.json:
        print(json.dumps({"phases": [asdict(each) for each in found],
                          "poison": [asdict(each) for each in poisoned]}, indent=2))  # fmt: skip
    else:
        print(text(found, poisoned))
    is_good = all(each.good for each in found) and all(each.good for each in poisoned)
    return 0 if is_good else 1
