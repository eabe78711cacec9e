"""Views on the real engine that tell what is missing: coverage, uptime, gaps, reconciliation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli.sql import sql
from infra.clickhouse.migrate import migrate, own_migrations
from schemas.audit_facts import NO_FACTS, AuditCause, AuditFacts, fact_fields
from schemas.audit_kinds import AuditKind
from schemas.clock import now_us
from schemas.feeds import FEEDS, stale_s
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_S
from tests.support.paths import ROOT
from tests.support.sink_stack import ClickHouseServer, insert, rate

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


def audit(subject: str, kind: str, first: int, last: int, **changes: Any) -> dict[str, Any]:
    """An audit event, from one time to another."""
    return {
        **fact_fields(NO_FACTS), "subject": subject, "kind": AuditKind(kind), "count": 1,
        "first_event_time": first, "last_event_time": last, "detail": "",
        "raw_topic": "funding.raw.x", "raw_partition": 3, "raw_offset": last // US_PER_S,
        "raw_item": 0,
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
    """Without the hour in which each appeared, where nobody knows when within it."""
    hours_of_two_feeds(clickhouse)
    found = clickhouse.rows("SELECT * FROM funding.uptime")
    day = datetime.fromtimestamp(DAY_US // US_PER_S, tz=UTC).date()
    assert [row[:4] for row in found] == [("backpack", day, 1, 3), ("kucoin", day, 3, 6)]
    assert found[0][4:] == pytest.approx((0.25, 0.25, 0))
    # X 1, 0 and a half; Y 1 and 1; GONE 1.
    assert found[1][4:] == pytest.approx((4.5 / 6, (4 + 1 / 3) / 6, 1 / 6 / 6))


def report(feed: str, at: int, state: str = "live") -> dict[str, Any]:
    """What a producer reports at a time."""
    counts = (
        *("contracts_expected", "contracts_live", "connections", "connects", "frames", "updates"),
        *("rest_calls", "backfill_done", "contracts_by_rest", "connect_attempts"),
        *("rest_failures", "repeated"),
    )
    return {
        "feed": feed, "state": state, "transport": None, "since": at, "reported_at": at,
        "last_data_at": None, "detail": "", "mode": "stream", **dict.fromkeys(counts, 0),
    }  # fmt: skip


def test_uptime_counts_from_the_first_observation_on(clickhouse: ClickHouseServer) -> None:
    """A first hour of which the feed ran a half; a fault of 63 s; a contract that came later."""
    hour = [DAY_US + number * US_PER_HOUR for number in range(4)]
    since = hour[1] + 1_800 * US_PER_S
    insert(
        clickhouse, "feeds",
        report("kucoin", since - 9 * US_PER_S, "connecting"), report("kucoin", since),
        report("kucoin", since + 5 * US_PER_S), report("kucoin", hour[3], "stalled"),
    )  # fmt: skip
    insert(
        clickhouse, "bars",
        bar("kucoin:X", hour[1], 1_800), bar("kucoin:X", hour[2], 3_537),
        bar("kucoin:Y", hour[1], 1_805), bar("kucoin:Y", hour[2], 3_600),
        bar("kucoin:NEW", hour[2], 7), bar("kucoin:NEW", hour[3], 3_600),
        bar("kucoin:X", hour[3], 3_500, 100), bar("kucoin:Y", hour[3], 3_600),
    )  # fmt: skip
    seconds = 2 * 1_800 + 2 * 3_600 + 3 * 3_600
    ((contracts, hours, uptime, by_stream, by_rest),) = clickhouse.rows(
        "SELECT contracts, contract_hours, uptime, uptime_by_stream, uptime_by_rest "
        "FROM funding.uptime"
    )
    assert (contracts, hours) == (3, pytest.approx(seconds / 3_600))
    assert uptime == pytest.approx(1 - 63 / seconds)
    assert (by_stream, by_rest) == pytest.approx((1 - 163 / seconds, 100 / seconds))


def test_a_day_counts_from_its_own_first_observation_on(clickhouse: ClickHouseServer) -> None:
    """Over midnight nothing is lost; a night in which the producer was off does not count."""
    midnight = DAY_US + US_PER_DAY
    insert(
        clickhouse, "feeds",
        report("kucoin", midnight - 1_800 * US_PER_S), report("kucoin", midnight + 4 * US_PER_S),
        report("backpack", midnight - US_PER_HOUR),
        report("backpack", midnight + 2 * US_PER_HOUR + 600 * US_PER_S),
    )  # fmt: skip
    insert(
        clickhouse, "bars",
        bar("kucoin:X", midnight - US_PER_HOUR, 1_800),
        *(bar("kucoin:X", midnight + n * US_PER_HOUR, 3_600) for n in range(4)),
        bar("backpack:Z", midnight - US_PER_HOUR, 3_600),
        bar("backpack:Z", midnight + 2 * US_PER_HOUR, 3_000),
        bar("backpack:Z", midnight + 3 * US_PER_HOUR, 3_600),
    )  # fmt: skip
    found = clickhouse.rows("SELECT feed, uptime, contract_hours * 3600 FROM funding.uptime")
    assert found == [
        ("backpack", 1, 3_600), ("backpack", 1, 3_000 + 3_600),
        ("kucoin", 1, 1_800), ("kucoin", 1, pytest.approx(4 * 3_600 - 4)),
    ]  # fmt: skip


def seen_each_second(contract: str, since: int, seconds: range, transport: str = "ws") -> list[Any]:
    """Updates of a contract, one at each of these seconds after a time."""
    feed, symbol = contract.split(":", 1)
    times = [since + second * US_PER_S for second in seconds]
    return [
        rate(
            at // US_PER_S, contract_id=contract, feed=feed, symbol=symbol, event_time=at,
            received_at=at, transport=transport, raw_offset=at // US_PER_S, raw_item=0,
        )
        for at in times
    ]  # fmt: skip


def totals(clickhouse: ClickHouseServer) -> dict[str, tuple[float, ...]]:
    """By feed: seconds expected, known by stream, known by REST. The run may be over midnight."""
    found = clickhouse.rows(
        "SELECT feed, sum(contract_hours * 3600), sum(contract_hours * 3600 * uptime_by_stream), "
        "sum(contract_hours * 3600 * uptime_by_rest) FROM funding.uptime GROUP BY feed"
    )
    return {row[0]: row[1:] for row in found}


def test_uptime_is_told_a_minute_after_the_start(clickhouse: ClickHouseServer) -> None:
    """From rates, while no hour is over: whole without a fault, else less what was not known."""
    since = now_us() - 90 * US_PER_S
    insert(
        clickhouse, "feeds",
        report("backpack", since - 3 * US_PER_S, "connecting"),
        report("backpack", since), report("kucoin", since),
    )  # fmt: skip
    insert(
        clickhouse, "rates",
        *seen_each_second("kucoin:X", since, range(0, 61, 60)),
        *seen_each_second("backpack:A", since, range(81)),
        *seen_each_second("backpack:B", since, range(20)),
        *seen_each_second("backpack:B", since, range(50, 81)),
        *seen_each_second("backpack:C", since, range(20)),
        *seen_each_second("backpack:C", since, range(20, 50), "rest"),
        *seen_each_second("backpack:C", since, range(50, 81)),
    )  # fmt: skip
    found = totals(clickhouse)
    assert found["kucoin"] == pytest.approx((80, 80, 0))
    # B is silent from 19 to 50, and a rate of Backpack holds for 10 s; C is served by REST then.
    assert found["backpack"] == pytest.approx((240, 240 - 21 - 30, 30))


def test_what_is_silent_altogether_counts_from_a_minute_on(clickhouse: ClickHouseServer) -> None:
    """The newest report of a producer says that time went on, where no rate does."""
    since = now_us() - 300 * US_PER_S
    insert(clickhouse, "feeds", report("backpack", since))
    insert(clickhouse, "rates", *seen_each_second("backpack:A", since, range(101)))
    assert totals(clickhouse)["backpack"] == pytest.approx((100, 100, 0))
    insert(clickhouse, "feeds", report("backpack", since + 280 * US_PER_S, "down"))
    assert totals(clickhouse)["backpack"] == pytest.approx((220, 110, 0))


def test_thresholds_are_those_of_the_code(clickhouse: ClickHouseServer) -> None:
    """The view `thresholds` has the numbers of `schemas.feeds`."""
    found = clickhouse.rows("SELECT feed, stale_s FROM funding.thresholds ORDER BY feed")
    assert found == sorted((feed, stale_s(feed)) for feed in FEEDS)


def of_socket(socket: str, how: str, rest: str = "") -> dict[str, Any]:
    """What an event of a feed's gap says, `old`: in its sentence alone, or `new`: in its fields."""
    sentence = f"socket {socket}: {rest or 'closed'}"
    if how == "old":
        return {"detail": sentence}
    facts = AuditFacts(cause=AuditCause.CLOSED, socket=socket)
    return {**fact_fields(facts), "detail": sentence.replace("socket", "connection")}


