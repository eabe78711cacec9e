"""Migrations: what is pending, and what is refused."""

from __future__ import annotations

import pytest

from infra.clickhouse.expected import Found, column_type, expected_of, repairs
from infra.clickhouse.migrate import Migration, own_migrations, plan
from schemas.errors import StateError

ONE = Migration(1, "one", "CREATE TABLE a (x Int8);\n")
TWO = Migration(2, "two", "CREATE VIEW b AS SELECT ';' AS x;\n-- a comment;\nSELECT 1;\n")


def record(migration: Migration, *, applied: bool = True) -> tuple[str, str, bool]:
    """What the database has on record about a migration."""
    return (migration.name, migration.checksum, applied)


def test_only_what_is_missing_is_pending() -> None:
    """A finished migration is not run again."""
    assert plan([ONE, TWO], {}) == [ONE, TWO]
    assert plan([ONE, TWO], {1: record(ONE)}) == [TWO]
    assert plan([ONE, TWO], {1: record(ONE), 2: record(TWO)}) == []


def test_an_unfinished_migration_is_run_again_even_if_it_was_mended() -> None:
    """A crash or a failed statement leaves a record that is not `applied`."""
    mended = Migration(2, "two", "SELECT 2;\n")
    assert plan([ONE, mended], {1: record(ONE), 2: record(TWO, applied=False)}) == [mended]


def test_a_changed_file_is_refused() -> None:
    """What the database has had is history."""
    with pytest.raises(StateError, match="0001_one was changed"):
        plan([Migration(1, "one", "SELECT 3")], {1: record(ONE)})


def test_a_newer_database_is_refused() -> None:
    """An older version does not touch what it does not know."""
    with pytest.raises(StateError, match="use the newer version"):
        plan([ONE], {1: record(ONE), 2: record(TWO)})


def test_line_ends_do_not_change_a_checksum() -> None:
    """A checkout on another system is the same migration."""
    assert Migration(1, "one", ONE.sql.replace("\n", "\r\n")).checksum == ONE.checksum


def test_statements_end_with_a_semicolon_at_the_end_of_a_line() -> None:
    """Semicolons in strings and comments end nothing."""
    assert TWO.statements == ("CREATE VIEW b AS SELECT ';' AS x", "SELECT 1")


def test_own_statements_may_be_repeated() -> None:
    """A crash between statements repeats the migration from its start."""
    for migration in own_migrations():
        assert migration.statements
        for statement in migration.statements:
            assert statement.startswith(
                (
                    "CREATE TABLE IF NOT EXISTS",
                    "CREATE OR REPLACE VIEW",
                    "ALTER TABLE",
                    "CREATE MATERIALIZED VIEW IF NOT EXISTS",
                    "INSERT INTO funding.latest_",
                )
            )


SMALL = (
    (
        "CREATE TABLE IF NOT EXISTS funding.t\n(\n    a Int8,\n    b String CODEC(ZSTD(1))\n)\n"
        "ENGINE = ReplacingMergeTree\nORDER BY a"
    ),
    "CREATE OR REPLACE VIEW funding.v AS SELECT 1 AS old",
    "ALTER TABLE funding.t ADD COLUMN IF NOT EXISTS c Bool DEFAULT false CODEC(ZSTD(1))",
    "CREATE OR REPLACE VIEW funding.v AS SELECT 2 AS new",
)
ENGINES = {"t": "ReplacingMergeTree", "v": "View"}
COLUMNS = {"t": {"a": "Int8", "b": "String", "c": "Bool"}}


def test_every_own_statement_can_be_made_again() -> None:
    """The migrations say what exists; a statement of another kind fails here."""
    expected = expected_of(s for m in own_migrations() for s in m.statements)
    assert {"rates", "zscores", "settlements", "bars"} <= set(expected.tables)
    assert {"latest", "duplicates", "uptime"} <= set(expected.views)
    assert column_type(expected.tables["rates"].columns["next_funding_time"]) == (
        "Nullable(DateTime64(6, 'UTC'))"
    )
    assert column_type(expected.tables["feeds"].columns["mode"]) == "LowCardinality(String)"
    settlements = expected.tables["settlements"]
    assert settlements.types["rate_8h"] == ["Float64", "Nullable(Float64)"]
    assert settlements.types["kind"] == ["Enum8('regular' = 0, 'special' = 1)"]
    assert "\nORDER BY (contract_id, funding_time, kind)\n" in settlements.statement


def test_nothing_is_made_where_all_is_there() -> None:
    """The replicated kind of an engine is the engine."""
    assert repairs(expected_of(SMALL), Found(ENGINES, COLUMNS)) == []
    cluster = {**ENGINES, "t": "ReplicatedReplacingMergeTree"}
    assert repairs(expected_of(SMALL), Found(cluster, COLUMNS)) == []


def test_a_missing_table_is_made_with_its_later_columns_and_views_end_newest() -> None:
    """The order of columns and of views is that of the history."""
    found = repairs(expected_of(SMALL), Found({}, {}))
    whole = SMALL[0].replace("(1))\n)", "(1)),\n    c Bool DEFAULT false CODEC(ZSTD(1))\n)")
    assert [repair.statement for repair in found] == [whole, SMALL[1], SMALL[3]]
    assert [name for repair in found for name in repair.made] == ["funding.t", "funding.v"]


COPIED = (
    *SMALL,
    (
        "CREATE TABLE IF NOT EXISTS funding.n\n(\n    a Int8\n)\n"
        "ENGINE = ReplacingMergeTree\nORDER BY a"
    ),
    "CREATE MATERIALIZED VIEW IF NOT EXISTS funding.t_to_n TO funding.n AS SELECT a FROM funding.t",
    "INSERT INTO funding.n SELECT a FROM funding.t",
)
COPIED_ENGINES = {**ENGINES, "n": "ReplacingMergeTree", "t_to_n": "MaterializedView"}


