"""Tables and views on the real engine: migrations, types, and what is known at present."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.evidence import EVERY_DUPLICATE
from infra.cli.output import READER_GONE_EXIT
from infra.cli.sql import sql
from infra.clickhouse.migrate import Migration, migrate, own_migrations
from schemas.audit_facts import NO_FACTS, fact_fields
from schemas.audit_kinds import AuditKind
from schemas.clock import now_us
from schemas.errors import ConfigurationError, StateError, UnavailableError
from schemas.times import US_PER_HOUR, US_PER_S
from stream_app.sink.clickhouse import check_database, connect
from stream_app.sink.tables import TABLES
from tests.support.sink_stack import ClickHouseServer, facts, insert, rate, settlement, zscore

pytestmark = pytest.mark.integration


def test_migrations_are_applied_once(clickhouse: ClickHouseServer) -> None:
    """A second run does nothing; a changed or unknown version is refused."""
    assert migrate(clickhouse.settings) == ([], [])
    first, *others = own_migrations()
    changed = [Migration(first.version, first.name, first.sql + " "), *others]
    with pytest.raises(StateError, match="was changed"):
        migrate(clickhouse.settings, changed)
    with pytest.raises(StateError, match="newer version"):
        migrate(clickhouse.settings, [first])


def test_a_migration_that_fails_is_finished_when_it_is_mended(clickhouse: ClickHouseServer) -> None:
    """What is recorded as started is run again."""
    own = own_migrations()
    number = len(own) + 1
    with pytest.raises(StateError, match="statement 1 of 1, failed"):
        migrate(clickhouse.settings, [*own, Migration(number, "next", "CREATE TABLE nonsense;\n")])
    mended = Migration(number, "next", "CREATE OR REPLACE VIEW funding.v AS SELECT 1 AS x;\n")
    assert migrate(clickhouse.settings, [*own, mended]) == ([mended], [])
    assert clickhouse.rows("SELECT x FROM funding.v") == [(1,)]


def test_migrate_makes_what_is_missing(clickhouse: ClickHouseServer) -> None:
    """Tables, columns and views come back as they were; a column of another type is told."""
    shape = (
        "SELECT table, name, type, default_expression, compression_codec FROM system.columns "
        "WHERE database = 'funding' ORDER BY table, name"
    )
    before = clickhouse.rows(shape)
    for statement in (
        "DROP TABLE funding.rates",
        "DROP VIEW funding.uptime",
        "DROP VIEW funding.latest",
        "ALTER TABLE funding.feeds DROP COLUMN mode",
        "ALTER TABLE funding.bars DROP COLUMN std",
    ):
        clickhouse.rows(statement)
    assert migrate(clickhouse.settings).made == [
        "funding.rates", "funding.bars.std", "funding.feeds.mode", "funding.latest",
        "funding.uptime",
    ]  # fmt: skip
    assert migrate(clickhouse.settings) == ([], [])
    assert clickhouse.rows(shape) == before
    clickhouse.rows("ALTER TABLE funding.bars MODIFY COLUMN updates Int32")
    with pytest.raises(StateError, match=r"funding\.bars\.updates is of type Int32, not Int64"):
        migrate(clickhouse.settings)


def test_a_missing_table_or_column_says_migrate(clickhouse: ClickHouseServer) -> None:
    """The sink's check names what is missing and the command that mends it."""
    client = connect(clickhouse.settings)
    check_database(client, clickhouse.settings, TABLES)
    clickhouse.rows("ALTER TABLE funding.bars DROP COLUMN ws_s")
    with pytest.raises(UnavailableError, match=r"column ws_s .*funding\.bars.*migrate"):
        check_database(client, clickhouse.settings, TABLES)
    clickhouse.rows("DROP TABLE funding.bars")
    with pytest.raises(UnavailableError, match=r"table funding\.bars.*migrate"):
        check_database(client, clickhouse.settings, TABLES)
    clickhouse.rows("INSERT INTO funding.schema_migrations (version, name) VALUES (9000, 'new')")
    with pytest.raises(StateError, match=r"migration 9000 .*new.* ends at"):
        check_database(client, clickhouse.settings, TABLES)
    client.close()


