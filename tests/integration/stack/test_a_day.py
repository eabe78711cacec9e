"""A simulated day through the core: bars and z-scores equal SQL over what was published.

The engine is ClickHouse's own (chdb, in process); the market is the simulator's, at one tick every
ten seconds with lost ticks, late ones and an outage.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from infra.simulator.binance.universe import contracts as universe
from infra.simulator.market.market import HOUR_MS, Market
from schemas.records import Purpose, RawBatch
from stream_app.core.output.outputs import Output
from stream_app.core.partition import FeedPartition
from stream_app.normalise import normaliser

pytestmark = pytest.mark.integration

FEED = "binance-usdm"
CONTRACTS = 12
TICK_MS = 10_000
START_MS = 497_736 * HOUR_MS
DAY_MS = 24 * HOUR_MS
OUTAGE_MS = range(START_MS + 5 * HOUR_MS + 7_000, START_MS + 7 * HOUR_MS + 1_234_000)

BARS = """
WITH
    10000000 AS stale_us, 3600000000 AS hour_us,
    updates AS (
        SELECT contract_id, event_time AS since, rate,
            least(since + stale_us, leadInFrame(event_time, 1, since + stale_us) OVER (
                PARTITION BY contract_id ORDER BY event_time
                ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)) AS until
        FROM rates WHERE NOT late),
    pieces AS (
        SELECT contract_id, rate,
            arrayJoin(range(intDiv(since, hour_us), intDiv(until - 1, hour_us) + 1)) * hour_us
                AS hour,
            greatest(since, hour) AS a, least(until, hour + hour_us) AS b, b - a AS w
        FROM updates WHERE until > since),
    means AS (
        SELECT contract_id, hour, sum(rate * w) / sum(w) AS mean, sum(w) / 1e6 AS covered_s,
            min(rate) AS low, max(rate) AS high, argMin(rate, a) AS open, argMax(rate, a) AS close
        FROM pieces GROUP BY contract_id, hour),
    deviations AS (
        SELECT contract_id, hour, sqrt(sum(w * pow(rate - m.mean, 2)) / sum(w)) AS std
        FROM pieces INNER JOIN means AS m USING (contract_id, hour) GROUP BY contract_id, hour)
SELECT count(),
    countIf(b.open != m.open OR b.close != m.close OR b.low != m.low OR b.high != m.high),
    max(abs(b.mean - m.mean) / greatest(abs(m.mean), 1e-9)),
    max(abs(b.std - d.std) / greatest(d.std, 1e-9)), max(abs(b.covered_s - m.covered_s)),
    (SELECT count() FROM means)
FROM bars AS b
INNER JOIN means AS m ON b.contract_id = m.contract_id AND b.hour = m.hour
INNER JOIN deviations AS d ON b.contract_id = d.contract_id AND b.hour = d.hour
"""

SCORES = """
WITH known AS (
    SELECT z.raw_offset AS offset, z.raw_item AS item, z.trigger AS trigger, t.funding_time,
        any(z.z) AS z, any(z.mean) AS mean, any(z.std) AS std, any(z.samples) AS samples,
        any(z.rate_8h) AS scaled, argMax(t.rate_8h, (t.raw_offset, t.raw_item)) AS rate_8h,
        argMax(t.interval_doubtful, (t.raw_offset, t.raw_item)) AS doubtful
    FROM zscores AS z INNER JOIN settlements AS t ON z.contract_id = t.contract_id
    WHERE z.z IS NOT NULL AND t.received_at <= z.received_at
        AND t.funding_time > z.stats_as_of - 2592000000000 AND t.funding_time <= z.stats_as_of
    GROUP BY ALL)
SELECT count(), countIf(samples != n), max(abs(mean - m) / greatest(abs(m), 1e-9)),
    max(abs(std - s) / s), max(abs(z - (scaled - m) / s) / greatest(abs(z), 1e-3))
FROM (
    SELECT offset, item, trigger, any(z) AS z, any(mean) AS mean, any(std) AS std,
        any(samples) AS samples, any(scaled) AS scaled,
        avg(rate_8h) AS m, stddevSampStable(rate_8h) AS s, count() AS n
    FROM known WHERE NOT doubtful GROUP BY offset, item, trigger)
