"""Finds out what the migrations make, from their own statements, and what of it is missing. Pure.

Every statement of a migration makes a table, adds a column, perhaps to the key as well, gives a
column another type, makes a view, makes a materialized view that copies rows from one table to
another as they come, or fills such a table with the rows of before. Each may be run again.
So the files tell what a database of this version holds, and how each part of it is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from schemas.errors import StateError
from stream_app.sink.tables import DATABASE

_TABLE = re.compile(
    rf"CREATE TABLE IF NOT EXISTS {DATABASE}\.(\w+)\s*\(\n(.*?)\n\)\s*ENGINE = (\w+)", re.DOTALL
)
_COLUMN = re.compile(r"\s*(\w+)\s+(.+?),?")
_ADDED = re.compile(rf"ALTER TABLE {DATABASE}\.(\w+) ADD COLUMN IF NOT EXISTS (\w+) (.+)")
_ADDED_TO_KEY = re.compile(
    rf"ALTER TABLE {DATABASE}\.(\w+) ADD COLUMN IF NOT EXISTS (\w+) (.+),\s+MODIFY ORDER BY (.+)"
)
_CHANGED = re.compile(rf"ALTER TABLE {DATABASE}\.(\w+) MODIFY COLUMN (\w+) (.+)")
_ORDER_BY = re.compile(r"^ORDER BY (.+)$", re.MULTILINE)
_VIEW = re.compile(rf"CREATE OR REPLACE VIEW {DATABASE}\.(\w+) AS\b")
_COPIER = re.compile(
    rf"CREATE MATERIALIZED VIEW IF NOT EXISTS {DATABASE}\.(\w+) TO {DATABASE}\.(\w+) AS\b"
)
_FILL = re.compile(rf"INSERT INTO {DATABASE}\.(\w+)\s+SELECT\b")
_TYPE_ENDS = re.compile(r"\s+(?:DEFAULT|CODEC)\b")
_VIEW_ENGINE = "View"
_COPIER_ENGINE = "MaterializedView"


@dataclass(slots=True)
class Table:
    """A table as the migrations leave it."""

    before: str
    """The statement that made it first, up to its columns."""
    engine: str
    after: str
    """What follows the columns in that statement."""
    columns: dict[str, str] = field(default_factory=dict)
    """The definition of each column by its name: type, default, codec."""
    types: dict[str, list[str]] = field(default_factory=dict)
    """The types that each column has had, the newest last."""
    keys: dict[str, str] = field(default_factory=dict)
    """The sorting key that came with a column, by that column."""

    def define(self, column: str, definition: str) -> None:
        """Add a column, or give it another definition."""
        self.columns[column] = definition
        self.types.setdefault(column, []).append(column_type(definition))

    def extend_key(self, column: str, key: str) -> None:
        """Sort by a longer key, as ClickHouse does it: the primary key stays what it was."""
        self.keys[column] = key
        named = re.search(r"^PRIMARY KEY ", self.after, re.MULTILINE)
        primary = "" if named else r"PRIMARY KEY \1\n"
        self.after, found = _ORDER_BY.subn(rf"{primary}ORDER BY {key}", self.after)
        assert found == 1, f"a table without a key that can be extended: {self.before}"

    def add(self, table: str, column: str) -> str:
        """Return the statement that adds a column to the table of this full name."""
        longer_key = f", MODIFY ORDER BY {self.keys[column]}" if column in self.keys else ""
        definition = self.columns[column]
        return f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} {definition}{longer_key}"

    @property
    def statement(self) -> str:
        """The statement that makes the table with all of its columns, the later ones included.

        At once, since a replicated table that other servers have must be made as they have it.
        """
        columns = ",\n".join(f"    {name} {text}" for name, text in self.columns.items())
        return f"{self.before}{columns}{self.after}"


class Copier(NamedTuple):
    """A materialized view, which copies what comes into one table to another."""

    target: str
    """The name of the table that it fills."""
    statement: str


@dataclass(slots=True)
class Expected:
    """What a database of this version holds."""

    tables: dict[str, Table] = field(default_factory=dict)
    copiers: dict[str, Copier] = field(default_factory=dict)
    """The materialized views by their names."""
    fills: dict[str, str] = field(default_factory=dict)
    """The statement that fills a table with what other tables hold already, by its name."""
    views: dict[str, None] = field(default_factory=dict)
    view_statements: list[str] = field(default_factory=list)
    """All statements that make views, in order. A later one may replace a view that another one
    reads, so a missing view is made by running all of them, which ends in the newest of each."""


class Found(NamedTuple):
    """What a database holds."""

    engines: Mapping[str, str]
    """The engine of each table and view by its name."""
    columns: Mapping[str, Mapping[str, str]]
    """The type of each column by its name, by table."""
    sorting_keys: Mapping[str, str] = MappingProxyType({})
    """The columns of each table's sorting key, with commas between; empty for a view."""


