"""Kinds, doubt and generations of settlements: what an older database becomes, and the views."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.evidence import EVERY_DUPLICATE
from infra.clickhouse.migrate import migrate, own_migrations
from schemas.clock import now_us
from schemas.errors import StateError
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_S
from tests.support.sink_stack import ClickHouseServer, insert, rate, settlement, zscore

pytestmark = pytest.mark.integration

BEFORE, MIGRATION, *LATER = own_migrations()[:7], *own_migrations()[7:]
SHAPE = (
    "SELECT name, create_table_query FROM system.tables WHERE database = 'funding' "
    "AND name != 'schema_migrations' ORDER BY name"
)
# A whole day that is over, well within the window of 30 days.
DAY_US = now_us() // US_PER_DAY * US_PER_DAY - 5 * US_PER_DAY


def at(hour: float, number: int = 1, **changes: Any) -> dict[str, Any]:
    """A contract's settlement of that hour of the day, of 8 h unless said."""
    return settlement(number, funding_time=DAY_US + int(hour * US_PER_HOUR), **changes)


def special(hour: float, number: int = 1, **changes: Any) -> dict[str, Any]:
    """A special settlement of that hour."""
    nothing = {"interval_hours": None, "rate_8h": None, "interval_source": None}
    return at(hour, number, kind="special", **nothing, **changes)


@pytest.fixture
def older(clickhouse: ClickHouseServer) -> ClickHouseServer:
    """A database of the version before, with a row in each table that changes."""
    clickhouse.rows("DROP DATABASE funding")
    migrate(clickhouse.settings, BEFORE)
    names = "contract_id, feed, symbol"
    contract = "'binance-usdm:S1USDT', 'binance-usdm', 'S1USDT'"
    time = f"fromUnixTimestamp64Micro({DAY_US})"
    clickhouse.rows(
        f"INSERT INTO funding.settlements ({names}, funding_time, rate, interval_hours, rate_8h, "
        f"source) VALUES ({contract}, {time}, 3e-4, 4, 6e-4, 'history')"
    )
    for table in ("rates", "zscores"):
        clickhouse.rows(
            f"INSERT INTO funding.{table} ({names}, event_time, rate, interval_hours, rate_8h) "
            f"VALUES ({contract}, now64(6), 3e-4, 4, 6e-4)"
        )
    return clickhouse


def test_rows_of_the_version_before_keep_their_meaning(older: ClickHouseServer) -> None:
    """They are regular, of the first generation and not in doubt, and new ones join them."""
    assert migrate(older.settings).applied == [MIGRATION, *LATER]
    asked = "kind, interval_hours, rate_8h, interval_source, interval_doubtful, generation"
    stored = f"SELECT {asked} FROM funding.settlements_once ORDER BY kind"
    before = ("regular", 4.0, 6e-4, None, False, 1)
    assert older.rows(stored) == [before]
    assert older.rows("SELECT interval_doubtful FROM funding.rates_once") == [(False,)]
    assert older.rows(
        "SELECT interval_source, interval_doubtful, generation FROM funding.zscores_once"
    ) == [(None, False, 1)]
    for table in ("baseline_settlements", "settlements"):
        assert older.rows(
            f"SELECT count() FROM funding.{table} WHERE kind = 'regular' AND rate_8h = 6e-4"
        ) == [(1,)]
    insert(older, "settlements", special(0, rate=-0.2))
    assert older.rows(stored) == [before, ("special", None, None, None, False, 1)]
    corrected = at(0, rate=3e-4, interval_hours=8.0, rate_8h=3e-4, interval_source="payload")
    insert(older, "settlements", corrected)
    older.rows("OPTIMIZE TABLE funding.settlements FINAL")
    assert older.rows(stored.replace("_once", "")) == [
        ("regular", 8.0, 3e-4, "payload", False, 1),
        ("special", None, None, None, False, 1),
    ]
    assert older.rows(EVERY_DUPLICATE) == []


def test_a_migration_that_was_cut_off_anywhere_goes_on(clickhouse: ClickHouseServer) -> None:
    """After each of its statements: the database ends as one that was migrated at once."""
    whole = clickhouse.rows(SHAPE)
    for done in range(1, len(MIGRATION.statements) + 1):
        if "CREATE OR REPLACE VIEW" in MIGRATION.statements[done - 1]:
            break
        clickhouse.rows("DROP DATABASE funding")
        migrate(clickhouse.settings, BEFORE)
        clickhouse.rows("INSERT INTO funding.schema_migrations (version, applied) VALUES (8, 0)")
        for statement in MIGRATION.statements[:done]:
            clickhouse.rows(statement)
        assert migrate(clickhouse.settings) == ([MIGRATION, *LATER], [])
        assert clickhouse.rows(SHAPE) == whole
    assert done > 8