def test_a_table_that_rows_are_copied_to_is_made_with_what_was_there_before() -> None:
    """The copying begins first, so that no row is left out between the two."""
    engines = {name: kind for name, kind in COPIED_ENGINES.items() if name not in {"n", "t_to_n"}}
    found = repairs(expected_of(COPIED), Found(engines, COLUMNS))
    assert [repair.statement.split()[0] for repair in found] == ["CREATE", "CREATE", "INSERT"]
    assert [name for repair in found for name in repair.made] == ["funding.n", "funding.t_to_n"]


def test_what_came_while_nothing_was_copied_is_copied_later() -> None:
    """Where the materialized view alone was missing, its table is filled once more."""
    columns = {**COLUMNS, "n": {"a": "Int8"}}
    assert repairs(expected_of(COPIED), Found(COPIED_ENGINES, columns)) == []
    engines = {name: kind for name, kind in COPIED_ENGINES.items() if name != "t_to_n"}
    found = repairs(expected_of(COPIED), Found(engines, columns))
    assert [repair.made for repair in found] == [("funding.t_to_n",), ()]
    assert found[1].statement == COPIED[-1]


def test_a_missing_column_is_added_with_its_definition() -> None:
    """Of the first form of the table, and of later ones."""
    found = repairs(expected_of(SMALL), Found(ENGINES, {"t": {"a": "Int8"}}))
    assert [repair.made for repair in found] == [("funding.t.b",), ("funding.t.c",)]
    assert found[0].statement.endswith("IF NOT EXISTS b String CODEC(ZSTD(1))")


KEYED = (
    (
        "CREATE TABLE IF NOT EXISTS funding.t\n(\n    a Int8,\n    b Float64\n)\n"
        "ENGINE = ReplacingMergeTree\nORDER BY (a, b)\nSETTINGS x = 1"
    ),
    "ALTER TABLE funding.t ADD COLUMN IF NOT EXISTS k Int8,\n    MODIFY ORDER BY (a, b, k)",
    "ALTER TABLE funding.t MODIFY COLUMN b Nullable(Float64) CODEC(ZSTD(1))",
)
ENGINE = {"t": "ReplacingMergeTree"}
WHOLE = {"t": {"a": "Int8", "b": "Nullable(Float64)", "k": "Int8"}}
KEY = {"t": "a, b, k"}


def test_a_table_made_anew_has_the_longer_key_and_the_newer_type() -> None:
    """The primary key stays, as ClickHouse leaves it when the sorting key grows."""
    (made,) = repairs(expected_of(KEYED), Found({}, {}))
    assert made.statement == (
        "CREATE TABLE IF NOT EXISTS funding.t\n(\n    a Int8,\n"
        "    b Nullable(Float64) CODEC(ZSTD(1)),\n    k Int8\n)\n"
        "ENGINE = ReplacingMergeTree\nPRIMARY KEY (a, b)\nORDER BY (a, b, k)\nSETTINGS x = 1"
    )


def test_a_table_of_before_gets_key_and_type_again() -> None:
    """Such as one that somebody has restored from a backup: the key can still grow."""
    before = Found(ENGINE, {"t": {"a": "Int8", "b": "Float64"}}, {"t": "a, b"})
    assert repairs(expected_of(KEYED), before) == [
        (
            ("funding.t.b",),
            "ALTER TABLE funding.t MODIFY COLUMN b Nullable(Float64) CODEC(ZSTD(1))",
        ),
        (
            ("funding.t.k",),
            "ALTER TABLE funding.t ADD COLUMN IF NOT EXISTS k Int8, MODIFY ORDER BY (a, b, k)",
        ),
    ]
    assert repairs(expected_of(KEYED), Found(ENGINE, WHOLE, KEY)) == []


def test_a_migration_that_failed_half_way_is_not_taken_for_another_table() -> None:
    """Its types are there, and its record is not: it goes on, and nothing is changed back."""
    applied, newest = expected_of(KEYED[:1]), expected_of(KEYED)
    assert repairs(applied, Found(ENGINE, WHOLE, KEY), newest) == []
    with pytest.raises(StateError, match=r"funding\.t\.b is of type Nullable"):
        repairs(applied, Found(ENGINE, WHOLE, KEY))


def test_a_column_that_is_not_in_the_key_is_told() -> None:
    """Rows that differ in it alone would replace each other."""
    with pytest.raises(StateError, match=r"funding\.t is sorted by \(a, b\), without k"):
        repairs(expected_of(KEYED), Found(ENGINE, WHOLE, {"t": "a, b"}))


@pytest.mark.parametrize(
    ("engines", "columns", "what"),
    [
        (ENGINES, {"t": {**COLUMNS["t"], "b": "Int64"}}, r"funding\.t\.b is of type Int64"),
        ({**ENGINES, "t": "Log"}, COLUMNS, r"funding\.t is of the engine Log"),
        ({**ENGINES, "t": "View"}, COLUMNS, r"funding\.t is of the engine View"),
        ({**ENGINES, "v": "Log"}, COLUMNS, r"funding\.v is of the engine Log, not a view"),
    ],
)
def test_what_cannot_be_remade_is_told(
    engines: dict[str, str], columns: dict[str, dict[str, str]], what: str
) -> None:
    """Nothing of a person's is changed or dropped."""
    with pytest.raises(StateError, match=what):
        repairs(expected_of(SMALL), Found(engines, columns))
