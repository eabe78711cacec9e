"""Migrations: what is pending, and what is refused."""

from __future__ import annotations

import pytest

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
                ("CREATE TABLE IF NOT EXISTS", "CREATE OR REPLACE VIEW", "ALTER TABLE")
            )
