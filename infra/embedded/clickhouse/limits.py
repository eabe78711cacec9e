"""What a person may set, and how far. Pure.

A statement's `SETTINGS` are applied by the engine's own client before its constraints are looked
at, so constraints of a settings profile do not hold here: this is where they do. Privileges are the
engine's own (roles.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from infra.embedded.clickhouse.errors import ClickHouseError

# Whoever could set these would escape from a limit, from the roles' statement check (another
# dialect), or from being found again to be ended (log_comment, engine.py).
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
# As the engine reads a number, so that both see the same one. A part of a second goes for a time
# alone, and less than a millisecond might become 0.
_INTEGER = re.compile(r"[0-9]{1,20}")
_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,20})?")
_TIMES = frozenset(("max_execution_time",))
_LEAST_TIME_S = Decimal("0.001")
# Drivers send these values to say that they only read, which is so in any case.
_HARMLESS = {"readonly": ("1", "2"), "dialect": ("clickhouse",)}


def check_settings(changes: Iterable[tuple[str, str | None]], ceilings: Mapping[str, int]) -> None:
    """Refuses what is fixed, and what goes beyond a ceiling: 0 would be no limit at all.

    Args:
        changes: Names and values; None for what is no plain value (a parameter, DEFAULT).
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
