"""Rows a second, CPU and latency of the sink, beside two plain ones.

All read the same rates and z-scores (Avro, half of each) from the same Kafka and write them into
the same tables of the embedded ClickHouse, with the tables of the newest behind them. They run one
after the other, round by round, each with tables that were made anew: fundingstream's sink; plain
batches (confluent-kafka, fastavro, `insert` of clickhouse-connect, then a commit; as many rows or
as old as ours, and nothing against loss or doubles); and the same row by row.

Speed is from the first rows that can be queried to the last of the backlog, or for some seconds;
CPU time is that of the program's process and of ClickHouse's in the same span. Latency is measured
at a steady rate: ClickHouse is asked again and again for what is new, and a row's latency is from
the timestamp that it has in Kafka to the answer that has it. So it is known no better than the
time between two answers, which is shown. A row that has not come five seconds after the span
counts with the time that it has waited until then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from statistics import median
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.figures import quantile, shown, spread
from benchmarks.platform import ROOT, Rival
from benchmarks.running import progress
from benchmarks.sink_rows import TOPICS, Publisher, SteadyRows, above_zero, at_least_one
from benchmarks.sink_servers import CLICKHOUSE, SinkServers, sink_servers
from benchmarks.tables import Aim, table
from infra.embedded.clickhouse.access import WRITER_VARIABLE
from infra.embedded.supervision.supervisor import NEVER, Service
from infra.kafka.lag import LagReader
from infra.stack.parts import service
from schemas.clock import now_us
from schemas.errors import UnavailableError
from schemas.times import US_PER_MS
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import connect
from stream_app.sink.tables import DATABASE, TABLES

TITLE = "The sink beside plain ones"
BOUND_S = 900.0
OURS, BATCHES, ROW_BY_ROW = "fundingstream", "plain batches", "row by row"
PROGRAMS = (OURS, BATCHES, ROW_BY_ROW)
PLAIN = Rival("plain sink", "plain_sink", sys.executable)
ROWS, QUICK_ROWS = 400_000, 40_000
RATE_S = 2_000.0
MIN_RATIO = 1.0
"""Of ours to plain batches, in rows a second and in CPU the other way round."""
_FIRST_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.01
_WARM_S = 3.0
_GRACE_S = 5.0
"""In which rows of the measured span may still come."""
_SPECS = [spec for spec in TABLES if spec.topic in TOPICS]
_STORED = (
    "SELECT sum(total_rows) FROM system.tables "
    "WHERE database = {database:String} AND name IN {names:Array(String)}"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--rounds", type=at_least_one, help="of each program (3; quick: 1)")
    parser.add_argument(
        "--rows", type=at_least_one, help=f"of the backlog ({ROWS:,}; quick: {QUICK_ROWS:,})"
    )
    parser.add_argument(
        "--seconds", type=above_zero, help="a measurement takes at most (15; quick: 4)"
    )
    parser.add_argument(
        "--rate", type=above_zero, default=RATE_S, help="rows/s for the latency (2000)"
    )


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run all programs, round by round, and return what each did in each."""
    rounds = given.rounds or (1 if given.quick else 3)
    seconds = given.seconds or (4.0 if given.quick else 15.0)
    rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
    speeds: dict[str, list[dict[str, float]]] = {name: [] for name in PROGRAMS}
    latencies: dict[str, list[dict[str, float]]] = {name: [] for name in PROGRAMS}
    async with sink_servers() as servers:
        publisher = Publisher(servers.settings)
        progress(f"publishing {rows:,} rows")
        await asyncio.to_thread(publisher.publish, rows)
        await asyncio.to_thread(publisher.flush)
        race = _Race(servers, publisher, seconds)
        for number in range(rounds):
            for name in PROGRAMS:
                speeds[name].append(await race.speed(name, number))
                progress(f"{name}, round {number + 1}: {speeds[name][-1]}")
        for number in range(rounds):
            for name in PROGRAMS:
                latencies[name].append(await race.latency(name, number, given.rate))
                progress(f"{name}, round {number + 1}: {latencies[name][-1]}")
    return {"rows": rows, "rate": given.rate, "speeds": speeds, "latencies": latencies}


