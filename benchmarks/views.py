"""What views and the cookbook take on a month of 1,900 contracts, and a row of each table.

The month is generated in an embedded ClickHouse of its own, and its size is told below. Each view
is read whole three times and the best is shown; `duplicates_between`, which wants a span, is left
out, and so are the views `…_once`, which show a table whole. `latest` and `freshness` are also
asked as they would be without the tables of the newest, from zscores and rates. Granules, of up to
8,192 rows, are those that `EXPLAIN ESTIMATE` names.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from benchmarks.cookbook import queries
from benchmarks.month import CONTRACTS, DAYS, DENSE_HOURS, Month, fill
from benchmarks.running import progress
from benchmarks.tables import Aim, table
from infra.clickhouse.migrate import migrate
from infra.embedded.clickhouse.access import WRITER_NAME, WRITER_VARIABLE
from infra.embedded.ports import free_port
from infra.embedded.supervision.readiness import http_ready
from infra.embedded.supervision.supervisor import NEVER, Service, Supervisor
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import connect
from stream_app.sink.tables import DATABASE, TABLES

TITLE = "Views of ClickHouse, and the cookbook"
BOUND_S = 1_800.0
AT_ONCE = ("latest", "extremes", "spreads", "freshness")
MOST_AT_ONCE_MS, MOST_MS = 100.0, 1_000.0
LEFT_OUT = ("duplicates_between",)
_TIMES = 3
_MOST_ROWS = 10_000_000
_TIMEOUT_S = 600
_PASSWORD = "of-a-benchmark"
_BEFORE = {
    "latest, without its table": (
        "SELECT * FROM funding.zscores WHERE event_time > now() - INTERVAL 1 DAY AND (contract_id, "
        "event_time) IN (SELECT contract_id, max(event_time) FROM funding.zscores WHERE event_time "
        "> now() - INTERVAL 1 DAY GROUP BY contract_id)"
    ),
    "freshness, without its table": (
        "SELECT contract_id, max(event_time) FROM funding.rates WHERE event_time > now() - "
        "INTERVAL 1 DAY GROUP BY contract_id"
    ),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--contracts", type=int, help=f"of all feeds ({CONTRACTS})")
    parser.add_argument("--days", type=int, help=f"of history ({DAYS})")
    parser.add_argument(
        "--dense-hours",
        type=float,
        help=f"the last hours, with rates and z-scores as dense as they come ({DENSE_HOURS:g})",
    )


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the views."""
    month = Month(
        given.contracts or (60 if given.quick else CONTRACTS),
        given.days or (3 if given.quick else DAYS),
        given.dense_hours or (0.1 if given.quick else DENSE_HOURS),
    )
    with tempfile.TemporaryDirectory() as directory:
        async with _clickhouse(Path(directory)) as settings:
            return await asyncio.to_thread(_measured, settings, month)


@asynccontextmanager
async def _clickhouse(directory: Path) -> AsyncIterator[SinkSettings]:
    """Run an empty server for the time of the block; yield how its writer reaches it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    service = Service(
        "clickhouse",
        [
            *(sys.executable, "-m", "infra.cli", "clickhouse"),
            *("--port", str(port), "--data-dir", str(directory)),
        ],
        env={**os.environ, WRITER_VARIABLE: _PASSWORD},
        ready=http_ready(f"{url}/ping"),
        restart=NEVER,
    )
    async with Supervisor(sink=lambda _name, line: progress(line)) as supervisor:
        await supervisor.start(service)
        yield SinkSettings(
            clickhouse_url=url,
            clickhouse_username=WRITER_NAME,
            clickhouse_password=SecretStr(_PASSWORD),
            clickhouse_timeout_s=_TIMEOUT_S,
        )


def _measured(settings: SinkSettings, month: Month) -> dict[str, Any]:
    migrate(settings)
    client = connect(settings)
    try:
        for made in fill(client, month):
            progress(made)
        names = client.query(
            "SELECT name FROM system.tables WHERE database = {database:String} "
            "AND engine = 'View' ORDER BY name",
            {"database": DATABASE},
        ).result_rows
        asked = {name: f"SELECT * FROM {DATABASE}.{name}" for (name,) in names}
        views = {n: sql for n, sql in asked.items() if n not in LEFT_OUT and not _is_table(n)}
        bound = _parameters(client)
        return {
            "contracts": month.contracts,
            "days": month.days,
            "dense_hours": month.dense_hours,
            "views": {
                name: _timed(client, sql) | {"granules": _granules(client, sql)}
                for name, sql in (views | _BEFORE).items()
            },
            "cookbook": {title: _timed(client, sql, bound) for title, sql in queries().items()},
            "tables": _sizes(client),
        }
    finally:
        client.close()


def _is_table(name: str) -> bool:
    """Whether a view shows a table whole: what it takes depends on what is asked of it."""
    return name.endswith("_once")


def _parameters(client: Any) -> dict[str, str]:
    """Return values for the parameters of the cookbook: contracts of one base."""
    first, *_, last = client.query(
        "SELECT groupArray(contract_id) FROM funding.contracts GROUP BY base "
        "ORDER BY count() DESC, base LIMIT 1"
    ).first_row[0]
    return {"contract": first, "long": first, "short": last, "until": "2100-01-01 00:00:00"}


def _timed(client: Any, sql: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return how many rows a query has, and the best of some times that it took to the end."""
    best_ms, rows = float("inf"), 0
    for _ in range(_TIMES):
        begun_s = time.perf_counter()
        # `ignore` reads all columns of all rows, and sends none of them.
        (rows,) = client.query(
            f"SELECT count() FROM (SELECT * FROM ({sql}) LIMIT {_MOST_ROWS}) WHERE NOT ignore(*)",
            parameters,
            settings={"database": DATABASE},
        ).first_row
        best_ms = min(best_ms, (time.perf_counter() - begun_s) * 1000)
    progress(f"{best_ms:8.0f} ms {rows:9,} rows: {sql[:80]}")
    return {"ms": round(best_ms, 1), "rows": rows}


