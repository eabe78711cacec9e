"""The views `gaps` and `gap_events`: what opened, what closed, rows from before an upgrade."""

from __future__ import annotations

from typing import Any

import pytest

from infra.clickhouse.migrate import migrate, own_migrations
from schemas.audit_facts import AuditCause, AuditFacts, fact_fields
from schemas.clock import now_us
from schemas.times import US_PER_S
from tests.support.audit_rows import DAY_US, audit
from tests.support.sink_stack import ClickHouseServer, insert

pytestmark = pytest.mark.integration


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
