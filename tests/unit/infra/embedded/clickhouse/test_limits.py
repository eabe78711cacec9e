"""What a person may set, and what a statement's SETTINGS clauses say."""

from __future__ import annotations

import pytest

from infra.embedded.clickhouse.clauses import is_column_list, settings_changes
from infra.embedded.clickhouse.errors import ClickHouseError
from infra.embedded.clickhouse.limits import check_settings

CEILINGS = {"max_memory_usage": 1_000, "max_execution_time": 60}


@pytest.mark.parametrize("value", ["1", "999", "1000", "0999"])
def test_up_to_a_ceiling_all_is_fine(value: str) -> None:
    """And what has no ceiling is free."""
    check_settings([("max_memory_usage", value), ("join_use_nulls", "1")], CEILINGS)


@pytest.mark.parametrize(
    "value",
    [
        *("0", "1001", "-1", "1Gi", "", "NaN", "Infinity", "1e99", None),
        *("0.5", "1e-30", "1e2", "1_0", "１０", "٣", " 1", "1\n", "+1", "1" * 21),
    ],
)
def test_beyond_a_ceiling_nothing_is(value: str | None) -> None:
    """0 and DEFAULT would be no limit at all."""
    with pytest.raises(ClickHouseError, match="max_memory_usage") as caught:
        check_settings([("max_memory_usage", value)], CEILINGS)
    assert caught.value.code == 452


def test_a_time_may_have_decimals() -> None:
    """In ASCII, and not so few that the engine would read no limit at all."""
    for value in ("0.5", "60", "59.999", "1.", "0.001"):
        check_settings([("max_execution_time", value)], CEILINGS)
    for wrong in ("0.0", "0.0009", "60.001", "1e-30", "1_0", "１", "٣.5", ".5", "inf", "-1", None):
        with pytest.raises(ClickHouseError, match="max_execution_time"):
            check_settings([("max_execution_time", wrong)], CEILINGS)


@pytest.mark.parametrize("name", ["profile", "max_untracked_memory", "readonly", "log_comment"])
def test_what_would_escape_from_a_limit_is_fixed(name: str) -> None:
    """Whatever its value; `readonly` may be said again."""
    with pytest.raises(ClickHouseError):
        check_settings([(name, "0")], CEILINGS)
    check_settings([("readonly", "2"), ("dialect", "clickhouse")], CEILINGS)