@pytest.mark.parametrize("how", ["old", "new"])
def test_gaps_pairs_what_opened_with_what_closed(clickhouse: ClickHouseServer, how: str) -> None:
    """Of each subject by itself; one that is open has no end and grows.

    Rows of versions before the typed fields give the same gaps.
    """
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
        audit("kucoin", "gap_opened", at[11], at[12], **of_socket("1", how), raw_item=1),
        audit("kucoin", "gap_opened", at[11], at[12], **of_socket("2", how), raw_item=2),
        audit("kucoin", "gap_closed", at[11], at[30], **of_socket("2", how, "19.0 s (closed)")),
        audit("kucoin", "gap_closed", at[11], at[40], **of_socket("1", how, "29.0 s (closed)")),
        audit("kucoin", "gap_opened", at[50], at[51], **of_socket("1", how, "the producer dies")),
        audit("kucoin", "gap_opened", at[90], at[91], **of_socket("1", how)),
        audit("kucoin", "gap_closed", at[90], at[95], **of_socket("1", how, "5.0 s (closed)")),
        audit("backpack:Z", "gap_opened", opened, opened + 10 * US_PER_S),
    )  # fmt: skip
    insert(clickhouse, "audit", audit("kucoin:X", "gap_opened", at[10], at[20]))
    found = clickhouse.rows(
        "SELECT feed, subject, toUnixTimestamp64Micro(opened_at), "
        "toUnixTimestamp64Micro(closed_at), seconds, missed_ticks, filled_by, socket "
        "FROM funding.gaps ORDER BY opened_at, subject, closed_at"
    )
    by = "socket" if how == "old" else "connection"
    assert found[:-1] == [
        ("kucoin", "kucoin:X", at[10], at[73], 63.0, 62, filled, ""),
        ("kucoin", "kucoin", at[11], at[30], 19.0, 0, f"{by} 2: 19.0 s (closed)", "2"),
        ("kucoin", "kucoin", at[11], at[40], 29.0, 0, f"{by} 1: 29.0 s (closed)", "1"),
        ("kucoin", "kucoin:Y", at[12], at[300], 288.0, 0, "delisted", ""),
        ("kucoin", "kucoin", at[50], at[95], 45.0, 0, "a later end", "1"),
        ("kucoin", "kucoin:X", at[73], at[99], 26.0, 25, "nothing filled it", ""),
        ("kucoin", "kucoin", at[90], at[95], 5.0, 0, f"{by} 1: 5.0 s (closed)", "1"),
    ]
    ((_feed, subject, since, until, seconds, missed, filled_by, _socket),) = found[-1:]
    assert (subject, since, until, missed, filled_by) == ("backpack:Z", opened, None, 0, "")
    assert 90 <= seconds < 120