class Repair(NamedTuple):
    """A statement, and the names that it makes; empty for a step on the way to another one."""

    made: tuple[str, ...]
    statement: str


def expected_of(statements: Iterable[str]) -> Expected:
    """Return what the statements of all migrations, in their order, make."""
    expected = Expected()
    for statement in statements:
        if table := _TABLE.match(statement):
            name, body, engine = table.groups()
            before, after = statement[: table.start(2)], statement[table.end(2) :]
            made = expected.tables.setdefault(name, Table(before, engine, after))
            for line in body.splitlines():
                column = _COLUMN.fullmatch(line)
                assert column, f"a column of {name} that cannot be made again: {line}"
                made.define(column[1], column[2])
        elif added := _ADDED_TO_KEY.fullmatch(statement):
            expected.tables[added[1]].define(added[2], added[3])
            expected.tables[added[1]].extend_key(added[2], added[4])
        elif added := _ADDED.fullmatch(statement) or _CHANGED.fullmatch(statement):
            expected.tables[added[1]].define(added[2], added[3])
        elif view := _VIEW.match(statement):
            expected.views[view[1]] = None
            expected.view_statements.append(statement)
        elif copier := _COPIER.match(statement):
            expected.copiers[copier[1]] = Copier(copier[2], statement)
        elif fill := _FILL.match(statement):
            expected.fills[fill[1]] = statement
        else:
            raise AssertionError(f"a statement that cannot be run again: {statement}")
    return expected


def repairs(expected: Expected, found: Found, newest: Expected | None = None) -> list[Repair]:
    """Return the statements that make what is missing, or of an earlier version, in order.

    Args:
        expected: What the migrations make that were applied.
        found: What the database holds.
        newest: What is there when the migration that failed half-way, if any, is applied as well:
            it may have changed types already.

    Raises:
        StateError: something of the name is there and is not what the migrations make.
    """
    wanted: list[Repair] = []
    newest = newest or expected
    for name, table in expected.tables.items():
        full_name = f"{DATABASE}.{name}"
        if name not in found.engines:
            wanted.append(Repair((full_name,), table.statement))
            continue
        has = found.columns.get(name, {})
        _check_table(full_name, table, newest.tables[name], found.engines[name], has)
        _check_key(full_name, table, found.sorting_keys.get(name, ""), has)
        for column, definition in table.columns.items():
            if column not in has:
                text = table.add(full_name, column)
            elif has[column] in table.types[column][:-1]:
                text = f"ALTER TABLE {full_name} MODIFY COLUMN {column} {definition}"
            else:
                continue
            wanted.append(Repair((f"{full_name}.{column}",), text))
    copiers = _missing(expected.copiers, found, _COPIER_ENGINE)
    wanted += [Repair((f"{DATABASE}.{n}",), expected.copiers[n].statement) for n in copiers]
    lacking = {expected.copiers[name].target for name in copiers}
    # Behind the copiers, so that no row comes between the two.
    wanted += [
        Repair((), statement)
        for name, statement in expected.fills.items()
        if name in lacking or name not in found.engines
    ]
    missing = _missing(expected.views, found, _VIEW_ENGINE)
    if missing:
        wanted += [Repair((), statement) for statement in expected.view_statements[:-1]]
        names = tuple(f"{DATABASE}.{name}" for name in missing)
        wanted.append(Repair(names, expected.view_statements[-1]))
    return wanted


def _missing(names: Iterable[str], found: Found, engine: str) -> list[str]:
    """Return the views of a kind that are not there.

    Raises:
        StateError: something else has the name of one.
    """
    missing = []
    for name in names:
        has = found.engines.get(name)
        if has is None:
            missing.append(name)
        elif has != engine:
            raise _not_ours(f"{DATABASE}.{name}", f"of the engine {has}, not a view ({engine})")
    return missing


def column_type(definition: str) -> str:
    """Return the type in the definition of a column."""
    return _TYPE_ENDS.split(definition, maxsplit=1)[0]


def _check_table(
    name: str, table: Table, newest: Table, engine: str, columns: Mapping[str, str]
) -> None:
    # On a cluster it is the replicated or shared variant of the same engine.
    if not engine.endswith(table.engine):
        raise _not_ours(name, f"of the engine {engine}, not {table.engine}")
    for column, types in table.types.items():
        if column in columns and columns[column] not in (*types, *newest.types[column]):
            raise _not_ours(f"{name}.{column}", f"of type {columns[column]}, not {types[-1]}")


def _check_key(name: str, table: Table, key: str, columns: Mapping[str, str]) -> None:
    # A key grows only together with its column: one that is there already cannot be taken in.
    for column in table.keys:
        if key and column in columns and column not in key.split(", "):
            raise _not_ours(name, f"sorted by ({key}), without {column}")


def _not_ours(name: str, what: str) -> StateError:
    return StateError(
        f"{name} is {what}, and cannot be changed into it without its rows: rename the table "
        "away (RENAME TABLE … TO …), then run `fundingstream migrate` again"
    )