def test_every_type_lands_right(clickhouse: ClickHouseServer) -> None:
    """Microseconds, enums, nulls, booleans and doubles come back as they went in."""
    time_us = now_us() // US_PER_S * US_PER_S + 123_456
    record = rate(
        1, event_time=time_us, rate=-1.23456789012345e-5, index_price=None, late=True,
        next_funding_time=None, transport="rest", raw_offset=1 << 40,
    )  # fmt: skip
    insert(clickhouse, "rates", record)
    (row,) = clickhouse.rows(
        "SELECT event_time, rate, mark_price, index_price, late, next_funding_time, "
        "transport, interval_source, raw_offset FROM funding.rates"
    )
    moment = datetime.fromtimestamp(time_us // US_PER_S, tz=UTC).replace(microsecond=123_456)
    assert row[0].replace(tzinfo=UTC) == moment
    assert row[1:] == (-1.23456789012345e-5, 5e4, None, True, None, "rest", "payload", 1 << 40)


def test_the_token_and_the_key_each_hold_alone(clickhouse: ClickHouseServer) -> None:
    """A repeated token stores nothing; a repeated row under another token is replaced."""
    record = rate(1)
    insert(clickhouse, "rates", record, token="t1")
    insert(clickhouse, "rates", record, token="t1")
    assert clickhouse.rows("SELECT count() FROM funding.rates") == [(1,)]
    insert(clickhouse, "rates", record, token="t2")
    assert clickhouse.rows("SELECT count() FROM funding.rates FINAL") == [(1,)]
    assert clickhouse.rows(EVERY_DUPLICATE) == []


def test_latest_is_the_newest_row_of_each_contract(clickhouse: ClickHouseServer) -> None:
    """One row a contract; of equal times the later received; nothing older than a day."""
    now = now_us()
    insert(
        clickhouse, "zscores",
        zscore(1, event_time=now - 90 * US_PER_S, z=1.0),
        zscore(1, event_time=now - 60 * US_PER_S, z=-3.0, received_at=now - 2),
        zscore(1, event_time=now - 60 * US_PER_S, z=-4.0, received_at=now - 1, raw_offset=5),
        zscore(2, event_time=now - 10 * US_PER_S, z=3.5),
        zscore(3, event_time=now - 10 * US_PER_S, z=None, zone="unrated"),
        zscore(4, event_time=now - 30 * US_PER_HOUR, z=9.0),
    )  # fmt: skip
    found = clickhouse.rows("SELECT symbol, z, age_s FROM funding.latest ORDER BY symbol")
    assert [row[:2] for row in found] == [("S1USDT", -4.0), ("S2USDT", 3.5), ("S3USDT", None)]
    assert 60 <= found[0][2] < 90
    assert clickhouse.rows("SELECT symbol, z FROM funding.extremes") == [
        ("S1USDT", -4.0),
        ("S2USDT", 3.5),
    ]


def test_spreads_compare_feeds_not_contracts_of_one_feed(clickhouse: ClickHouseServer) -> None:
    """The widest gap is between two feeds; a stale leg does not count."""

    def leg(number: int, feed: str, quote: str, rate_8h: float, age_s: int = 5) -> Any:
        return zscore(
            number, feed=feed, contract_id=f"{feed}:BTC{quote}", symbol=f"BTC{quote}",
            rate_8h=rate_8h, event_time=now_us() - age_s * US_PER_S,
        )  # fmt: skip

    insert(
        clickhouse, "zscores",
        leg(1, "binance-usdm", "USDT", 5e-4),
        leg(2, "binance-usdm", "USDC", -2e-4),
        leg(3, "kucoin", "USDT", 1e-4),
        leg(4, "hyperliquid", "USD", 1.5e-4),
        leg(5, "backpack", "USD", -9e-4, age_s=3_600),
        zscore(6, base="ETH"),
    )  # fmt: skip
    (row,) = clickhouse.rows(
        "SELECT base, gap_8h, gap_apr, high_contract_id, low_contract_id, high_feed, low_feed "
        "FROM funding.spreads"
    )
    assert row[0] == "BTC"
    assert row[1] == pytest.approx(4e-4)
    assert row[2] == pytest.approx(4e-4 * 1095)
    assert row[3:] == ("binance-usdm:BTCUSDT", "kucoin:BTCUSDT", "binance-usdm", "kucoin")


def test_freshness_is_the_age_of_the_newest_update_by_feed(clickhouse: ClickHouseServer) -> None:
    """The quantiles are over contracts, each by its newest update."""
    now = now_us()
    records = [
        rate(n, event_time=now - age_s * US_PER_S, raw_item=age_s)
        for n in range(4)
        for age_s in ((n + 1) * 10, 500)
    ]
    insert(clickhouse, "rates", *records)
    ((feed, p50_s, _p99_s, max_s, contracts),) = clickhouse.rows("SELECT * FROM funding.freshness")
    assert (feed, contracts) == ("binance-usdm", 4)
    assert 20 <= p50_s < 35
    assert 40 <= max_s < 50


def test_the_server_goes_by_utc_wherever_it_runs(clickhouse: ClickHouseServer) -> None:
    """The zone of its machine is another one."""
    zone, known = "SELECT timezone()", "SELECT toDateTime('2026-01-01 00:00:00')::Int64"
    assert clickhouse.rows(zone) == [("UTC",)]
    assert clickhouse.rows(known) == [(1_767_225_600,)]


def test_duplicates_finds_each_kind(clickhouse: ClickHouseServer) -> None:
    """Rows that mean the same under different keys are shown, honest rows are not."""
    now = now_us()
    alert = {
        "alert_id": "a1", "subject": "s", "kind": "z_cross", "severity": "info", "value": None,
        "threshold": None, "message": "m", "event_time": now, "created_at": now,
        "raw_topic": None, "raw_partition": None, "raw_offset": None, "raw_item": None,
    }  # fmt: skip
    insert(clickhouse, "rates", rate(1, event_time=now), rate(2, event_time=now))
    insert(clickhouse, "rates", rate(1, event_time=now, rate=7e-5, raw_offset=9))
    insert(clickhouse, "zscores", zscore(1, event_time=now), zscore(1, event_time=now + 1))
    insert(clickhouse, "settlements", settlement(1), settlement(2))
    insert(clickhouse, "alerts", alert)
    insert(clickhouse, "alerts", alert)
    assert clickhouse.rows(EVERY_DUPLICATE) == []
    insert(clickhouse, "rates", rate(1, event_time=now, raw_offset=77))
    insert(clickhouse, "rates", rate(2, event_time=now + 5, rate=3e-5))
    insert(clickhouse, "zscores", zscore(1, event_time=now, raw_offset=77))
    insert(clickhouse, "alerts", {**alert, "event_time": now + 1})
    four = [("alerts", 2), ("rates", 2), ("rates", 2), ("zscores", 2)]
    for asked in (EVERY_DUPLICATE, "SELECT * FROM funding.duplicates"):
        found = clickhouse.rows(f"SELECT table, count FROM ({asked}) ORDER BY table")
        assert found == four, asked


def test_duplicates_of_before_are_found_by_their_span(clickhouse: ClickHouseServer) -> None:
    """`duplicates` is about the last minutes, `duplicates_between` about what it is asked for."""
    before = now_us() - US_PER_HOUR
    insert(
        clickhouse, "rates", rate(1, event_time=before), rate(1, event_time=before, raw_offset=7)
    )
    assert clickhouse.rows("SELECT * FROM funding.duplicates") == []
    assert [row[0] for row in clickhouse.rows(EVERY_DUPLICATE)] == ["rates"]
    span = "since = now() - INTERVAL 30 MINUTE, until = now()"
    assert clickhouse.rows(f"SELECT * FROM funding.duplicates_between({span})") == []


def test_each_row_is_counted_once(clickhouse: ClickHouseServer) -> None:
    """Whatever was delivered twice or corrected, each table has a view without it, with bases."""
    now = now_us()
    first, second, third = (settlement(n, funding_time=now - n) for n in (1, 2, 3))
    insert(clickhouse, "settlements", first, second, third)
    insert(clickhouse, "settlements", {**first, "rate": 5e-4}, second)
    insert(clickhouse, "zscores", zscore(1, event_time=now, base="AAA"))
    insert(clickhouse, "zscores", zscore(1, event_time=now, base="AAA"))
    insert(clickhouse, "rates", rate(1, event_time=now, base="AAA"))
    insert(clickhouse, "rates", rate(1, event_time=now, base="AAA"))
    times = {
        **dict.fromkeys(("raw_topic", "raw_partition", "raw_offset", "raw_item")),
        "first_event_time": now, "last_event_time": now,
    }  # fmt: skip
    for subject in ("binance-usdm:S1USDT", "binance-usdm:S1USDT", "kucoin"):
        event = {
            **fact_fields(NO_FACTS), "subject": subject, "kind": AuditKind.LATE, "count": 1,
            "detail": "", **times,
        }  # fmt: skip
        insert(clickhouse, "audit", event)
    told = facts("binance-usdm:S1USDT", updated_at=now)
    insert(clickhouse, "contract_facts", told)
    insert(clickhouse, "contract_facts", told)
    counts = {
        name: clickhouse.rows(f"SELECT count() FROM funding.{name}_once")[0][0]
        for name in (table.name for table in TABLES)
    }
    assert counts == {
        "settlements": 3, "zscores": 1, "rates": 1, "audit": 2, "bars": 0, "alerts": 0, "feeds": 0,
        "contract_facts": 1,
    }  # fmt: skip
    assert clickhouse.rows(
        "SELECT feed, symbol, base, rate FROM funding.settlements_once ORDER BY symbol"
    ) == [
        ("binance-usdm", "S1USDT", "AAA", 5e-4),
        ("binance-usdm", "S2USDT", "", 1e-4),
        ("binance-usdm", "S3USDT", "", 1e-4),
    ]
    assert clickhouse.rows(
        "SELECT subject, feed, symbol, base FROM funding.audit_once ORDER BY subject"
    ) == [("binance-usdm:S1USDT", "binance-usdm", "S1USDT", "AAA"), ("kucoin", "kucoin", "", "")]


def test_sql_binds_parameters_and_formats(clickhouse: ClickHouseServer) -> None:
    """`fundingstream sql` never puts a value into the text of the query."""
    insert(clickhouse, "rates", rate(1), rate(2))
    arguments = [
        "SELECT symbol FROM rates WHERE symbol = {s:String} OR symbol = {t:String}",
        *("-p", "s=S1USDT", "-p", "t=' OR 1 = 1 --", "--format", "TSV"),
        *("--clickhouse", clickhouse.settings.clickhouse_url),
    ]
    result = CliRunner().invoke(sql, arguments)
    assert (result.exit_code, result.output) == (0, "S1USDT\n")
    result = CliRunner().invoke(sql, ["SELECT 1", "-p", "s=1", *arguments[-2:]])
    assert isinstance(result.exception, ConfigurationError)
    result = CliRunner().invoke(sql, ["SELECT * FROM nothing", *arguments[-2:]])
    assert isinstance(result.exception, ConfigurationError)
    assert "UNKNOWN_TABLE" in str(result.exception)


def run_sql(clickhouse: ClickHouseServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own; who writes comes as the server's writer."""
    settings = clickhouse.settings
    writer = {
        "FUNDING_CLICKHOUSE_USERNAME": settings.clickhouse_username,
        "FUNDING_CLICKHOUSE_PASSWORD": settings.clickhouse_password.get_secret_value(),
    }
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", "sql", *arguments,
         "--clickhouse", settings.clickhouse_url],
        env={**os.environ, **(writer if "--write" in arguments else {})},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE rates", "ALTER TABLE rates DROP COLUMN apr", "TRUNCATE TABLE rates",
     "INSERT INTO audit (subject) VALUES ('x')", "OPTIMIZE TABLE rates"],
)  # fmt: skip
def test_sql_only_reads_unless_told_to_write(clickhouse: ClickHouseServer, statement: str) -> None:
    """One sentence that names --write, exit code 2, and nothing has changed."""
    insert(clickhouse, "rates", rate(1))
    refused = run_sql(clickhouse, statement)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "add --write" in refused.stderr
    assert clickhouse.rows("SELECT count(), sum(apr) > 0 FROM funding.rates") == [(1, True)]
    assert clickhouse.rows("SELECT count() FROM funding.audit") == [(0,)]
    written = run_sql(clickhouse, statement, "--write")
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1 SETTINGS max_threads = 1", "WITH 1 AS x SELECT x", "SHOW TABLES", "DESCRIBE rates",
     "EXPLAIN SELECT 1", "EXISTS rates"],
)  # fmt: skip
def test_sql_lets_whatever_reads_pass(clickhouse: ClickHouseServer, statement: str) -> None:
    """With the settings that a query brings itself."""
    done = run_sql(clickhouse, statement)
    assert (done.returncode, done.stderr, bool(done.stdout)) == (0, "", True)


