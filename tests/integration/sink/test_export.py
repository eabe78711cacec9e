"""`fundingstream export`: the rows of a table in files, each row once."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra.clickhouse.export_plan import span_of_file
from schemas.clock import now_us
from schemas.times import US_PER_HOUR, hour_floor
from tests.support.sink_stack import ClickHouseServer, insert, settlement

pytestmark = pytest.mark.integration


def run_export(
    clickhouse: ClickHouseServer, table: str, directory: Path, *arguments: str, code: int = 0
) -> tuple[list[dict[str, Any]], str]:
    """Run the command as a process; return the files that it tells, and what it says beside."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "export", table, "--since", "3d",
         "--output", str(directory), "--clickhouse", clickhouse.settings.clickhouse_url, "--json",
         *arguments],
        env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return (json.loads(done.stdout) if code == 0 else []), done.stderr


def rows_in(directory: Path) -> list[tuple[str, int]]:
    """Contract and offset of each row of all files, in order."""
    rows = [row for path in directory.iterdir() for row in pq.read_table(path).to_pylist()]
    return sorted((row["contract_id"], row["raw_offset"]) for row in rows)


def fill(clickhouse: ClickHouseServer, numbers: range) -> None:
    """A settlement an hour; each is delivered twice."""
    first = hour_floor(now_us()) - 42 * US_PER_HOUR
    for _ in range(2):
        rows = [settlement(n, funding_time=first + n * US_PER_HOUR, raw_offset=n) for n in numbers]
        insert(clickhouse, "settlements", *rows)


STORED = "SELECT contract_id, raw_offset FROM funding.settlements FINAL ORDER BY ALL"


def test_each_row_is_in_the_files_once(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """Also after a second run, which adds what has come since, and after one that writes anew."""
    fill(clickhouse, range(20))
    files, _ = run_export(clickhouse, "settlements", tmp_path)
    assert [(file["rows"], file["written"]) for file in files] == [(20, True)]
    assert rows_in(tmp_path) == clickhouse.rows(STORED)

    fill(clickhouse, range(20, 40))
    files, _ = run_export(clickhouse, "settlements", tmp_path)
    assert [(file["rows"], file["written"]) for file in files] == [(None, False), (20, True)]
    assert rows_in(tmp_path) == clickhouse.rows(STORED)

    files, _ = run_export(clickhouse, "settlements", tmp_path, "--force")
    assert [(file["rows"], file["written"]) for file in files] == [(20, True), (20, True)]
    assert rows_in(tmp_path) == clickhouse.rows(STORED)


def test_files_of_rows_that_are_gone_stay(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """They may be all that is left of them; the others are written anew."""
    fill(clickhouse, range(20))
    run_export(clickhouse, "settlements", tmp_path)
    (old,) = tmp_path.iterdir()
    before = old.read_bytes()
    clickhouse.rows("TRUNCATE TABLE funding.settlements")
    fill(clickhouse, range(20, 40))
    files, told = run_export(clickhouse, "settlements", tmp_path, "--force")
    assert [(file["rows"], file["written"]) for file in files] == [(None, False), (20, True)]
    assert f"{old.name}: kept as it is" in told
    assert old.read_bytes() == before


def test_hours_that_are_not_over_are_in_no_file(
    clickhouse: ClickHouseServer, tmp_path: Path
) -> None:
    """A file would say that they are done, and what comes later would never be exported."""
    now = now_us()
    rows = [
        settlement(n, funding_time=hour_floor(now) - (5 - n) * US_PER_HOUR, raw_offset=n)
        for n in range(8)
    ]
    insert(clickhouse, "settlements", *rows)
    files, told = run_export(clickhouse, "settlements", tmp_path, "--until", "2100-01-01")
    assert "the files end at" in told
    span = span_of_file("settlements", Path(files[-1]["path"]).name)
    assert span is not None
    assert hour_floor(now) - US_PER_HOUR <= span.to_us <= hour_floor(now_us())


def test_a_filter_has_files_of_its_own(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """Beside those of the whole table."""
    fill(clickhouse, range(4))
    run_export(clickhouse, "settlements", tmp_path)
    contract = "binance-usdm:S1USDT"
    files, _ = run_export(clickhouse, "settlements_once", tmp_path, "--contract", contract)
    (file,) = files
    assert (file["rows"], file["written"]) == (1, True)
    assert pq.read_table(file["path"])["contract_id"].to_pylist() == [contract]


def test_what_is_too_much_at_once_is_halved(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """The server refuses an answer of more than 256 MB. A file that was there gives way to two."""
    fill(clickhouse, range(20))
    view = (
        "CREATE OR REPLACE VIEW funding.wide AS SELECT contract_id, raw_offset, funding_time, "
        "{} AS text FROM funding.settlements FINAL"
    )
    clickhouse.rows(view.format("''"))
    files, _ = run_export(clickhouse, "wide", tmp_path)
    assert [file["rows"] for file in files] == [20]
    clickhouse.rows(view.format("randomString(20000000 + raw_offset)"))
    files, told = run_export(clickhouse, "wide", tmp_path, "--force")
    assert "too much at once" in told
    assert sum(file["rows"] for file in files) == 20
    found = (span_of_file("wide", Path(file["path"]).name) for file in files)
    spans = sorted(span for span in found if span is not None)
    assert len(spans) == len(files) > 1
    assert all(one.to_us <= other.from_us for one, other in itertools.pairwise(spans))
    assert sorted(map(str, tmp_path.iterdir())) == sorted(file["path"] for file in files)
    assert sum(pq.read_metadata(file["path"]).num_rows for file in files) == 20


@pytest.mark.parametrize(
    ("table", "arguments", "reason"),
    [
        ("nothing", (), "no table or view 'nothing'"),
        ("freshness", (), "no column of time"),
        ("alerts", ("--feed", "kucoin"), "alerts_once has more"),
        ("rates", ("--until", "4d"), "no full hour"),
    ],
)
def test_what_cannot_be_exported_is_said(
    clickhouse: ClickHouseServer,
    tmp_path: Path,
    table: str,
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    """With the exit code of what a person wrote."""
    _, told = run_export(clickhouse, table, tmp_path, *arguments, code=2)
    assert reason in told


def test_no_rows_are_no_files(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """And no failure."""
    assert run_export(clickhouse, "rates", tmp_path / "new")[0] == []
    assert [*(tmp_path / "new").iterdir()] == []
