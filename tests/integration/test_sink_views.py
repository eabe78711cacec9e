"""Tables and views on the real engine: migrations, types, and what each view answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.clickhouse.commands import sql
from infra.clickhouse.migrate import Migration, migrate, own_migrations
from schemas.codec import HEADER_BYTES, Encoder
from schemas.errors import ConfigurationError, StateError
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_S, now_us
from stream_app.sink.clickhouse import check_tables, connect
from stream_app.sink.container import container, container_header
from stream_app.sink.tables import TABLES
from tests.integration.sink_stack import ClickHouseServer, rate, settlement, zscore

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A ClickHouse server for the module."""
    clickhouse = ClickHouseServer(tmp_path_factory.mktemp("views"))
    clickhouse.start()
    yield clickhouse
    clickhouse.stop()


@pytest.fixture
def clickhouse(server: ClickHouseServer) -> ClickHouseServer:
    """The server with empty tables."""
    server.empty()
    return server


def insert(clickhouse: ClickHouseServer, table_name: str, *records: Any, token: str = "") -> None:
    """Insert records as the sink does."""
    table = next(t for t in TABLES if t.name == table_name)
    encoder = Encoder(table.record_type, 1)
    data = container(
        container_header(table.record_type.text),
        [encoder.encode(r)[HEADER_BYTES:] for r in records],
    )
    client = connect(clickhouse.settings)
    client.raw_insert(
        table.full_name, list(table.record_type.fields), data, fmt="Avro",
        settings={"insert_deduplication_token": token} if token else {},
    )  # fmt: skip
    client.close()


def test_migrations_are_applied_once(clickhouse: ClickHouseServer) -> None:
    """A second run does nothing; a changed or unknown version is refused."""
    assert migrate(clickhouse.settings) == []
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
    assert migrate(clickhouse.settings, [*own, mended]) == [mended]
    assert clickhouse.rows("SELECT x FROM funding.v") == [(1,)]


def test_a_missing_table_or_column_says_migrate(clickhouse: ClickHouseServer) -> None:
    """The sink's check names what is missing and the command that mends it."""
    client = connect(clickhouse.settings)
    check_tables(client, clickhouse.settings, TABLES)
    clickhouse.rows("ALTER TABLE funding.bars DROP COLUMN ws_s")
    with pytest.raises(ConfigurationError, match=r"column ws_s .*funding\.bars.*migrate"):
        check_tables(client, clickhouse.settings, TABLES)
    clickhouse.rows("DROP TABLE funding.bars")
    with pytest.raises(ConfigurationError, match=r"table funding\.bars.*migrate"):
        check_tables(client, clickhouse.settings, TABLES)
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
    assert clickhouse.rows("SELECT * FROM funding.duplicates") == []


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
    assert clickhouse.rows("SELECT * FROM funding.duplicates") == []
    insert(clickhouse, "rates", rate(1, event_time=now, raw_offset=77))
    insert(clickhouse, "rates", rate(2, event_time=now + 5, rate=3e-5))
    insert(clickhouse, "zscores", zscore(1, event_time=now, raw_offset=77))
    insert(clickhouse, "alerts", {**alert, "event_time": now + 1})
    found = clickhouse.rows("SELECT table, count FROM funding.duplicates ORDER BY table")
    assert found == [("alerts", 2), ("rates", 2), ("rates", 2), ("zscores", 2)]


def audit(subject: str, kind: str, first: int, last: int, **changes: Any) -> dict[str, Any]:
    """An audit event, from one time to another."""
    return {
        "subject": subject, "kind": kind, "count": 1, "first_event_time": first,
        "last_event_time": last, "detail": "", "raw_topic": "funding.raw.x", "raw_partition": 3,
        "raw_offset": last // US_PER_S, "raw_item": 0,
    } | changes  # fmt: skip


def bar(contract: str, hour: int, ws_s: float, rest_s: float = 0.0) -> dict[str, Any]:
    """A bar that is covered for so long."""
    feed, symbol = contract.split(":", 1)
    nothing = dict.fromkeys(("z_min", "z_max", "z_close", "mark_close"))
    rates = dict.fromkeys(("open", "high", "low", "close", "mean"), 1e-4)
    return {
        "contract_id": contract, "feed": feed, "symbol": symbol, "base": "B", "hour": hour,
        "std": 0.0, "covered_s": ws_s + rest_s, "updates": 7, "late_updates": 1,
        "interval_hours": 8.0, "ws_s": ws_s, "rest_s": rest_s, **rates, **nothing,
    }  # fmt: skip


