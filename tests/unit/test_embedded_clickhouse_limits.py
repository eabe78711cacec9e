"""What a person may set, and what a statement's SETTINGS clauses say."""

from __future__ import annotations

import pytest

from infra.embedded.clickhouse.errors import ClickHouseError
from infra.embedded.clickhouse.limits import check_settings
from infra.embedded.clickhouse.sqltext import settings_changes

CEILINGS = {"max_memory_usage": 1_000}


@pytest.mark.parametrize("value", ["1", "999", "1000", "1e2"])
def test_up_to_a_ceiling_all_is_fine(value: str) -> None:
    """And what has no ceiling is free."""
    check_settings([("max_memory_usage", value), ("join_use_nulls", "1")], CEILINGS)


@pytest.mark.parametrize("value", ["0", "1001", "-1", "1Gi", "", "NaN", "Infinity", "1e99", None])
def test_beyond_a_ceiling_nothing_is(value: str | None) -> None:
    """0 and DEFAULT would be no limit at all."""
    with pytest.raises(ClickHouseError, match="max_memory_usage") as caught:
        check_settings([("max_memory_usage", value)], CEILINGS)
    assert caught.value.code == 452


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
    ],
)  # fmt: skip
def test_settings_clauses_are_found(sql: bytes, changes: list[tuple[str, str | None]]) -> None:
    """In the engine's own writing, wherever they stand; values that are none are None."""
    assert list(settings_changes(sql)) == changes
