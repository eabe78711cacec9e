"""What SET and USE say, read from the engine's form of the statement."""

from __future__ import annotations

from typing import cast

import pytest

from infra.embedded.clickhouse.clauses import set_changes, used_database
from infra.embedded.clickhouse.engine import Handle
from infra.embedded.clickhouse.errors import ClickHouseError
from infra.embedded.clickhouse.sessions import MAX_SESSION_SETTINGS, MAX_SETTING_CHARS, Session


@pytest.mark.parametrize(
    ("canonical", "changes"),
    [
        (b"SET max_threads = 1", [("max_threads", "1")]),
        (b"SET `max_threads` = 1, b = 'x'", [("max_threads", "1"), ("b", "x")]),
        (b"SET a = [1, 2]", [("a", None)]),
        (b"SET ROLE writer", None),
        (b"SET DEFAULT ROLE ALL TO default", None),
        (b"SET", None),
        (b"SELECT a = 1", None),
        (b"'SET' a = 1", None),
        (b"", None),
    ],
)
def test_set(canonical: bytes, changes: list[tuple[str, str | None]] | None) -> None:
    """Names and plain values; None for another statement."""
    assert set_changes(canonical) == changes


def test_a_set_that_goes_on_otherwise_is_refused() -> None:
    """Nothing behind a value is passed over."""
    with pytest.raises(ClickHouseError, match="452"):
        set_changes(b"SET a = 1 b")


@pytest.mark.parametrize(
    ("canonical", "database"),
    [(b"USE d", "d"), (b"USE `d e`", "d e"), (b"USE d e", None), (b"SELECT d", None), (b"", None)],
)
def test_use(canonical: bytes, database: str | None) -> None:
    """The one name."""
    assert used_database(canonical) == database


def test_a_session_keeps_a_bounded_number_of_settings() -> None:
    """Neither many nor long ones; what was kept before stays."""
    session = Session(cast("Handle", None), 0.0)
    session.keep({"a": "1"})
    for changes in (
        {f"s{number}": "1" for number in range(MAX_SESSION_SETTINGS)},
        {"b": "x" * (MAX_SETTING_CHARS + 1)},
    ):
        with pytest.raises(ClickHouseError, match="452"):
            session.keep(changes)
    assert session.settings == {"a": "1"}
