"""What tests ask a running stack, wherever it runs: SQL, HTTP, the simulator and its truth."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from typing import Any, NamedTuple

import aiohttp

from benchmarks.evidence import EVERY_DUPLICATE
from benchmarks.thinned import left_out
from infra.kafka.lag import LagReader
from schemas.clock import now_us
from schemas.feeds import FEEDS, spec
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_S
from schemas.topics import OUTPUT_TOPICS, raw_topic
from stream_app.settings import SinkSettings, WorkerSettings
from stream_app.sink.clickhouse import connect
from tests.support.waiting import eventually

FEED = "binance-usdm"
CONTRACTS = 60
DRAIN_TIMEOUT_S = 30.0
_QUERY_TIMEOUT_S = 120.0
_MAX_DIFFERENCE = 1e-9
_SCORES = """
WITH scored AS
(
    SELECT
        z.contract_id AS contract_id, z.event_time AS event_time, z.raw_offset AS raw_offset,
        z.raw_item AS raw_item, z.trigger AS trigger, z.z AS z, z.mean AS mean, z.std AS std,
        z.rate_8h AS rate_8h, z.samples AS samples, z.percentile AS percentile,
        avg(s.rate_8h) AS sql_mean, stddevSampStable(s.rate_8h) AS sql_std,
        count() AS sql_samples, countIf(s.rate_8h <= z.rate_8h) / count() AS sql_percentile
    FROM (SELECT * FROM funding.zscores FINAL) AS z
    INNER JOIN funding.baseline_settlements AS s
        ON s.contract_id = z.contract_id AND s.generation = z.generation
    WHERE z.z IS NOT NULL AND s.received_at <= z.computed_at
      AND s.funding_time > z.stats_as_of - INTERVAL 30 DAY AND s.funding_time <= z.stats_as_of
    GROUP BY ALL
    -- What settled within 2 s of the score may not have been read by then.
    HAVING min(abs(dateDiff('millisecond', s.received_at, z.computed_at))) > 2000
)
SELECT
    count(), uniq(contract_id), countIf(samples != sql_samples),
    max(abs(mean - sql_mean) / abs(sql_mean)), max(abs(std - sql_std) / sql_std),
    max(abs(z - (rate_8h - sql_mean) / sql_std) / greatest(abs(z), 1e-3)),
    max(abs(percentile - sql_percentile))
FROM scored
"""


def settled_for_sure() -> tuple[int, int]:
    """Between these two times every settlement is stored by now.

    Tests may run over a full hour: what settled in the last minutes may not have been asked for,
    and the simulator's oldest hour may lie before the producer's 30 days.
    """
    now = now_us()
    return now - 30 * US_PER_DAY + US_PER_HOUR, now - 15 * US_PER_MINUTE


def kind_of(line: dict[str, Any]) -> str:
    """The kind of a settlement in the simulator's truth, which names it where it is special."""
    return str(line.get("kind", "regular"))


class Update(NamedTuple):
    """One rate of one contract at one time."""

    contract_id: str
    event_time: int
    rate: float


class Outage(NamedTuple):
    """A span of event time (µs) within which updates may be missing."""

    since: int
    until: int