def _granules(client: Any, sql: str) -> int:
    """Return how many granules, of up to 8,192 rows, ClickHouse expects to read for a query."""
    tables = client.query(f"EXPLAIN ESTIMATE {sql}").result_rows
    return sum(marks for _database, _table, _parts, _rows, marks in tables)


def _sizes(client: Any) -> dict[str, Any]:
    rows = client.query(
        "SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts "
        "WHERE database = {database:String} AND active GROUP BY table ORDER BY table",
        {"database": DATABASE},
    ).result_rows
    return {
        name: {
            "rows": count,
            "bytes_per_row": round(size / count, 1),
            "parts": parts,
            "rows_last_day": _rows_last_day(client, name),
        }
        for name, count, size, parts in rows
        if count
    }


def _rows_last_day(client: Any, name: str) -> int | None:
    """Return how many rows a table has of the last day; None: it keeps one row a contract."""
    time_field = next((t.time_field for t in TABLES if t.name == name), None)
    if time_field is None:
        return None
    (count,) = client.query(
        f"SELECT count() FROM {DATABASE}.{name} WHERE {time_field} > now() - INTERVAL 1 DAY"
    ).first_row
    return int(count)


def text(figures: Mapping[str, Any]) -> str:
    """Return the result as Markdown."""
    told = (
        f"{figures['contracts']:,} contracts, {figures['days']} days, the last "
        f"{figures['dense_hours']:g} hours dense."
    )
    views = [
        [
            f"`{name}`" if name not in _BEFORE else name,
            *(f"{view['ms']:.0f}", f"{view['rows']:,}", f"{view['granules']:,}"),
        ]
        for name, view in figures["views"].items()
    ]
    asked = [
        [title, f"{each['ms']:.0f}", f"{each['rows']:,}"]
        for title, each in figures["cookbook"].items()
    ]
    tables = [
        [
            *(f"`{name}`", f"{each['rows']:,}", f"{each['bytes_per_row']:g}", each["parts"]),
            *_a_day(each),
        ]
        for name, each in figures["tables"].items()
    ]
    return "\n\n".join([
        told,
        table(["view", "ms", "rows", "granules read"], views),
        table(["[query of the cookbook](cookbook.md)", "ms", "rows"], asked),
        table(
            ["table", "rows", "bytes a row", "parts", "rows of the last day", "MB of it"], tables
        ),
    ])  # fmt: skip


def _a_day(size: Mapping[str, Any]) -> tuple[str, str]:
    rows = size["rows_last_day"]
    return (
        ("–", "–") if rows is None else (f"{rows:,}", f"{rows * size['bytes_per_row'] / 1e6:.1f}")
    )


def aims(figures: Mapping[str, Any]) -> list[Aim]:
    """Return what was aimed at, with what was measured."""
    views = {n: view["ms"] for n, view in figures["views"].items() if n not in _BEFORE}
    views |= {title: each["ms"] for title, each in figures["cookbook"].items()}
    at_once = max((views[name], name) for name in AT_ONCE)
    slowest = max((ms, name) for name, ms in views.items())
    return [
        Aim(f"{name} ({what})", f"< {most:g} ms", f"{ms:.0f} ms", ms < most)
        for what, (ms, name), most in (
            (f"the slowest of {', '.join(AT_ONCE)}", at_once, MOST_AT_ONCE_MS),
            ("the slowest of all views and queries", slowest, MOST_MS),
        )
    ]