def test_a_gap_over_an_upgrade_has_one_row(clickhouse: ClickHouseServer) -> None:
    """It was opened by a version without the typed fields and closed by one that has them."""
    begin, end = DAY_US, DAY_US + 19 * US_PER_S
    facts = AuditFacts(
        cause=AuditCause.SILENT, socket="uta", connection_id="kucoin/uta/2", rest_polls=3,
        rest_updates=60,
    )  # fmt: skip
    insert(
        clickhouse, "audit",
        audit("kucoin", "gap_opened", begin, begin + 1, detail="socket uta: closed"),
        audit("kucoin", "gap_closed", begin, end, detail="filled by REST", **fact_fields(facts)),
    )  # fmt: skip
    found = clickhouse.rows(
        "SELECT socket, seconds, filled_by, cause, rest_polls, rest_updates, rest_filled_s "
        "FROM funding.gaps"
    )
    assert found == [("uta", 19, "filled by REST", None, 3, 60, None)]


def test_rows_from_before_the_upgrade_are_read(clickhouse: ClickHouseServer) -> None:
    """A database of the version before the typed fields, with its rows, is migrated."""
    before = [m for m in own_migrations() if m.name != "typed_facts"]
    clickhouse.rows("DROP DATABASE funding")
    migrate(clickhouse.settings, before)
    begin = DAY_US // US_PER_S
    clickhouse.rows(
        "INSERT INTO funding.audit (subject, kind, count, first_event_time, last_event_time, "
        "detail, raw_topic, raw_partition, raw_offset, raw_item) VALUES "
        f"('kucoin', 'gap_opened', 1, {begin}, {begin + 1}, 'socket uta: closed', 'x', 0, 1, 0), "
        f"('kucoin', 'gap_closed', 1, {begin}, {begin + 9}, 'socket uta: 9 s', 'x', 0, 2, 0), "
        f"('kucoin:X', 'gap_opened', 1, {begin}, {begin + 10}, 'no stream update', 'x', 0, 3, 0)"
    )
    query = "SELECT subject, seconds, filled_by FROM funding.gaps ORDER BY closed_at"
    (old,) = (row for row in clickhouse.rows(query) if row[0] == "kucoin")
    applied, _made = migrate(clickhouse.settings)
    assert [migration.name for migration in applied] == ["typed_facts"]
    (new,) = (row for row in clickhouse.rows(query) if row[0] == "kucoin")
    assert old == new == ("kucoin", 9, "socket uta: 9 s")
    found = clickhouse.rows("SELECT subject, socket, cause FROM funding.gaps ORDER BY subject")
    assert found == [("kucoin", "uta", None), ("kucoin:X", "", None)]
    assert clickhouse.rows("SELECT countIf(socket IS NULL) FROM funding.audit_once") == [(3,)]