def test_a_table_that_is_made_again_is_the_migrated_one(clickhouse: ClickHouseServer) -> None:
    """Key, primary key, types and codecs; as each server of a cluster must have them."""
    whole = clickhouse.rows(SHAPE)
    clickhouse.rows("DROP TABLE funding.settlements")
    clickhouse.rows("DROP VIEW funding.paid")
    assert migrate(clickhouse.settings).made == ["funding.settlements", "funding.paid"]
    assert clickhouse.rows(SHAPE) == whole


def test_a_table_of_before_is_brought_up_and_one_without_the_key_is_told(
    older: ClickHouseServer,
) -> None:
    """A table that came back from a backup gets its key; one that cannot get it is refused."""
    (name, made), *_ = [row for row in older.rows(SHAPE) if row[0] == "settlements"]
    migrate(older.settings)
    whole = older.rows(SHAPE)
    older.rows(f"DROP TABLE funding.{name}")
    older.rows(made)
    assert migrate(older.settings).made == [
        "funding.settlements.interval_hours", "funding.settlements.rate_8h",
        "funding.settlements.kind", "funding.settlements.interval_source",
        "funding.settlements.interval_doubtful", "funding.settlements.generation",
    ]  # fmt: skip
    assert older.rows(SHAPE) == whole
    older.rows(f"DROP TABLE funding.{name}")
    older.rows(made)
    older.rows(
        "ALTER TABLE funding.settlements ADD COLUMN kind Enum8('regular' = 0, 'special' = 1)"
    )
    with pytest.raises(StateError, match=r"sorted by \(contract_id, funding_time\), without kind"):
        migrate(older.settings)


@pytest.mark.parametrize("special_first", [True, False])
def test_both_kinds_of_one_minute_are_stored(
    clickhouse: ClickHouseServer, *, special_first: bool
) -> None:
    """In either order; what was paid has both, the baseline only the regular one."""
    both = [special(8, rate=-0.3), at(8, rate=2e-5)]
    for record in both if special_first else reversed(both):
        insert(clickhouse, "settlements", record)
    insert(clickhouse, "settlements", at(16, rate=1e-5), at(24, rate=7e-5))
    clickhouse.rows("OPTIMIZE TABLE funding.settlements FINAL")
    assert clickhouse.rows("SELECT count() FROM funding.settlements") == [(4,)]
    ((*_, count, special_count),) = (first, *_) = clickhouse.rows(
        "SELECT contract_id, regular, special, total, regular_count, special_count "
        "FROM funding.paid LIMIT 1"
    )
    assert first[:4] == pytest.approx(("binance-usdm:S1USDT", 3e-5, -0.3, -0.3 + 3e-5))
    assert (count, special_count) == (2, 1)
    assert clickhouse.rows("SELECT uniqExact(day) FROM funding.paid") == [(2,)]
    assert clickhouse.rows(
        "SELECT rate FROM funding.baseline_settlements ORDER BY funding_time"
    ) == [(2e-5,), (1e-5,), (7e-5,)]
    assert clickhouse.rows(EVERY_DUPLICATE) == []


def test_the_baseline_is_of_the_newest_life_and_without_doubt(clickhouse: ClickHouseServer) -> None:
    """A ticker that was listed again has no baseline before it has settled."""
    insert(
        clickhouse, "settlements",
        at(0, 1), at(8, 1, interval_doubtful=True), at(16, 1, interval_source="observed"),
        at(0, 2), at(16, 2, generation=2),
        at(0, 3),
    )  # fmt: skip
    insert(clickhouse, "zscores", zscore(3, generation=2, z=None))
    insert(clickhouse, "rates", rate(1, base="AAA"))
    assert clickhouse.rows(
        "SELECT symbol, base, dateDiff('hour', toDateTime64('1970-01-01', 6, 'UTC'), funding_time) "
        f"- {DAY_US // US_PER_HOUR} FROM funding.baseline_settlements ORDER BY symbol, funding_time"
    ) == [("S1USDT", "AAA", 0), ("S1USDT", "AAA", 16), ("S2USDT", "", 16)]