@pytest.mark.parametrize(
    ("sql", "changes"),
    [
        (b"SELECT 1", []),
        (b"SELECT 'SETTINGS a = 1'", []),
        (b"SELECT settings FROM t", []),
        (b"SELECT 1 SETTINGS a = 1, b = 'x', c.d = 1.5, e = -2", [
            ("a", "1"), ("b", "x"), ("c.d", "1.5"), ("e", "-2"),
        ]),
        (b"SELECT (SELECT 1 SETTINGS a = 1) FROM t SETTINGS b = true FORMAT TSV SETTINGS c = 3", [
            ("a", "1"), ("b", "true"), ("c", "3"),
        ]),
        (b"SELECT 1 SETTINGS a = {p:UInt64}, b = [1, 2], c = DEFAULT, d = map('a', 1), e = 4", [
            ("a", None), ("b", None), ("c", None), ("d", None), ("e", "4"),
        ]),
        (b"SELECT 1 SETTINGS `a` = 1", [("a", "1")]),
        (b"SELECT 1 SETTINGS a = 'it\\'s', b = 2", [("a", None), ("b", "2")]),
        (b"SELECT 1 SETTINGS a, b = 0", [("a", "1"), ("b", "0")]),
        (b"SELECT 1 SETTINGS a = 0, b", [("a", "0"), ("b", "1")]),
        (b"SELECT (SELECT 1 SETTINGS a, b.c), 2 SETTINGS d FORMAT TSV SETTINGS `e`, f = 2;", [
            ("a", "1"), ("b.c", "1"), ("d", "1"), ("e", "1"), ("f", "2"),
        ]),
        (b"SELECT 1 SETTINGS a UNION ALL SELECT 1 SETTINGS FORMAT, `b c`, `d$` = 3", [
            ("a", "1"), ("FORMAT", "1"), ("b c", "1"), ("d$", "3"),
        ]),
        (b"SELECT 1 SETTINGS a, b = {p:UInt64}, c, d = [1, (2)], e", [
            ("a", "1"), ("b", None), ("c", "1"), ("d", None), ("e", "1"),
        ]),
        (b"SHOW CHANGED SETTINGS LIKE 'a' SETTINGS b", [("b", "1")]),
        (b"SELECT name FROM system.settings, system.SETTINGS WHERE settings = 1 SETTINGS b", [
            ("b", "1"),
        ]),
        (b"SELECT 100000. SETTINGS b", [("b", "1")]),
    ],
)  # fmt: skip
def test_settings_clauses_are_found(sql: bytes, changes: list[tuple[str, str | None]]) -> None:
    """In the engine's own writing, wherever they stand; values that are none are None."""
    assert list(settings_changes(sql)) == changes


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT 1 SETTINGS",
        b"SELECT 1 SETTINGS , a = 1",
        b"SELECT 1 SETTINGS a b",
        b"SELECT 1 SETTINGS a = , b = 1",
        b"SELECT 1 SETTINGS a = 1 b = 2",
        b"SELECT 1 SETTINGS a = (1, b = 2",
        b"SELECT 1 SETTINGS a =",
        b"SELECT 1 SETTINGS a,",
        b"SELECT 1 SETTINGS a, (b), c = 0",
        b"SELECT 1 SETTINGS 'a', c = 0",
        b"SELECT SETTINGS FROM t",
        b"SELECT a AS SETTINGS, b FROM t SETTINGS c = 0",
    ],
)
def test_clauses_that_cannot_be_read_are_refused(sql: bytes) -> None:
    """What is behind them would go unseen. A column in upper case is refused along with them."""
    with pytest.raises(ClickHouseError, match="SETTINGS clause") as caught:
        list(settings_changes(sql))
    assert caught.value.code == 452


@pytest.mark.parametrize(
    "structure",
    [
        "a Int64",
        ' a String,\n`b c` UInt8 , "d" Nullable(Float64)',
        "e Enum8('a' = 1, 'b)--' = -2, 'it\\'s' = 3, 'x''y' = 4), f Decimal(10,2)",
        "g Array(Tuple(a String, b UInt8)), h LowCardinality(Nullable(String))",
        "i DateTime64(3, 'UTC'), j AggregateFunction(quantiles(0.5, 0.9), UInt64), k Map(T, U)",
        "l JSON(max_dynamic_paths=4, a.b UInt8)",
    ],
)
def test_columns_are_names_and_types(structure: str) -> None:
    """With arguments of any depth."""
    assert is_column_list(structure)


@pytest.mark.parametrize(
    "structure",
    [
        "",
        "a",
        "a Int64,",
        "a Int64; DROP TABLE t",
        "x UInt64) ENGINE = Memory AS SELECT 1 SETTINGS max_memory_usage=0 -- ",
        "x UInt64) ENGINE = Memory AS (SELECT 1",
        "x Array(UInt64",
        "x UInt64 -- note",
        "x UInt64 /* note */",
        "x UInt64 # note",
        "x UInt64 #! note",
        "x Decimal(10, --1\n2)",
        "x Enum8('a = 1)",
        "x Enum8('a\\' = 1)",
        "`x UInt64",
        "x $$ UInt64 $$",
        "x Enum8(\u2018a\u2019 = 1)",
        "x Enum8('a\0' = 1)",
        "x UInt64 DEFAULT sleep(3)",
        "x UInt64 TTL now()",
        "x UInt64 DEFAULT (SELECT 1)",
        "x Array(SELECT 1)",
        "x UInt64, INDEX i x TYPE minmax",
        "x UInt64, CONSTRAINT c CHECK (1)",
        "x 'UInt64'",
        "x UInt64 (1) (2)",
    ],
)
def test_anything_else_is_no_list_of_columns(structure: str) -> None:
    """It would be read as a statement of its own, or run expressions."""
    assert not is_column_list(structure)