def test_gaps_say_in_fields_what_filled_them(clickhouse: ClickHouseServer) -> None:
    """Of contracts by seconds, and why each began; nobody takes a sentence apart."""
    begin, end = DAY_US, DAY_US + 63 * US_PER_S
    opened = fact_fields(AuditFacts(cause=AuditCause.NEVER_STREAMED))
    closed = fact_fields(AuditFacts(cause=AuditCause.STREAMED, rest_updates=12, rest_filled_s=58.2))
    insert(
        clickhouse, "audit",
        audit("kucoin:X", "gap_opened", begin, begin + 1, **opened),
        audit("kucoin:X", "gap_closed", begin, end, count=62, **closed),
    )  # fmt: skip
    found = clickhouse.rows(
        "SELECT socket, cause, rest_polls, rest_updates, rest_filled_s FROM funding.gaps"
    )
    assert found == [("", "never_streamed", None, 12, 58.2)]
    once = "SELECT count(), countIf(cause IS NOT NULL) FROM funding.audit_once"
    assert clickhouse.rows(once) == [(2, 2)]


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


@pytest.mark.parametrize(("name", "number"), [("gaps", 4), ("audit", 1)])
def test_what_a_page_asks_is_answered(clickhouse: ClickHouseServer, name: str, number: int) -> None:
    """Each query of docs/gaps.md and docs/audit.md, on what the views above it hold."""
    hours_of_two_feeds(clickhouse)
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    queries = re.findall(r'^\.venv/bin/fundingstream sql "(.*)"$', page, re.MULTILINE)
    assert len(queries) >= number
    for query in queries:
        arguments = [query, "--clickhouse", clickhouse.settings.clickhouse_url]
        result = CliRunner().invoke(sql, arguments)
        assert result.exit_code == 0, (query, result.exception)