HOUR: dict[str, Any] = {"interval_hours": 1.0}


@pytest.mark.parametrize(
    ("records", "holes"),
    [
        ([at(0), at(8), at(16)], []),
        ([at(0), at(16)], [(0, 16, 1)]),
        ([at(0), at(8), special(16), at(24)], [(8, 24, 1)]),
        ([at(0), at(24)], [(0, 24, 2)]),
        # From 8 h to 1 h and back, and a clock that moves.
        ([at(0), at(8), at(11, **HOUR), at(12, **HOUR)], []),
        ([at(14, **HOUR), at(15, **HOUR), at(16), at(24)], []),
        ([at(4), at(12), at(20), at(24)], []),
        ([at(0, **HOUR), at(4, **HOUR), at(5, **HOUR)], [(0, 4, 3)]),
        ([at(0), at(8 + 1 / 60), at(16)], []),
        # Nobody settles between two lives of a ticker.
        ([at(0), at(40, generation=2), at(48, generation=2)], []),
        ([at(0), at(0, 2), at(8, 2), at(16)], [(0, 16, 1)]),
    ],
)
def test_a_hole_is_longer_than_the_longer_interval_of_its_sides(
    clickhouse: ClickHouseServer, records: list[Any], holes: list[tuple[int, int, int]]
) -> None:
    """From, until and how many; whatever was delivered twice."""
    insert(clickhouse, "settlements", *records)
    insert(clickhouse, "settlements", *reversed(records))
    since, until = (
        f"dateDiff('second', fromUnixTimestamp64Micro({DAY_US}), {name}) / 3600"
        for name in ("since", "until")
    )
    assert (
        clickhouse.rows(
            f"SELECT {since}, {until}, missing FROM funding.settlement_gaps ORDER BY since"
        )
        == holes
    )


def test_coverage_counts_the_last_thirty_days(clickhouse: ClickHouseServer) -> None:
    """Of a hole that began before them only the part within; specials settle nothing."""
    begin = (now_us() - 30 * US_PER_DAY) // US_PER_HOUR * US_PER_HOUR
    edge = [settlement(2, funding_time=begin + hours * US_PER_HOUR) for hours in (-28, -20, 12, 20)]
    insert(
        clickhouse, "settlements",
        at(0), at(8), special(16), at(24), *edge, settlement(3, funding_time=begin - US_PER_DAY),
    )  # fmt: skip
    found = clickhouse.rows(
        "SELECT feed, symbol, settled, missing, share FROM funding.settlement_coverage "
        "ORDER BY symbol"
    )
    assert [row[:4] for row in found] == [
        ("binance-usdm", "S1USDT", 3, 1), ("binance-usdm", "S2USDT", 2, 1),
    ]  # fmt: skip
    assert [row[4] for row in found] == pytest.approx([3 / 4, 2 / 3])


def test_doubtful_rates_are_shown_and_not_compared(clickhouse: ClickHouseServer) -> None:
    """A rate_8h that may be wrong by a factor of 8 makes no spread."""
    event_time = now_us() - 5 * US_PER_S

    def leg(feed: str, rate_8h: float, **changes: Any) -> dict[str, Any]:
        return zscore(
            1, feed=feed, contract_id=f"{feed}:BTC", rate_8h=rate_8h, event_time=event_time,
            **changes,
        )  # fmt: skip

    insert(
        clickhouse, "zscores",
        leg("binance-usdm", 5e-3, interval_doubtful=True, z=None, interval_source="observed"),
        leg("kucoin", 1e-4), leg("hyperliquid", 3e-4, interval_source="assumed"),
    )  # fmt: skip
    assert clickhouse.rows("SELECT high_feed, low_feed FROM funding.spreads") == [
        ("hyperliquid", "kucoin")
    ]
    shown = "SELECT feed, interval_source, interval_doubtful FROM funding.{} ORDER BY feed"
    assert clickhouse.rows(shown.format("latest")) == [
        ("binance-usdm", "observed", True), ("hyperliquid", "assumed", False),
        ("kucoin", "payload", False),
    ]  # fmt: skip
    assert [row[0] for row in clickhouse.rows(shown.format("extremes"))] == [
        "hyperliquid", "kucoin",
    ]  # fmt: skip