DAY_US = (now_us() // US_PER_DAY - 2) * US_PER_DAY
"""The day before yesterday."""


def hours_of_two_feeds(clickhouse: ClickHouseServer) -> None:
    """Bars of the hours 1 to 4: X has none at 3, GONE is delisted at 3, NEW begins at 4."""
    hour = [DAY_US + number * US_PER_HOUR for number in range(6)]
    insert(
        clickhouse, "bars",
        bar("kucoin:X", hour[1], 900), bar("kucoin:X", hour[2], 3_600),
        bar("kucoin:X", hour[4], 1_200, 600),
        bar("kucoin:Y", hour[2], 1_800), bar("kucoin:Y", hour[3], 3_600),
        bar("kucoin:Y", hour[4], 3_600),
        bar("kucoin:GONE", hour[1], 3_600), bar("kucoin:GONE", hour[2], 3_600),
        bar("kucoin:NEW", hour[4], 0, 1_200),
        bar("backpack:Z", hour[1], 10), bar("backpack:Z", hour[2], 2_700),
    )  # fmt: skip
    ended = hour[3] + 600 * US_PER_S
    insert(clickhouse, "audit", audit("kucoin:GONE", "delisted", ended, ended))


def test_coverage_shows_the_hours_without_a_bar(clickhouse: ClickHouseServer) -> None:
    """As zero, from a contract's first bar to the newest of all feeds; none for who is gone."""
    hours_of_two_feeds(clickhouse)
    found = clickhouse.rows(
        "SELECT contract_id, toHour(hour), covered, covered_by_stream, covered_by_rest, updates "
        "FROM funding.coverage WHERE feed = 'kucoin' ORDER BY contract_id, hour"
    )
    assert [row[:2] for row in found] == [
        *(("kucoin:GONE", hour) for hour in (1, 2)),
        ("kucoin:NEW", 4),
        *(("kucoin:X", hour) for hour in (1, 2, 3, 4)),
        *(("kucoin:Y", hour) for hour in (2, 3, 4)),
    ]
    assert found[5][2:] == (0, 0, 0, 0)
    assert found[6][2:] == pytest.approx((0.5, 1 / 3, 1 / 6, 7))
    others = "SELECT toHour(hour), covered FROM funding.coverage WHERE feed = 'backpack'"
    assert sorted(clickhouse.rows(others)) == [(1, 10 / 3_600), (2, 0.75), (3, 0), (4, 0)]


def test_a_feed_that_is_silent_is_covered_for_nothing(clickhouse: ClickHouseServer) -> None:
    """However long, as long as any other brings bars."""
    hour0 = now_us() // US_PER_HOUR * US_PER_HOUR
    insert(
        clickhouse, "bars",
        *(bar("kucoin:X", hour0 - n * US_PER_HOUR, 3_600) for n in range(31, 41)),
        *(bar("backpack:Z", hour0 - n * US_PER_HOUR, 3_600) for n in range(2, 41)),
    )  # fmt: skip
    found = clickhouse.rows(
        "SELECT feed, sum(contract_hours), sum(contract_hours * uptime) "
        "FROM funding.uptime GROUP BY feed ORDER BY feed"
    )
    assert found == [("backpack", 38, 38), ("kucoin", 38, pytest.approx(9))]


def test_a_contract_that_has_ended_is_expected_no_longer(clickhouse: ClickHouseServer) -> None:
    """Neither the hour of its end nor what it brings afterwards counts, unless it trades again."""
    hour = [DAY_US + number * US_PER_HOUR for number in range(10)]
    ended = hour[3] + 3_599 * US_PER_S
    insert(
        clickhouse, "bars",
        *(bar("kucoin:LIVE", at, 3_600) for at in hour[1:9]),
        *(bar("kucoin:GONE", at, 3_600) for at in hour[1:4]), bar("kucoin:GONE", hour[4], 5),
        *(bar("kucoin:BACK", at, 3_600) for at in (*hour[1:4], hour[6])),
    )  # fmt: skip
    insert(
        clickhouse, "audit",
        audit("kucoin:GONE", "trading_ended", ended, ended),
        audit("kucoin:BACK", "trading_ended", ended, ended),
        audit("kucoin:BACK", "trading_began", hour[6], hour[6]),
    )  # fmt: skip
    found = clickhouse.rows(
        "SELECT contract_id, count(), countIf(covered = 0), toHour(max(hour)) "
        "FROM funding.coverage GROUP BY contract_id ORDER BY contract_id"
    )
    assert found == [("kucoin:BACK", 8, 4, 8), ("kucoin:GONE", 4, 0, 4), ("kucoin:LIVE", 8, 0, 8)]
    # LIVE 7; GONE 1, its hour 2; BACK 3 of 7.
    assert clickhouse.rows("SELECT contract_hours, uptime FROM funding.uptime") == [
        (15, pytest.approx(11 / 15))
    ]


def test_uptime_is_the_share_of_the_time_in_which_contracts_are_known(
    clickhouse: ClickHouseServer,
) -> None:
    """Without the hour in which each appeared, unless it has no other."""
    hours_of_two_feeds(clickhouse)
    found = clickhouse.rows("SELECT * FROM funding.uptime")
    day = datetime.fromtimestamp(DAY_US // US_PER_S, tz=UTC).date()
    assert [row[:4] for row in found] == [("backpack", day, 1, 3), ("kucoin", day, 4, 7)]
    assert found[0][4:] == pytest.approx((0.25, 0.25, 0))
    # X 1, 0 and a half; Y 1 and 1; GONE 1; NEW a third.
    assert found[1][4:] == pytest.approx((29 / 6 / 7, 26 / 6 / 7, 1 / 2 / 7))


def test_gaps_pairs_what_opened_with_what_closed(clickhouse: ClickHouseServer) -> None:
    """Of each subject by itself; one that is open has no end and grows."""
    at = [DAY_US + second * US_PER_S for second in range(400)]
    opened = now_us() - 90 * US_PER_S
    filled = "63.0 s without stream; rest filled 58.2 s with 12 updates"
    insert(
        clickhouse, "audit",
        audit("kucoin:X", "gap_opened", at[10], at[20]),
        audit("kucoin:X", "gap_closed", at[10], at[73], count=62, detail=filled),
        audit("kucoin:X", "gap_opened", at[73], at[85]),
        audit("kucoin:X", "gap_closed", at[73], at[99], count=25, detail="nothing filled it"),
        audit("kucoin:Y", "gap_opened", at[12], at[25]),
        audit("kucoin:Y", "delisted", at[300], at[300]),
        audit("kucoin", "gap_opened", at[11], at[12], detail="socket 1: closed", raw_item=1),
        audit("kucoin", "gap_opened", at[11], at[12], detail="socket 2: closed", raw_item=2),
        audit("kucoin", "gap_closed", at[11], at[30], detail="socket 2: 19.0 s (closed); ..."),
        audit("kucoin", "gap_closed", at[11], at[40], detail="socket 1: 29.0 s (closed); ..."),
        audit("kucoin", "gap_opened", at[50], at[51], detail="socket 1: closed; the producer dies"),
        audit("kucoin", "gap_opened", at[90], at[91], detail="socket 1: closed"),
        audit("kucoin", "gap_closed", at[90], at[95], detail="socket 1: 5.0 s (closed); ..."),
        audit("backpack:Z", "gap_opened", opened, opened + 10 * US_PER_S),
    )  # fmt: skip
    insert(clickhouse, "audit", audit("kucoin:X", "gap_opened", at[10], at[20]))
    found = clickhouse.rows(
        "SELECT feed, subject, toUnixTimestamp64Micro(opened_at), "
        "toUnixTimestamp64Micro(closed_at), seconds, missed_ticks, filled_by "
        "FROM funding.gaps ORDER BY opened_at, subject, closed_at"
    )
    assert found[:-1] == [
        ("kucoin", "kucoin:X", at[10], at[73], 63.0, 62, filled),
        ("kucoin", "kucoin", at[11], at[30], 19.0, 0, "socket 2: 19.0 s (closed); ..."),
        ("kucoin", "kucoin", at[11], at[40], 29.0, 0, "socket 1: 29.0 s (closed); ..."),
        ("kucoin", "kucoin:Y", at[12], at[300], 288.0, 0, "delisted"),
        ("kucoin", "kucoin", at[50], at[95], 45.0, 0, "a later end"),
        ("kucoin", "kucoin:X", at[73], at[99], 26.0, 25, "nothing filled it"),
        ("kucoin", "kucoin", at[90], at[95], 5.0, 0, "socket 1: 5.0 s (closed); ..."),
    ]
    ((_feed, subject, since, until, seconds, missed, filled_by),) = found[-1:]
    assert (subject, since, until, missed, filled_by) == ("backpack:Z", opened, None, 0, "")
    assert 90 <= seconds < 120


def test_a_gap_ends_with_its_own_socket_or_a_start(clickhouse: ClickHouseServer) -> None:
    """Another socket's end is none; a gap of a contract that is gone is over."""
    at = [DAY_US + second * US_PER_S for second in range(400)]
    insert(
        clickhouse, "audit",
        audit("hyperliquid", "gap_opened", at[0], at[1], detail="socket hip3: closed"),
        audit("hyperliquid", "gap_opened", at[50], at[51], detail="socket main: closed"),
        audit("hyperliquid", "gap_closed", at[50], at[53], detail="socket main: 3.0 s (closed)"),
        audit("backpack", "gap_opened", at[10], at[11], detail="socket 1: closed"),
        audit("backpack", "gap_opened", at[12], at[13], detail="socket 2: closed", raw_item=2),
        audit("backpack", "started", at[80], at[80], detail="mode auto"),
        audit("backpack", "gap_opened", at[90], at[91], detail="socket 2: closed"),
        audit("kucoin:GONE", "delisted", at[20], at[20]),
        audit("kucoin:GONE", "gap_opened", at[80], at[230]),
        audit("kucoin:BACK", "delisted", at[20], at[20]),
        audit("kucoin:BACK", "listed", at[30], at[30]),
        audit("kucoin:BACK", "gap_opened", at[80], at[230]),
    )  # fmt: skip
    found = clickhouse.rows(
        "SELECT subject, toUnixTimestamp64Micro(opened_at), toUnixTimestamp64Micro(closed_at), "
        "filled_by FROM funding.gaps ORDER BY subject, opened_at"
    )
    restarted = "the producer was restarted"
    assert found == [
        ("backpack", at[10], at[80], restarted),
        ("backpack", at[12], at[80], restarted),
        ("backpack", at[90], None, ""),
        ("hyperliquid", at[0], None, ""),
        ("hyperliquid", at[50], at[53], "socket main: 3.0 s (closed)"),
        ("kucoin:BACK", at[80], None, ""),
        ("kucoin:GONE", at[80], at[80], "delisted"),
    ]


def test_reconciliation_adds_up_partitions_and_minutes(clickhouse: ClickHouseServer) -> None:
    """By feed and hour; a contract's own mismatch is not counted again."""
    hour = DAY_US + 5 * US_PER_HOUR
    insert(
        clickhouse, "audit",
        audit("kucoin", "matched", hour + 1, hour + 9, count=90, raw_partition=1),
        audit("kucoin", "matched", hour + 1, hour + 9, count=69, raw_partition=2),
        audit("kucoin", "mismatch", hour + 2, hour + 2, count=1),
        audit("kucoin:X", "mismatch", hour + 2, hour + 2, count=1),
        audit("kucoin", "not_compared", hour + 4, hour + 4, count=5),
        audit("kucoin", "settled_matched", hour, hour, count=11),
        audit("kucoin:X", "settled_differs", hour, hour, count=1),
        audit("kucoin:Y", "settled_differs", hour, hour, count=1),
        audit("kucoin", "not_compared", hour + US_PER_HOUR, hour + US_PER_HOUR, count=7),
    )  # fmt: skip
    found = clickhouse.rows("SELECT * EXCEPT hour, toHour(hour) FROM funding.reconciliation")
    assert found == [
        ("kucoin", 159, 1, 5, 1 / 160, 11, 2, 5),
        ("kucoin", 0, 0, 7, None, 0, 0, 6),
    ]


def test_what_the_page_about_gaps_asks_is_answered(clickhouse: ClickHouseServer) -> None:
    """Each query of docs/gaps.md, on what the views above it hold."""
    hours_of_two_feeds(clickhouse)
    page = (Path(__file__).parents[2] / "docs" / "gaps.md").read_text(encoding="utf-8")
    queries = re.findall(r'^\.venv/bin/fundingstream sql "(.*)"$', page, re.MULTILINE)
    assert len(queries) >= 4
    for query in queries:
        arguments = [query, "--clickhouse", clickhouse.settings.clickhouse_url]
        result = CliRunner().invoke(sql, arguments)
        assert result.exit_code == 0, (query, result.exception)


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
