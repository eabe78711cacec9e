"""Views on the real engine that tell what is missing: coverage, uptime, gaps, reconciliation."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli.sql import sql
from schemas.clock import now_us
from schemas.feeds import FEEDS, stale_s
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_S
from tests.support.audit_rows import DAY_US, audit, report
from tests.support.paths import ROOT
from tests.support.sink_stack import ClickHouseServer, insert, rate
from tests.support.sink_stack import bar as bar_of

pytestmark = pytest.mark.integration


def bar(contract: str, hour: int, ws_s: float, rest_s: float = 0.0) -> dict[str, Any]:
    """A bar that is covered for so long."""
    return bar_of(contract, hour, covered_s=ws_s + rest_s, ws_s=ws_s, rest_s=rest_s)


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