def test_sql_takes_the_format_of_the_query(clickhouse: ClickHouseServer) -> None:
    """A FORMAT clause wins over --format."""
    done = run_sql(clickhouse, "SELECT 1 AS x FORMAT JSONEachRow", "--format", "CSV")
    assert (done.returncode, done.stdout) == (0, '{"x":1}\n')


def test_sql_says_that_there_are_no_rows(clickhouse: ClickHouseServer) -> None:
    """On standard error, and only where a person reads."""
    query = "SELECT * FROM rates"
    assert (run_sql(clickhouse, query).stderr) == "0 rows\n"
    for arguments in ((query, "--format", "CSV"), (f"{query} FORMAT TSV",)):
        done = run_sql(clickhouse, *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_sql_ends_in_silence_when_its_reader_goes(clickhouse: ClickHouseServer) -> None:
    """As any Unix tool: 128 + SIGPIPE and not a word."""
    query = "SELECT number FROM numbers(3000000)"
    with subprocess.Popen(
        [sys.executable, "-m", "infra.cli", "sql", query, "--format", "CSV",
         "--clickhouse", clickhouse.settings.clickhouse_url],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert (process.wait(30), process.stderr.read()) == (READER_GONE_EXIT, "")


def test_sql_writes_a_file_once_it_is_whole(clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    """A query that fails on its way leaves the file of before, and nothing beside it."""
    path = tmp_path / "numbers.csv"
    done = run_sql(
        clickhouse, "SELECT number AS n FROM numbers(2)", "--format", "csv", "--output", str(path)
    )
    assert (done.returncode, done.stdout, path.read_text()) == (0, "", '"n"\n0\n1\n')
    failing = "SELECT throwIf(number = 2000000) FROM numbers(3000000)"
    done = run_sql(clickhouse, failing, "--output", str(path))
    assert (done.returncode, "throwIf" in done.stderr) == (2, True)
    assert ([*tmp_path.iterdir()], path.read_text()) == ([path], '"n"\n0\n1\n')


def test_sql_repeats_a_query(clickhouse: ClickHouseServer) -> None:
    """Into a pipe one answer follows the other, without codes of a terminal."""
    done = run_sql(
        clickhouse, "SELECT 1 AS x", "--format", "json", "--watch", "--every", "0.1", "--times", "2"
    )
    assert (done.returncode, done.stdout) == (0, '{"x":1}\n' * 2)
