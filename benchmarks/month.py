"""A month of 1,900 contracts in ClickHouse, generated there: what views are timed on.

Settlements, bars, gaps and reports of feeds are as many as a month has. Rates and z-scores are as
dense as they come for the last hours, and one each minute of each contract before that, for the
days that their tables keep: what a contract's rows of a week ago are asked for is a contract and a
span, which does not depend on how dense the rows of others are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from infra.simulator.registry import SIMULATED, shares
from schemas.feeds import spec
from schemas.topics import raw_topic

CONTRACTS, DAYS, RATE_DAYS, DENSE_HOURS = 1_900, 30, 7, 24.0
_BASES = 700
_ZSCORES_EVERY_S = 5
_REPORTS_EVERY_S = 5
_SCRATCH = "funding_month"

# A walk that differs by contract, has the size of funding rates, and repeats in each run.
_RATE_8H = (
    "(0.0001 + 0.0002 * sin(n) + 0.0003 * sin(toUnixTimestamp(at) / 40000 + n) "
    "+ 0.00002 * (cityHash64(n, toUnixTimestamp(at)) % 2001 - 1000) / 1000)"
)
_Z = f"(({_RATE_8H} - 0.0001 - 0.0002 * sin(n)) / 0.0002)"
_PRICE = "(100 * (1 + n % 50) * (1 + 0.05 * sin(toUnixTimestamp(at) / 90000 + n)))"


class Month(NamedTuple):
    """How much there is."""

    contracts: int = CONTRACTS
    days: int = DAYS
    dense_hours: float = DENSE_HOURS


def fill(client: Any, month: Month) -> Iterator[str]:
    """Put a month that ends now into empty, migrated tables; yield what each step has made.

    `client` is clickhouse-connect's, of a user who may write.
    """
    client.command(f"CREATE DATABASE IF NOT EXISTS {_SCRATCH}")
    for name, statement in _statements(month):
        client.command(statement, settings={"max_partitions_per_insert_block": 0})
        yield name
    client.command(f"DROP DATABASE {_SCRATCH}")


def _statements(month: Month) -> Iterator[tuple[str, str]]:
    yield from _contracts(month)
    yield "settlements", _settlements(month)
    yield "bars", _bars(month)
    yield "audit", _gaps(month)
    yield "feeds", _reports(month)
    dense_s = int(month.dense_hours * 3_600)
    for day in range(1, month.days):
        yield f"zscores of day {day}", _zscores(f"-{day * 86_400 + dense_s}", 86_400, "60")
    for day in range(1, min(RATE_DAYS, month.days)):
        yield f"rates of day {day}", _rates(f"-{day * 86_400 + dense_s}", 86_400, "60")
    for hour in range(int(-(-dense_s // 3_600)), 0, -1):
        span_s = min(3_600, dense_s)
        yield f"zscores of hour {hour}", _zscores(f"-{hour * 3_600}", span_s, "score_s")
        yield f"rates of hour {hour}", _rates(f"-{hour * 3_600}", span_s, "push_s")


def _contracts(month: Month) -> Iterator[tuple[str, str]]:
    yield (
        "",
        (
            f"CREATE TABLE IF NOT EXISTS {_SCRATCH}.contracts (n UInt32, contract_id String, "
            "feed String, symbol String, base String, interval_hours Float64, push_s UInt32, "
            "score_s UInt32, raw_topic String) ENGINE = MergeTree ORDER BY n"
        ),
    )
    rows, n = [], 0
    for feed, contracts in shares(list(SIMULATED), month.contracts).items():
        push_s = max(1, round(spec(feed).cadence_s))
        fixed_hours = SIMULATED[feed].wire.fixed_interval_hours
        for index in range(contracts):
            base = f"B{(index * 7 + n // 3) % _BASES}"
            hours = fixed_hours or (8, 4, 8, 1)[index % 4]
            symbol = f"{base}-{index}"
            rows.append(
                f"({n}, '{feed}:{symbol}', '{feed}', '{symbol}', '{base}', {hours}, {push_s}, "
                f"{max(_ZSCORES_EVERY_S, push_s)}, '{raw_topic(feed)}')"
            )
            n += 1
    yield "contracts", f"INSERT INTO {_SCRATCH}.contracts VALUES {', '.join(rows)}"


def _times(begin: str, span_s: int, every_s: str) -> str:
    """Return the rows of all contracts at times of a span, in the order of contracts."""
    return (
        "(SELECT *, step, toDateTime64(toStartOfSecond(now64(6, 'UTC')), 6, 'UTC') + "
        f"toIntervalSecond({begin} + step * {every_s}) + toIntervalMicrosecond(n * 500) AS at "
        f"FROM {_SCRATCH}.contracts "
        f"ARRAY JOIN range(toUInt32(intDiv({span_s}, {every_s}))) AS step)"
    )


def _settlements(month: Month) -> str:
    return (
        "INSERT INTO funding.settlements (contract_id, feed, symbol, funding_time, "
        "funding_time_raw, rate, interval_hours, rate_8h, source, received_at, raw_topic, "
        "raw_partition, raw_offset, raw_item, kind, interval_source) SELECT contract_id, feed, "
        f"symbol, at, at, {_RATE_8H} * interval_hours / 8, interval_hours, {_RATE_8H}, 'history', "
        "at + 10, raw_topic, n % 8, toUnixTimestamp(at), 0, 'regular', 'observed' FROM (SELECT *, "
        "toDateTime64(toStartOfDay(now('UTC')) + INTERVAL 1 DAY "
        "- toIntervalHour((step + 1) * interval_hours), 6, 'UTC') AS at "
        f"FROM {_SCRATCH}.contracts ARRAY JOIN "
        f"range(toUInt32({month.days + 1} * 24 / interval_hours)) AS step) WHERE at <= now64(6)"
    )


def _bars(month: Month) -> str:
    return (
        "INSERT INTO funding.bars SELECT contract_id, feed, symbol, base, at AS hour, "
        "r AS open, r * 1.1 AS high, r * 0.9 AS low, r AS close, r AS mean, abs(r) / 20 AS std, "
        "if((n + step) % 97 = 0, 3540, 3600) AS covered_s, 3600 / push_s AS updates, 0, "
        f"{_Z} - 0.1, {_Z} + 0.1, {_Z}, interval_hours, {_PRICE}, covered_s, 0 "
        f"FROM (SELECT *, {_RATE_8H} * interval_hours / 8 AS r FROM (SELECT *, step, "
        "toDateTime64(toStartOfHour(now('UTC')) - toIntervalHour(step + 1), 6, 'UTC') AS at "
        f"FROM {_SCRATCH}.contracts ARRAY JOIN range({month.days * 24}) AS step))"
    )


def _gaps(month: Month) -> str:
    """One gap of a contract in three days, which lasts a minute."""
    return (
        "INSERT INTO funding.audit (subject, kind, count, first_event_time, last_event_time, "
        "detail, cause) SELECT contract_id, kind, 12, at, at + if(kind = 'gap_closed', 60, 0), "
        "'generated', 'silence' FROM (SELECT *, now64(6, 'UTC') - toIntervalSecond(259200 * step "
        f"+ cityHash64(n, step) % 250000) AS at FROM {_SCRATCH}.contracts ARRAY JOIN "
        f"range({max(1, month.days // 3)}) AS step) ARRAY JOIN ['gap_opened', 'gap_closed'] AS kind"
    )


def _reports(month: Month) -> str:
    steps = month.days * 86_400 // _REPORTS_EVERY_S
    return (
        "INSERT INTO funding.feeds (feed, state, transport, since, reported_at, last_data_at, "
        "contracts_expected, contracts_live, connections, connects, frames, updates, rest_calls, "
        "backfill_done, detail) SELECT feed, 'live', 'ws', begun, at, at, 400, 400, 2, 3, step, "
        "step * 400, intDiv(step, 700), 400, '' FROM (SELECT DISTINCT feed FROM "
        f"{_SCRATCH}.contracts) AS known CROSS JOIN (SELECT number AS step, now64(6, 'UTC') - "
        f"toIntervalDay({month.days}) AS begun, begun + toIntervalSecond(number * "
        f"{_REPORTS_EVERY_S}) AS at FROM numbers({steps})) AS reports"
    )


def _zscores(begin: str, span_s: int, every_s: str) -> str:
    return (
        "INSERT INTO funding.zscores (contract_id, feed, symbol, base, rate, interval_hours, "
        "rate_8h, apr, z, robust_z, percentile, mean, std, samples, confidence, stats_as_of, zone, "
        "trigger, mark_price, next_funding_time, event_time, received_at, computed_at, transport, "
        f"raw_topic, raw_partition, raw_offset, raw_item) SELECT contract_id, feed, symbol, base, "
        f"{_RATE_8H} * interval_hours / 8, interval_hours, {_RATE_8H} AS scaled, scaled * 1095, "
        f"{_Z} AS score, score * 0.9, 0.5, 0.0001, 0.0002, 90, 'high', toStartOfHour(at), "
        f"if(abs(score) > 2, 'high', 'normal'), 'flush', {_PRICE}, toStartOfHour(at) + 3600, at, "
        "at + toIntervalMillisecond(40), at + toIntervalMillisecond(50), 'ws', raw_topic, n % 8, "
        f"toUnixTimestamp(at), n FROM {_times(begin, span_s, every_s)}"
    )


def _rates(begin: str, span_s: int, every_s: str) -> str:
    return (
        "INSERT INTO funding.rates (contract_id, feed, symbol, base, quote, multiplier, rate, "
        "interval_hours, interval_source, rate_8h, apr, mark_price, index_price, "
        "next_funding_time, event_time, event_time_source, received_at, transport, late, "
        "raw_topic, raw_partition, raw_offset, raw_item) SELECT contract_id, feed, symbol, base, "
        f"'USDT', 1, {_RATE_8H} * interval_hours / 8, interval_hours, 'payload', "
        f"{_RATE_8H} AS scaled, scaled * 1095, {_PRICE} AS price, price * 1.0001, "
        "toStartOfHour(at) + 3600, at, 'exchange', at + toIntervalMillisecond(40), 'ws', false, "
        f"raw_topic, n % 8, toUnixTimestamp(at), n FROM {_times(begin, span_s, every_s)}"
    )