"""
"""A settlement is published again when it is known better: the newest version by then counts."""


class Record(NamedTuple):
    """A raw record before it has an offset."""

    at_ms: int
    purpose: Purpose
    channel: str
    payloads: list[tuple[str, dict[str, Any]]]


def records(rng: random.Random) -> Iterator[Record]:
    """The list, thirty days of settlements, then a day of ticks and of the settlements in it."""
    contracts = universe(CONTRACTS, 0, 0, START_MS)[:CONTRACTS]
    market = Market(1, FEED, contracts)
    names = [contract.symbol for contract in contracts]

    def settled(after_ms: int, until_ms: int, at_ms: int) -> Record:
        rows = market.settlements(after_ms, until_ms)
        return Record(
            at_ms, "history", "fundingRate",
            [(names[row], {"symbol": names[row], "fundingTime": int(at),
                           "fundingRate": f"{units / 1e8:.8f}"})
             for row, at, units in zip(rows.row, rows.funding_ms, rows.rate_units, strict=True)],
        )  # fmt: skip

    listed = [(name, {"symbol": name, "status": "TRADING"}) for name in names]
    yield Record(START_MS, "contract", "exchangeInfo", listed)
    yield settled(START_MS - 30 * DAY_MS, START_MS, START_MS)
    for tick in range(START_MS, START_MS + DAY_MS, TICK_MS):
        if tick % HOUR_MS == TICK_MS * 3:
            yield settled(tick - HOUR_MS, tick, tick)
        if tick in OUTAGE_MS or rng.random() < 0.02:
            continue
        snapshot = market.snapshot(tick)
        late_ms = rng.choice([0, 0, 0, 0, 9_000, 25_000])
        yield Record(
            tick + late_ms, "stream", "!markPrice@arr@1s",
            [(name, {"e": "markPriceUpdate", "E": tick, "s": name, "p": f"{snapshot.mark[i]:.8f}",
                     "r": f"{snapshot.rate_units[i] / 1e8:.8f}",
                     "T": int(snapshot.next_funding_ms[i])})
             for i, name in enumerate(names)],
        )  # fmt: skip


def outputs_of(log: list[Record]) -> list[Output]:
    """What the core publishes for a log, the last bars closed by silence."""
    state = FeedPartition(FEED, 0, normaliser(FEED))
    outputs: list[Output] = []
    for offset, record in enumerate(log):
        at = record.at_ms * 1_000
        batch: RawBatch = {
            "feed": FEED, "transport": "ws", "purpose": record.purpose, "channel": record.channel,
            "connection_id": "c", "sequence": offset, "received_at": at,
            "items": [{"symbol": s, "payload": json.dumps(row).encode(), "received_at": at}
                      for s, row in record.payloads],
        }  # fmt: skip
        state.apply(batch, offset, at)
        outputs += state.take_outputs().records()
    state.flush((START_MS + DAY_MS + 10 * HOUR_MS) * 1_000, 0)
    return outputs + state.take_outputs().records()


def test_bars_and_z_scores_of_a_day_equal_sql(tmp_path: Path) -> None:
    """Every closed bar and every z-score, to 1e-9."""
    chdb = pytest.importorskip("chdb")
    log = sorted(records(random.Random(5)), key=lambda record: record.at_ms)
    outputs = outputs_of(log)
    connection = chdb.connect(":memory:")
    for name in ("rates", "bars", "zscores", "settlements"):
        path = tmp_path / f"{name}.ndjson"
        rows = [o.record for o in outputs if o.topic.name == f"funding.{name}"]
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        connection.query(
            f"CREATE TABLE {name} ENGINE = Memory AS SELECT * FROM file('{path}', JSONEachRow)"
        )

    def row(sql: str) -> list[float]:
        (values,) = connection.query(sql, "JSONCompactEachRow").bytes().decode().splitlines()
        return [float(value) for value in json.loads(values)]

    bars, wrong, mean_off, std_off, covered_off, expected = row(BARS)
    assert bars == expected
    assert bars > CONTRACTS * 20
    assert wrong == 0
    assert max(mean_off, std_off) < 1e-9
    assert covered_off < 1e-6
    scores, wrong_samples, mean_off, std_off, z_off = row(SCORES)
    assert scores > CONTRACTS * 1_000
    assert wrong_samples == 0
    assert max(mean_off, std_off, z_off) < 1e-9