class _Race:
    """The programs on one Kafka and one ClickHouse."""

    def __init__(self, servers: SinkServers, publisher: Publisher, seconds: float) -> None:
        self._servers = servers
        self._publisher = publisher
        self._seconds = seconds
        self._client: Any = None

    async def speed(self, name: str, number: int) -> dict[str, float]:
        """Have a program work off the backlog, or what it can of it."""
        await self._servers.empty()
        await self._start(name, f"speed-{number}-{PROGRAMS.index(name)}")
        try:
            with closing(connect(self._servers.settings)) as client:
                return await self._followed(name, client)
        finally:
            await self._servers.stage.stop(name)

    async def _followed(self, name: str, client: Any) -> dict[str, float]:
        first = await self._stored_after(name, client, 0, time.monotonic() + _FIRST_WITHIN_S)
        begun_s, used_s = time.monotonic(), self._cpu_s(name)
        last = first
        while last < self._publisher.count and time.monotonic() - begun_s < self._seconds:
            await asyncio.sleep(_LOOK_EVERY_S)
            self._servers.stage.require(name)
            last = await asyncio.to_thread(_stored, client)
        took_s, rows = time.monotonic() - begun_s, max(1, last - first)
        cpu_s = [after - before for after, before in zip(self._cpu_s(name), used_s, strict=True)]
        return {
            "rows": rows,
            "rows_s": round(rows / took_s, 1),
            "cpu_s": round(cpu_s[0] * 1e6 / rows, 2),
            "clickhouse_cpu_s": round(cpu_s[1] * 1e6 / rows, 2),
        }

    async def latency(self, name: str, number: int, rate: float) -> dict[str, float]:
        """Publish steadily, and measure when each row can be queried."""
        await self._servers.empty()
        group = f"latency-{number}-{PROGRAMS.index(name)}"
        await asyncio.to_thread(self._commit_ends, group)
        from_number = self._publisher.count
        await self._start(name, group)
        try:
            with (
                closing(connect(self._servers.settings)) as client,
                SteadyRows(self._publisher, rate),
            ):
                await self._stored_after(name, client, 0, time.monotonic() + _FIRST_WITHIN_S)
                await asyncio.sleep(_WARM_S)
                return await asyncio.to_thread(self._watched, client, from_number)
        finally:
            await self._servers.stage.stop(name)

    def _watched(self, client: Any, from_number: int) -> dict[str, float]:
        """Ask for what is new until the span ends; return the latencies of its rows."""
        first = self._publisher.count
        end_s = time.monotonic() + self._seconds
        published_us = self._publisher.published_us
        latencies_ms: list[float] = []
        gaps_ms: list[float] = []
        watch = Watch(client, from_number)
        waiting, next_number, answered_s = set[int](), first, time.monotonic()
        while (now_s := time.monotonic()) < end_s or (waiting and now_s < end_s + _GRACE_S):
            new = watch.new()
            seen_us, seen_s = now_us(), time.monotonic()
            gaps_ms.append((seen_s - answered_s) * 1_000)
            answered_s = seen_s
            if seen_s < end_s:
                known = self._publisher.count
                waiting.update(range(next_number, known))
                next_number = known
            latencies_ms += [(seen_us - published_us[n]) / US_PER_MS for n in new & waiting]
            waiting -= new
            time.sleep(_LOOK_EVERY_S)
        ended_us = now_us()
        stored = len(latencies_ms)
        latencies_ms += [(ended_us - published_us[n]) / US_PER_MS for n in waiting]
        return {
            "share": round(stored / len(latencies_ms), 3),
            "p50_ms": round(quantile(latencies_ms, 0.5), 1),
            "p99_ms": round(quantile(latencies_ms, 0.99), 1),
            "resolution_ms": round(median(gaps_ms), 1),
        }

    async def _stored_after(self, name: str, client: Any, rows: int, until_s: float) -> int:
        """Wait until there are more rows; return how many."""
        while (found := await asyncio.to_thread(_stored, client)) <= rows:
            self._servers.stage.require(name)
            if time.monotonic() > until_s:
                raise UnavailableError(f"{name} has stored nothing within {_FIRST_WITHIN_S:g} s")
            await asyncio.sleep(_LOOK_EVERY_S)
        return found

    def _cpu_s(self, name: str) -> tuple[float, float]:
        return self._servers.stage.cpu_s(name), self._servers.stage.cpu_s(CLICKHOUSE)

    async def _start(self, name: str, group: str) -> None:
        if name == OURS:
            await self._servers.start_sink(name, group)
            return
        settings, options = self._servers.settings, self._servers.stage.options
        limits = SinkSettings()
        argv = PLAIN.argv(
            bootstrap=settings.kafka_bootstrap,
            group=group,
            clickhouse=settings.clickhouse_url,
            user=settings.clickhouse_username,
            password_variable=WRITER_VARIABLE,
            tables=_tables_json(),
            batch_rows=limits.sink_batch_rows if name == BATCHES else 1,
            batch_age_s=limits.sink_batch_age_s,
        )
        environment = service(options, "sink").env
        plain = Service(name, argv, env=environment, cwd=ROOT, restart=NEVER)
        await self._servers.stage.supervisor.start(replace(plain, stop_timeout_s=5.0))

    def _commit_ends(self, group: str) -> None:
        """Let a group begin behind all that is there."""
        settings = self._servers.settings
        with closing(LagReader(settings, group)) as reader:
            ends = reader.ends([topic.name for topic in TOPICS])
        consumer: Any = Consumer({**settings.quiet_librdkafka(), "group.id": group})
        offsets = [TopicPartition(*where, offset) for where, offset in ends.items()]
        consumer.commit(offsets=offsets, asynchronous=False)
        consumer.close()


