"""Prints the reference: `python -m infra.reference > docs/reference.md`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chdb

from infra.clickhouse.migrate import create_ledger, own_migrations, thresholds_view
from infra.reference.document import Relation, page_of
from schemas.errors import FundingStreamError
from schemas.topics import all_topics
from stream_app.sink.tables import DATABASE

ANY_FEED = "<feed>"
"""Stands for the id of each feed: their raw topics are alike."""
_COPIER_ENGINE = "MaterializedView"


def migrated_relations(directory: Path) -> list[Relation]:
    """Make a database in the directory, as `fundingstream migrate` does, and describe it."""
    connection = chdb.connect(str(directory))
    try:
        for statement in _statements():
            connection.query(statement)
        columns: dict[str, list[tuple[str, str]]] = {}
        for table, name, type_ in _rows(
            connection,
            "SELECT table, name, type FROM system.columns "  # noqa: S608 - a constant
            f"WHERE database = '{DATABASE}' ORDER BY table, position",
        ):
            columns.setdefault(table, []).append((name, type_))
        found = _rows(
            connection,
            "SELECT name, comment, sorting_key, engine_full FROM system.tables "  # noqa: S608
            f"WHERE database = '{DATABASE}' AND engine != '{_COPIER_ENGINE}' ORDER BY name",
        )
        return [
            # A view with parameters has no columns before they are given.
            Relation(name, comment, key, engine, tuple(columns.get(name, ())))
            for name, comment, key, engine in found
        ]
    finally:
        connection.close()


def _statements() -> Iterator[str]:
    yield f"CREATE DATABASE {DATABASE}"
    yield create_ledger()
    yield thresholds_view()
    for migration in own_migrations():
        yield from migration.statements


def _rows(connection: Any, query: str) -> list[list[Any]]:
    lines = connection.query(query, "JSONCompactEachRow").bytes().decode().splitlines()
    return [json.loads(line) for line in lines]


def main() -> int:
    """Print the page and return the exit code."""
    with tempfile.TemporaryDirectory() as directory:
        relations = migrated_relations(Path(directory) / "clickhouse")
    try:
        page = page_of(all_topics((ANY_FEED,)), relations)
    except FundingStreamError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
