"""Every query of docs/cookbook.md against known data."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.cookbook import queries
from schemas.clock import now_us
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_S
from stream_app.sink.clickhouse import connect
from tests.support.audit_rows import audit, report
from tests.support.sink_stack import ClickHouseServer, bar, facts, insert, rate, settlement, zscore

pytestmark = pytest.mark.integration

QUERIES = queries()
ASKED: set[str] = set()
ONE, TWO = "binance-usdm:S1USDT", "kucoin:S2USDT"


@pytest.fixture(scope="module", autouse=True)
def every_query_is_asked() -> Any:
    """A query of the page that no test here runs fails the module."""
    yield
    assert set(QUERIES) == ASKED


def zone_of_another_day() -> str:
    """A time zone that has another date than UTC now, so that what goes by it is wrong."""
    hour = now_us() % US_PER_DAY // US_PER_HOUR
    return "Pacific/Kiritimati" if hour >= 11 else "Etc/GMT+12"


def ask(clickhouse: ClickHouseServer, title: str, **parameters: Any) -> list[dict[str, Any]]:
    """Run the query under a title, as on a server in another zone; return its rows by column."""
    ASKED.add(title)
    client = connect(clickhouse.settings)
    try:
        settings = {"database": "funding", "session_timezone": zone_of_another_day()}
        found = client.query(QUERIES[title], parameters, settings=settings)
        return [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]
    finally:
        client.close()


def named(contract_id: str) -> dict[str, str]:
    """The fields that name a contract."""
    feed, _, symbol = contract_id.partition(":")
    return {"contract_id": contract_id, "feed": feed, "symbol": symbol}


def hour_ago(hours: float) -> int:
    """A full hour, so many before the running one."""
    return round(now_us() // US_PER_HOUR * US_PER_HOUR - hours * US_PER_HOUR)


def days_ago(days: int, hour: float = 0) -> int:
    """An hour of a day before this one."""
    return round(now_us() // US_PER_DAY * US_PER_DAY - days * US_PER_DAY + hour * US_PER_HOUR)


def pays(contract_id: str, at_us: int, value: float, **changes: Any) -> dict[str, Any]:
    """A settlement of a contract."""
    return settlement(
        1, **named(contract_id), funding_time=at_us, rate=value,
        rate_8h=value * 8 / changes.get("interval_hours", 8.0), **changes,
    )  # fmt: skip


def test_extremes_are_sure_of_themselves(clickhouse: ClickHouseServer) -> None:
    """A short baseline, a doubtful interval or a small z is none."""
    insert(
        clickhouse, "zscores",
        zscore(1, z=2.5), zscore(2, z=-3.5), zscore(3, z=1.9), zscore(4, z=9.0, samples=29),
        zscore(5, z=8.0, interval_doubtful=True),
    )  # fmt: skip
    rows = ask(clickhouse, "Extremes now")
    assert [(row["contract_id"][-6:], row["z"]) for row in rows] == [
        ("S2USDT", -3.5),
        ("S1USDT", 2.5),
    ]


def test_a_spread_has_lasted_since_it_was_half_as_wide(clickhouse: ClickHouseServer) -> None:
    """By the hours in which both legs are known."""
    for contract_id, value in ((ONE, 1e-4), (TWO, 9e-4)):
        insert(clickhouse, "zscores", zscore(1, **named(contract_id), base="PEPE", rate_8h=value))
        means = {5: 1e-4, 4: 4e-4, 3: 6e-4, 2: 7e-4, 1: 9e-4} if value > 5e-4 else {}
        bars = [bar(contract_id, hour_ago(n), mean=means.get(n, 1e-4)) for n in (5, 4, 3, 2, 1)]
        insert(clickhouse, "bars", *bars)
    (row,) = ask(clickhouse, "Widest spreads, and for how long")
    assert (row["high_contract_id"], row["low_contract_id"]) == (TWO, ONE)
    assert row["gap_8h"] == pytest.approx(8e-4)
    assert row["lasted_hours"] == 3
    assert round(row["since"].timestamp() * US_PER_S) == hour_ago(3)


def test_an_hour_that_is_not_known_of_both_ends_a_spread(clickhouse: ClickHouseServer) -> None:
    """And one of contracts without bars has lasted for no hour that is known."""
    for contract_id, value in ((ONE, 1e-4), (TWO, 9e-4)):
        insert(clickhouse, "zscores", zscore(1, **named(contract_id), base="PEPE", rate_8h=value))
        hours = (4, 2, 1) if contract_id == TWO else (4, 3, 2, 1)
        bars = [bar(contract_id, hour_ago(n), mean=value) for n in hours]
        insert(clickhouse, "bars", *bars)
    for contract_id, value in (("binance-usdm:NEW", 1e-4), ("kucoin:NEW", 2e-4)):
        insert(clickhouse, "zscores", zscore(1, **named(contract_id), base="NEW", rate_8h=value))
    rows = ask(clickhouse, "Widest spreads, and for how long")
    assert [(row["base"], row["lasted_hours"]) for row in rows] == [("PEPE", 2), ("NEW", 0)]
    assert rows[1]["since"] is None


def test_a_spread_that_can_be_traded_may_be_a_narrower_one(clickhouse: ClickHouseServer) -> None:
    """The widest pair has a leg that hardly trades: the view `spreads` filtered loses the base."""
    legs = (
        ("kucoin:A", 9e-4, 10.0, 1e3),
        ("bybit:A", 5e-4, 10.1, 3e6),
        ("okx:A", 4e-4, 20.0, 9e6),
        ("backpack:A", 3e-4, None, 9e6),
        ("binance-usdm:A", 1e-4, 10.0, 2e6),
    )
    for contract_id, eighth, mark, turnover in legs:
        its = named(contract_id) | {"base": "A"}
        insert(clickhouse, "zscores", zscore(1, **its, rate_8h=eighth, mark_price=mark))
        insert(clickhouse, "rates", rate(1, **its, quote="USDT", multiplier=1.0))
        insert(clickhouse, "contract_facts", facts(contract_id, base="A", turnover_24h=turnover))
    (row,) = ask(clickhouse, "Spreads that can be traded")
    assert (row["high_contract_id"], row["low_contract_id"]) == ("bybit:A", "binance-usdm:A")
    assert row["min_turnover_24h"] == 2e6
    assert clickhouse.rows("SELECT high_contract_id FROM funding.spreads") == [("kucoin:A",)]
    assert not clickhouse.rows("SELECT * FROM funding.spreads WHERE min_turnover_24h >= 1000000")


def test_z_is_held_against_what_was_paid_then_and_after(clickhouse: ClickHouseServer) -> None:
    """Twenty settlements with a z each make ten deciles of two."""
    for n in range(20):
        at_us = hour_ago(8 * n + 8)
        insert(clickhouse, "bars", bar(ONE, at_us - US_PER_HOUR, z_close=float(20 - n)))
        insert(clickhouse, "settlements", pays(ONE, at_us, (20 - n) * 1e-5))
    insert(clickhouse, "settlements", pays(ONE, hour_ago(4), 1.0, kind="special"))
    rows = ask(clickhouse, "Does z predict what is paid?")
    assert [row["decile"] for row in rows] == list(range(1, 11))
    assert {row["settlements"] for row in rows} == {2}
    assert (rows[0]["z_from"], rows[0]["z_to"]) == (1, 2)
    assert rows[0]["paid_8h"] == pytest.approx(1.5e-5)
    assert rows[0]["next_paid_8h"] == pytest.approx(2.5e-5)


def test_weeks_are_summed_up_by_base(clickhouse: ClickHouseServer) -> None:
    """On average over the contracts of the base."""
    for contract_id, value in ((ONE, 1e-4), (TWO, 5e-4)):
        insert(clickhouse, "rates", rate(1, **named(contract_id), base="PEPE"))
        insert(
            clickhouse, "settlements", *(pays(contract_id, days_ago(7, h), value) for h in (0, 8))
        )
    (row,) = ask(clickhouse, "Realised funding by base and week")
    assert (row["base"], row["contracts"]) == ("PEPE", 2)
    assert (row["paid"], row["least"], row["most"]) == pytest.approx((6e-4, 2e-4, 1e-3))


def test_a_pair_carries_what_the_short_gets_and_the_long_pays(
    clickhouse: ClickHouseServer,
) -> None:
    """A special settlement is money as well."""
    insert(
        clickhouse, "settlements",
        pays(ONE, days_ago(2, 8), 1e-4), pays(TWO, days_ago(2, 8), 4e-4),
        pays(ONE, days_ago(1, 8), 2e-4), pays(TWO, days_ago(1, 8), 1e-4),
        pays(TWO, days_ago(1, 8), -1e-3, kind="special"), pays("kucoin:OTHER", days_ago(1, 8), 1.0),
    )  # fmt: skip
    rows = ask(clickhouse, "Realised carry of a pair", short=TWO, long=ONE)
    assert [row["net"] for row in rows] == pytest.approx([3e-4, -1.1e-3])
    assert [row["net_so_far"] for row in rows] == pytest.approx([3e-4, -8e-4])
    assert [(row["received_count"], row["charged_count"]) for row in rows] == [(1, 1), (2, 1)]


def test_carry_counts_days_that_are_known_whole(clickhouse: ClickHouseServer) -> None:
    """Ten days of one leg, nine of the other, and another of the same feed that pays more."""
    contracts = {ONE: 1e-4, TWO: 4e-4, "kucoin:S3USDC": 3e-4}
    for contract_id, value in contracts.items():
        insert(clickhouse, "rates", rate(1, **named(contract_id), base="PEPE"))
        known = [(day, hour) for day in range(1, 11) for hour in (0, 8, 16)]
        if contract_id == TWO:
            known.remove((5, 8))
        insert(
            clickhouse, "settlements", *(pays(contract_id, days_ago(d, h), value) for d, h in known)
        )
    (row,) = ask(clickhouse, "Carry by base")
    assert (row["short_contract_id"], row["long_contract_id"]) == (TWO, ONE)
    assert row["days_known"] == 9
    assert row["net"] == pytest.approx(9 * 3 * 3e-4)
    assert row["net_a_year"] == pytest.approx(365 * 3 * 3e-4)


def test_a_flip_is_from_one_clear_sign_to_the_other(clickhouse: ClickHouseServer) -> None:
    """Rates that hum around zero have no sign."""
    for number, then, now in ((1, -2e-4, 3e-4), (2, 2e-4, 3e-4), (3, -5e-6, 3e-4)):
        contract_id = f"binance-usdm:S{number}USDT"
        insert(clickhouse, "bars", bar(contract_id, days_ago(1, 23), close=then))
        insert(clickhouse, "zscores", zscore(number, rate_8h=now))
    (row,) = ask(clickhouse, "Who flipped sign today")
    assert row["contract_id"] == ONE
    assert (row["then_8h"], row["rate_8h"]) == (-2e-4, 3e-4)


def test_stale_is_older_than_the_limit_and_not_gone(clickhouse: ClickHouseServer) -> None:
    """A contract that is delisted has the right to be silent."""
    old = now_us() - 3 * US_PER_HOUR
    insert(clickhouse, "rates", rate(1, event_time=old), rate(2), rate(3, event_time=old))
    insert(clickhouse, "audit", audit("binance-usdm:S3USDT", "delisted", old, old))
    insert(clickhouse, "audit", audit("kucoin:LISTED", "listed", old, old))
    insert(clickhouse, "settlements", *(pays("kucoin:SETTLED", hour_ago(n), 1e-4) for n in (8, 16)))
    never, silent, row = ask(clickhouse, "Stale or missing contracts")
    assert [one["contract_id"] for one in (never, silent)] == ["kucoin:LISTED", "kucoin:SETTLED"]
    assert (never["updated_at"], never["silent_s"]) == (None, None)
    assert row["contract_id"] == ONE
    assert row["silent_s"] >= 3 * 3_600 > row["stale_s"]


def test_uptime_has_a_row_for_each_feed_and_day(clickhouse: ClickHouseServer) -> None:
    """What it means is tested with the view."""
    insert(clickhouse, "feeds", report("kucoin", hour_ago(5)))
    insert(clickhouse, "bars", *(bar(TWO, hour_ago(n), covered_s=3_420.0) for n in (4, 3, 2)))
    rows = ask(clickhouse, "Uptime by feed and day")
    assert {row["feed"] for row in rows} == {"kucoin"}
    assert all(0 < row["uptime"] <= 1 for row in rows)


def test_a_gap_touches_a_settlement_that_it_was_open_at(clickhouse: ClickHouseServer) -> None:
    """Not one that was over before, nor one of another contract."""
    settled = hour_ago(8)
    insert(clickhouse, "settlements", pays(ONE, settled, 1e-4), pays(ONE, hour_ago(16), 2e-4))
    for subject, begins, ends in ((ONE, -60, 60), (ONE, -600, -300), (TWO, -60, 60)):
        opened, closed = settled + begins * US_PER_S, settled + ends * US_PER_S
        insert(clickhouse, "audit", audit(subject, "gap_opened", opened, opened, cause="silence"))
        insert(clickhouse, "audit", audit(subject, "gap_closed", opened, closed))
    (row,) = ask(clickhouse, "Gaps that touched a settlement")
    assert (row["contract_id"], row["rate"], row["cause"]) == (ONE, 1e-4, "silence")
    assert round(row["opened_at"].timestamp() * US_PER_S) == settled - US_PER_MINUTE


def test_a_score_comes_about_again_from_its_settlements(clickhouse: ClickHouseServer) -> None:
    """Those of the 30 days up to its hour, and no others."""
    as_of = hour_ago(0)
    rates = [1e-4, 2e-4, 4e-4, 5e-4]
    insert(
        clickhouse,
        "settlements",
        *(pays(ONE, as_of - n * 8 * US_PER_HOUR, v) for n, v in enumerate(rates)),
    )
    insert(
        clickhouse,
        "settlements",
        pays(ONE, as_of - 30 * US_PER_DAY, 7e-4),
        pays(ONE, as_of + US_PER_HOUR, 9e-4),
    )
    scored = zscore(
        1, event_time=as_of + US_PER_S, rate=6e-4, rate_8h=6e-4, z=1.6432, mean=3e-4, std=1.8257e-4,
        samples=4, stats_as_of=as_of,
    )  # fmt: skip
    later = zscore(1, event_time=as_of + US_PER_MINUTE, rate=8e-4, stats_as_of=as_of)
    insert(clickhouse, "zscores", scored, later)
    until = "2100-01-01 00:00:00"
    (newest,) = ask(clickhouse, "How this row came to be", contract=ONE, until=until)
    assert newest["rate"] == 8e-4
    at = clickhouse.rows(
        f"SELECT toString(fromUnixTimestamp64Micro({as_of + 2 * US_PER_S}, 'UTC'))"
    )[0][0]
    (row,) = ask(clickhouse, "How this row came to be", contract=ONE, until=at)
    assert (row["samples"], row["samples_again"], row["rate"]) == (4, 4, 6e-4)
    assert row["mean_again"] == pytest.approx(row["mean"])
    assert row["std_again"] == pytest.approx(row["std"], rel=1e-3)
    assert row["z_again"] == pytest.approx(row["z"], rel=1e-3)
    assert row["raw_topic"]
