"""What settlements were in money, days of bars, and the tables of each contract's newest row."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from infra.clickhouse.migrate import migrate, own_migrations
from schemas.clock import now_us
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_S
from tests.support.sink_stack import ClickHouseServer, insert, rate, settlement, zscore
from tests.support.sink_stack import bar as bar_of

pytestmark = pytest.mark.integration

CONTRACT = "binance-usdm:S1USDT"
MONDAY_US = 20_605 * US_PER_DAY
"""2026-06-01, a Monday."""
BEFORE = [migration for migration in own_migrations() if migration.version < 10]


def at(hour: float, value: float, **changes: Any) -> dict[str, Any]:
    """A settlement of the contract, so many hours after the Monday."""
    time_us = MONDAY_US + round(hour * US_PER_HOUR)
    return settlement(1, funding_time=time_us, rate=value, **changes)


def bar(hour: int, **changes: Any) -> dict[str, Any]:
    """A bar of the contract, so many hours after the Monday."""
    return bar_of(CONTRACT, MONDAY_US + hour * US_PER_HOUR, **changes)


def test_a_settlement_is_money_by_the_mark_price_before_it(clickhouse: ClickHouseServer) -> None:
    """Per unit of the base asset, of which a contract may hold a thousand; null without a price."""
    insert(clickhouse, "rates", rate(1, base="PEPE", multiplier=1_000.0, event_time=MONDAY_US))
    insert(clickhouse, "bars", bar(7, mark_close=40.0), bar(8, mark_close=99.0))
    insert(clickhouse, "settlements", at(8, 1e-4), at(8.3, -2e-3, kind="special"), at(16, 3e-4))
    found = clickhouse.rows(
        "SELECT toHour(funding_time), kind, base, quote, mark_price, per_notional, per_unit "
        "FROM funding.payments ORDER BY funding_time, kind"
    )
    assert [row[:5] for row in found] == [
        (8, "regular", "PEPE", "USDT", 40.0),
        (8, "special", "PEPE", "USDT", 40.0),
        (16, "regular", "PEPE", "USDT", None),
    ]
    assert [row[5] for row in found] == [1e-4, -2e-3, 3e-4]
    assert [row[6] for row in found[:2]] == pytest.approx([1e-4 * 0.04, -2e-3 * 0.04])
    assert found[2][6] is None


def test_what_was_paid_adds_up_by_day_and_by_week(clickhouse: ClickHouseServer) -> None:
    """Both kinds, each settlement once, a week from its Monday, and what has no price is told."""
    insert(clickhouse, "rates", rate(1, event_time=MONDAY_US, multiplier=1.0))
    insert(clickhouse, "bars", bar(7, mark_close=50.0), bar(31, mark_close=60.0))
    given = [at(8, 1e-4), at(16, 2e-4), at(32, 5e-4), at(32, -1e-3, kind="special"), at(-8, 9e-4)]
    insert(clickhouse, "settlements", *given)
    insert(clickhouse, "settlements", *given)
    columns = "regular, special, total, regular_count, special_count, unpriced_count"
    days = clickhouse.rows(f"SELECT day, {columns}, total_per_unit FROM funding.paid")
    assert [row[0] for row in days] == [date(2026, 5, 31), date(2026, 6, 1), date(2026, 6, 2)]
    assert [row[4:7] for row in days] == [(1, 0, 1), (2, 0, 1), (1, 1, 0)]
    assert [row[3] for row in days] == pytest.approx([9e-4, 3e-4, -5e-4])
    assert days[0][7] is None
    assert [row[7] for row in days[1:]] == pytest.approx([1e-4 * 50, -5e-4 * 60])
    weeks = clickhouse.rows(f"SELECT week, {columns}, total_per_unit FROM funding.paid_weekly")
    assert [row[0] for row in weeks] == [date(2026, 5, 25), date(2026, 6, 1)]
    assert weeks[1][1:7] == (pytest.approx(8e-4), -1e-3, pytest.approx(-2e-4), 3, 1, 1)


def test_a_day_is_made_of_its_hours(clickhouse: ClickHouseServer) -> None:
    """Means and deviations weigh by the time that is known; a corrected hour counts once."""
    insert(clickhouse, "bars", bar(1, open=9e-4), bar(30))
    insert(
        clickhouse, "bars",
        bar(1, open=5e-4, mean=1e-4, covered_s=3_600.0, z_min=None),
        bar(
            2, high=7e-4, close=6e-4, mean=5e-4, covered_s=1_200.0, z_close=None,
            interval_hours=4.0,
        ),
    )  # fmt: skip
    first, second = clickhouse.rows("SELECT * FROM funding.bars_daily")
    names = [row[0] for row in clickhouse.rows("DESCRIBE funding.bars_daily")]
    day = dict(zip(names, first, strict=True))
    assert (day["day"], day["hours"]) == (date(2026, 6, 1), 2)
    assert (day["open"], day["high"], day["low"], day["close"]) == (5e-4, 7e-4, -1e-4, 6e-4)
    assert day["mean"] == pytest.approx(2e-4)
    assert day["std"] == pytest.approx((0.75 * 1e-8 + 0.25 * 9e-8) ** 0.5)
    assert day["mean_8h"] == pytest.approx(0.75 * 1e-4 + 0.25 * 1e-3)
    assert (day["covered_s"], day["updates"], day["late_updates"]) == (4_800, 14, 2)
    assert (day["z_min"], day["z_max"], day["z_close"]) == (-0.5, 1.5, 1.25)
    assert (day["interval_hours"], day["mark_close"]) == (4.0, 40.0)
    assert dict(zip(names, second, strict=True))["hours"] == 1


def newest(clickhouse: ClickHouseServer) -> list[Any]:
    """What is known of the newest rows."""
    return [
        clickhouse.rows("SELECT symbol, z FROM funding.latest ORDER BY symbol"),
        clickhouse.rows("SELECT symbol, base, quote FROM funding.contracts ORDER BY symbol"),
        clickhouse.rows("SELECT feed, contracts FROM funding.freshness"),
    ]


def test_an_upgrade_knows_the_newest_rows_of_before(clickhouse: ClickHouseServer) -> None:
    """Of contracts whose rates have expired, the bars tell the base."""
    clickhouse.rows("DROP DATABASE funding")
    migrate(clickhouse.settings, BEFORE)
    for statement in own_migrations()[len(BEFORE) + 1].statements:
        if statement.startswith("ALTER TABLE"):
            # The rows below have all columns of today.
            clickhouse.rows(statement)
    now = now_us()
    insert(clickhouse, "bars", bar(1))
    insert(clickhouse, "rates", rate(2, event_time=now - 5), rate(2, base="ETH", event_time=now))
    insert(
        clickhouse, "zscores",
        zscore(2, event_time=now, z=2.5), zscore(2, event_time=now - US_PER_S, z=1.5),
    )  # fmt: skip
    migrate(clickhouse.settings)
    assert newest(clickhouse) == [
        [("S2USDT", 2.5)],
        [("S1USDT", "PEPE", None), ("S2USDT", "ETH", "USDT")],
        [("binance-usdm", 1)],
    ]


@pytest.mark.parametrize("what", ["VIEW funding.zscores_to_latest", "TABLE funding.latest_zscores"])
def test_what_came_in_while_a_person_had_dropped_it_is_there_again(
    clickhouse: ClickHouseServer, what: str
) -> None:
    """`migrate` makes it again, and copies what was stored meanwhile."""
    insert(clickhouse, "zscores", zscore(1, z=1.0))
    if what.startswith("VIEW"):
        clickhouse.rows(f"DROP {what}")
        insert(clickhouse, "zscores", zscore(2, z=2.0))
    else:
        clickhouse.rows("DROP VIEW funding.zscores_to_latest")
        clickhouse.rows(f"DROP {what}")
        insert(clickhouse, "zscores", zscore(2, z=2.0))
    made = migrate(clickhouse.settings).made
    assert "funding.zscores_to_latest" in made
    assert newest(clickhouse)[0] == [("S1USDT", 1.0), ("S2USDT", 2.0)]
