"""Which settings a caller may change, and up to which value. Pure.

The embedded engine applies a statement's `SETTINGS` before it checks the constraints of a settings
profile, so those constraints have no effect and the checks are made here. Privileges are checked by
the engine itself (roles.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from infra.embedded.clickhouse.errors import ClickHouseError

# Settings by which a caller would escape from a limit, from the check of statements (another
# dialect), or from being found and ended (log_comment, see engine.py).
_FIXED = frozenset(
    (
        "allow_experimental_kusto_dialect",
        "allow_experimental_polyglot_dialect",
        "allow_experimental_prql_dialect",
        "allow_introspection_functions",
        "compatibility",
        "dialect",
        "log_comment",
        "max_ast_depth",
        "max_ast_elements",
        "max_expanded_ast_elements",
        "max_memory_usage_for_user",
        "max_parser_backtracks",
        "max_parser_depth",
        "max_untracked_memory",
        "memory_overcommit_ratio_denominator",
        "memory_overcommit_ratio_denominator_for_user",
        "memory_usage_overcommit_max_wait_microseconds",
        "polyglot_dialect",
        "profile",
        "readonly",
        "timeout_overflow_mode",
        "use_query_cache",
    )
)
# Numbers are read as the engine reads them. Only times may have fractions of a second; less than a
# millisecond might become 0.
_INTEGER = re.compile(r"[0-9]{1,20}")
_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,20})?")
_TIMES = frozenset(("max_execution_time",))
_LEAST_TIME_S = Decimal("0.001")
# Drivers send these values to say that they only read; they change nothing here.
_HARMLESS = {"readonly": ("1", "2"), "dialect": ("clickhouse",)}


def check_settings(changes: Iterable[tuple[str, str | None]], ceilings: Mapping[str, int]) -> None:
    """Refuse settings that are fixed, or beyond their ceiling; 0 would mean no limit at all.

    Args:
        changes: Names and values; None for a value that is not plain (a parameter, DEFAULT).
        ceilings: The highest value of each limited setting.

    Raises:
        ClickHouseError: with ClickHouse's code for a violated constraint.
    """
    for name, value in changes:
        if name in _FIXED and value not in _HARMLESS.get(name, ()):
            raise _violation(f"Setting {name} should not be changed.")
        ceiling = ceilings.get(name)
        if ceiling is not None and not _is_within(name, value, ceiling):
            raise _violation(f"Setting {name} should be from 1 to {ceiling}, and a plain number.")


def _is_within(name: str, value: str | None, ceiling: int) -> bool:
    if value is None:
        return False
    if name in _TIMES:
        return bool(_DECIMAL.fullmatch(value)) and _LEAST_TIME_S <= Decimal(value) <= ceiling
    return bool(_INTEGER.fullmatch(value)) and 1 <= int(value) <= ceiling


def _violation(message: str) -> ClickHouseError:
    return ClickHouseError(452, message, "SETTING_CONSTRAINT_VIOLATION")