class Watch:
    """Finds the numbers of rows that can be queried since it last asked."""

    def __init__(self, client: Any, from_number: int) -> None:
        self._client = client
        # All numbers below are known to be stored; those above it that are, in `_above`.
        self._below = dict.fromkeys(range(len(_SPECS)), from_number)
        self._above: dict[int, set[int]] = {index: set() for index in self._below}

    def new(self) -> set[int]:
        """Ask once."""
        found: set[int] = set()
        for index, spec in enumerate(_SPECS):
            (column,) = self._client.query(
                f"SELECT raw_offset FROM {spec.full_name} WHERE raw_offset >= {{below:Int64}}",
                {"below": self._below[index]},
            ).result_columns or [()]
            above = self._above[index]
            found |= set(column) - above
            above |= set(column)
            self._advance(index)
        return found

    def _advance(self, index: int) -> None:
        """Move the watermark over all that follows without a gap: each second number is ours."""
        above, parity = self._above[index], index
        below = self._below[index] + (self._below[index] - parity) % 2
        while below in above:
            above.discard(below)
            below += 2
        self._below[index] = below


def _stored(client: Any) -> int:
    names = [spec.name for spec in _SPECS]
    ((rows,),) = client.query(_STORED, {"database": DATABASE, "names": names}).result_rows
    return int(rows)


def _tables_json() -> str:
    schemas = ROOT / "schemas" / "avro"
    return json.dumps({
        spec.topic.name: (spec.full_name, str(schemas / f"{spec.record_type.name}.avsc"))
        for spec in _SPECS
    })  # fmt: skip


def text(figures: Mapping[str, Any]) -> str:
    """Return the figures as tables."""
    speeds, latencies = figures["speeds"], figures["latencies"]

    def cell(runs: Mapping[str, Any], name: str, field: str, digits: int = 0) -> str:
        return shown(spread([run[field] for run in runs[name]], digits), digits)

    def ratio(field: str, name: str) -> str:
        pairs = zip(speeds[OURS], speeds[name], strict=True)
        return shown(spread([a[field] / b[field] for a, b in pairs if b[field]], 2), 2)

    cost = [
        [
            name,
            cell(speeds, name, "rows_s"),
            ratio("rows_s", name),
            cell(speeds, name, "cpu_s", 1),
            ratio("cpu_s", name),
            cell(speeds, name, "clickhouse_cpu_s", 1),
        ]
        for name in PROGRAMS
    ]
    late = [
        [
            name,
            cell(latencies, name, "p50_ms"),
            cell(latencies, name, "p99_ms"),
            shown(median(run["share"] for run in latencies[name]) * 100, 0) + " %",
            cell(latencies, name, "resolution_ms"),
        ]
        for name in PROGRAMS
    ]
    return "\n\n".join([
        f"A backlog of {figures['rows']:,} rows, median of the rounds (least-greatest):",
        table(["program", "rows/s stored", "ours as a multiple", "CPU s a million rows",
               "ours as a multiple", "ClickHouse's CPU s a million rows"], cost),
        f"{figures['rate']:,.0f} rows/s, from Kafka to a query, in ms:",
        table(["program", "p50", "p99", "stored", "between two answers"], late),
    ])  # fmt: skip


def aims(figures: Mapping[str, Any]) -> list[Aim]:
    """Return what was aimed at, with what was measured."""
    speeds = figures["speeds"]
    pairs = list(zip(speeds[OURS], speeds[BATCHES], strict=True))
    faster = median(ours["rows_s"] / theirs["rows_s"] for ours, theirs in pairs)
    dearer = median(ours["cpu_s"] / theirs["cpu_s"] for ours, theirs in pairs)
    return [
        Aim("rows/s beside plain batches", f"≥ {MIN_RATIO:g} ×", f"{faster:.2f} ×",
            faster >= MIN_RATIO),
        Aim("CPU a row beside plain batches", f"≤ {MIN_RATIO:g} ×", f"{dearer:.2f} ×",
            dearer <= MIN_RATIO),
    ]  # fmt: skip