class StackView(ABC):
    """Looks at a running stack from outside.

    Args:
        exchanges: URL of the simulator.
        web: URL of the worker.
        worker: settings with which the worker's topics and group are reached.
        sink: settings with which ClickHouse is asked.
        http: for requests.
    """

    def __init__(
        self,
        exchanges: str,
        web: str,
        worker: WorkerSettings,
        sink: SinkSettings,
        http: aiohttp.ClientSession,
    ) -> None:
        self.exchanges = exchanges
        self.web = web
        self.worker_settings = worker
        self.sink_settings = sink
        self.outages: list[Outage] = []
        self._http = http

    @abstractmethod
    def truth(self, name: str) -> list[dict[str, Any]]:
        """The simulator's lines about a feed's updates, or about `settlements`."""

    async def get(self, url: str) -> tuple[int, str]:
        """Status and body of a GET; a path is one of the worker's pages."""
        full = f"{self.web}{url}" if url.startswith("/") else url
        async with self._http.get(full) as reply:
            return reply.status, await reply.text()

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query, by the sink's user."""
        return await asyncio.to_thread(self._rows, sql)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        client = connect(
            self.sink_settings.model_copy(update={"clickhouse_timeout_s": _QUERY_TIMEOUT_S})
        )
        try:
            return list(client.query(sql).result_rows)
        finally:
            client.close()

    async def control(self, action: str, **body: Any) -> dict[str, Any]:
        """Ask the simulator for a fault, its end, or a listing; return what it answers."""
        url = f"{self.exchanges}/control/{action}"
        async with self._http.post(url, json=body) as reply:
            assert reply.status == 200, await reply.text()
            answer: dict[str, Any] = await reply.json()
            return answer

    async def counts(self) -> Counter[str]:
        """What the simulator counted."""
        return Counter(json.loads((await self.get(f"{self.exchanges}/stats"))[1])["counts"])

    async def metric(self, name: str, label: str, url: str = "/metrics") -> float:
        """A sample of the worker's metrics, or of those at a URL; 0 where there is none."""
        for line in (await self.get(url))[1].splitlines():
            if line.startswith(f"{name}{{") and f'"{label}"' in line:
                return float(line.rpartition(" ")[2])
        return 0.0

    async def flowing(self) -> None:
        """Wait until updates that are received from now on have been stored."""
        since = now_us()
        sql = (
            "SELECT count() FROM funding.rates WHERE transport = 'ws' AND "
            f"toUnixTimestamp64Micro(received_at) > {since}"
        )

        async def more() -> bool:
            return int((await self.rows(sql))[0][0]) >= 3 * CONTRACTS

        await eventually(more, "updates flow into ClickHouse", 60)

    def sent(self) -> list[Update]:
        """The simulator's truth: every update that it put on a socket."""
        return [
            Update(line["contract_id"], line["event_time"], line["rate"])
            for line in self.truth(FEED)
        ]

    def settled(self, after_us: int, before_us: int) -> list[tuple[str, int, float, float]]:
        """The simulator's regular settlements between two times: contract, time, rate, interval."""
        return [
            (s["contract_id"], s["funding_time"], s["rate"], float(s["interval_hours"]))
            for s in self.truth("settlements")
            if after_us < s["funding_time"] < before_us and kind_of(s) == "regular"
        ]

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """Silence on the stream, and everything that was sent processed and stored."""
        await self.control("silence")
        ticks = (await self.counts())[f"ticks:{FEED}"]

        async def two_later() -> bool:
            return (await self.counts())[f"ticks:{FEED}"] >= ticks + 2

        try:
            await eventually(two_later, "the simulator ticks", 30)
            await self.drained()
            yield
        finally:
            await self.control("resume")

    async def drained(self) -> None:
        """Wait until the worker has committed what there is now, and the sink what came of it.

        Without a stream REST goes on, so that there may always be something newer.
        """
        groups = (
            (self.worker_settings.worker_id, [raw_topic(feed) for feed in FEEDS]),
            (self.sink_settings.sink_group, [topic.name for topic in OUTPUT_TOPICS]),
        )
        for group, topics in groups:
            with closing(LagReader(self.worker_settings, group)) as reader:
                ends = await asyncio.to_thread(reader.ends, topics)
                await reader.wait(topics, DRAIN_TIMEOUT_S, ends=ends)

    async def check_rates(self) -> None:
        """funding.rates is the truth: each update once, to the last digit; call it when quiet.

        The truth is about the stream; a REST snapshot may add the current rates between two of
        its ticks, once each.
        """
        sql = (
            "SELECT contract_id, toUnixTimestamp64Micro(event_time), rate, transport "
            "FROM funding.rates FINAL"
        )
        rows = await self.rows(sql)
        found = Counter(Update(*row[:3]) for row in rows)
        assert max(found.values()) == 1, [u for u, count in found.items() if count > 1][:3]
        sent = Counter(self.sent())
        streamed = {Update(*row[:3]) for row in rows if row[3] == "ws"}
        assert streamed <= set(sent), sorted(streamed - set(sent))[:3]
        lost = [update for update in sent if update not in found and not self._in_outage(update)]
        assert lost == [], f"{len(lost)} of {len(sent)} updates lost: {sorted(lost)[:3]}"
        assert await self.rows(EVERY_DUPLICATE) == []

    async def check_streamed(self, feeds: Iterable[str] = FEEDS) -> None:
        """Every update that the simulator sent is stored as it was sent, and nothing else is.

        Rate and time are compared; where a frame has no time of its own, the rates in their number.
        Of a feed that is thinned, what the rule leaves out may be missing. An update that REST has
        shown with the same time before the stream brings it is stored as REST's.
        What was sent during an outage may be missing, and so may what a feed sends right after a
        settlement, which is dropped once the contract's times are known. Call it when quiet.
        """
        settled: dict[str, list[int]] = {}
        for line in self.truth("settlements"):
            settled.setdefault(line["contract_id"], []).append(line["funding_time"])
        for feed in feeds:
            timed = not spec(feed).timeless
            noise_us = int(spec(feed).settling_s * US_PER_S)
            sent = [
                Update(line["contract_id"], line["event_time"], line["rate"])
                for line in self.truth(feed)
            ]
            thinned = left_out(sent) if spec(feed).thinned else set()
            owed = (
                update
                for update in sent
                if not self._in_outage(update)
                and update not in thinned
                and not any(
                    0 <= update.event_time - at < noise_us
                    for at in settled.get(update.contract_id, [])
                )
            )
            rows = await self.rows(
                "SELECT contract_id, toUnixTimestamp64Micro(event_time), rate, transport "
                f"FROM funding.rates FINAL WHERE feed = '{feed}'"
            )
            streamed = [row for row in rows if row[3] == "ws"]
            stored = Counter((row[0], row[1] if timed else 0, row[2]) for row in streamed)
            by_rest = {tuple(row[:3]) for row in rows if row[3] == "rest"}
            may = _counted(sent, timed=timed)
            must = _counted(owed, timed=timed)
            assert sum(must.values()) > 0, feed
            lost, made_up = (must - stored).keys() - by_rest, stored - may
            assert not lost, f"{feed}: lost {sorted(lost)[:3]} of {len(sent)}"
            assert made_up == Counter(), f"{feed}: made up {sorted(made_up)[:3]}"
        assert await self.rows(EVERY_DUPLICATE) == []

    async def check_settlements(self) -> None:
        """Thirty days of every feed's, each once; what settles now may be on its way."""
        rows = await self.rows(
            "SELECT contract_id, toUnixTimestamp64Micro(funding_time), toString(kind), rate "
            "FROM funding.settlements FINAL"
        )
        after, before = settled_for_sure()
        expected = {
            (line["contract_id"], line["funding_time"], kind_of(line), line["rate"])
            for line in self.truth("settlements")
        }
        stored = Counter(rows)
        assert max(stored.values()) == 1
        assert {one for one in stored if one[1] < before} <= expected
        assert {one for one in expected if after < one[1] < before} <= set(stored)
        assert {contract.split(":")[0] for contract, *_ in stored} == set(FEEDS)

    async def scored(self, contracts: int, within_s: float) -> None:
        """Wait until `check_scores` has scores of so many contracts to compare.

        Right after the start there may be scores of each contract, all of them made while its
        history was being read.
        """

        async def enough() -> bool:
            ((_, scored, *_),) = await self.rows(_SCORES)
            return int(scored) >= contracts

        await eventually(enough, "scores that can be compared are stored", within_s)

    async def check_scores(self, contracts: int) -> None:
        """Mean, deviation, z and percentile of at least so many contracts are what SQL computes."""
        ((count, scored, other_samples, *differences),) = await self.rows(_SCORES)
        assert count >= scored >= contracts
        assert other_samples == 0
        assert max(differences) < _MAX_DIFFERENCE

    def _in_outage(self, update: Update) -> bool:
        return any(o.since <= update.event_time <= o.until for o in self.outages)


def _counted(updates: Iterable[Update], *, timed: bool) -> Counter[tuple[str, int, float]]:
    return Counter((u.contract_id, u.event_time if timed else 0, u.rate) for u in updates)
