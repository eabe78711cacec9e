"""Brings the database to the version of this code: numbered SQL files, each applied once.

What was applied is recorded with a checksum in `funding.schema_migrations`. ClickHouse has no
transactions over DDL. The record of a migration is written before its statements with applied = 0,
and after them with applied = 1: so one that failed half-way is found and applied again. What a
person has dropped since is made again (expected.py). On a cluster each statement is sent in another
form (replication.py), which changes no checksum.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

from clickhouse_connect.driver.exceptions import ClickHouseError

from infra.clickhouse.database import Database
from infra.clickhouse.expected import expected_of, repairs
from schemas.errors import StateError
from schemas.feeds import FEEDS, stale_s
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import connect, explain
from stream_app.sink.ledger import LEDGER, LEDGER_NAME, check_not_newer
from stream_app.sink.tables import DATABASE

_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the text, with line ends normalised."""
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements of the file. A semicolon ends one only at the end of a line."""
        lines = [line for line in self.sql.splitlines() if not line.lstrip().startswith("--")]
        parts = re.split(r";[ \t]*$", "\n".join(lines), flags=re.MULTILINE)
        return tuple(part.strip() for part in parts if part.strip())


def own_migrations() -> tuple[Migration, ...]:
    """Return the migrations of this version, in order."""
    found = []
    for entry in files("infra.clickhouse").iterdir():
        match = _NAME.fullmatch(entry.name)
        if match:
            sql = entry.read_text(encoding="utf-8")
            found.append(Migration(int(match.group(1)), match.group(2), sql))
    found.sort(key=lambda migration: migration.version)
    versions = [migration.version for migration in found]
    assert versions == list(range(1, len(found) + 1)), f"versions with holes: {versions}"
    return tuple(found)


class Outcome(NamedTuple):
    """What a run has done."""

    applied: list[Migration]
    made: list[str]
    """Tables, columns and views of earlier migrations that were missing or of an earlier version,
    and were made again."""


def migrate(settings: SinkSettings, migrations: Sequence[Migration] | None = None) -> Outcome:
    """Apply what is pending, make what is missing, and return both.

    Raises:
        StateError: the database is newer than this code, an applied file was changed, a migration
            failed, or a table is not the one that the migrations make.
        UnavailableError: the server does not answer, or another one of its cluster does not.
        ConfigurationError: the server refuses the user, or cannot replicate as the setting says.
    """
    wanted = own_migrations() if migrations is None else tuple(migrations)
    own = expected_of(statement for m in own_migrations() for statement in m.statements)
    tables = {LEDGER_NAME, *own.tables}
    client = connect(settings)
    try:
        database = Database(client, settings, tables)
        database.make(f"CREATE DATABASE IF NOT EXISTS {DATABASE}", f"database {DATABASE}")
        database.make(create_ledger(), LEDGER)
        database.await_rows(LEDGER)
        rows = client.query(
            f"SELECT version, name, checksum, applied FROM {LEDGER} FINAL"  # noqa: S608
        ).result_rows
        database.make(thresholds_view(), f"view {DATABASE}.thresholds")
        recorded = {row[0]: (row[1], row[2], bool(row[3])) for row in rows}
        pending = plan(wanted, recorded)
        # A pending migration may read what is missing.
        begun = [m for m in wanted if m.version in recorded]
        made = _repair(database, [m for m in begun if m not in pending], begun)
        for migration in pending:
            _apply(client, database, migration)
    except (ClickHouseError, OSError) as error:
        raise explain(error, settings) from error
    finally:
        client.close()
    return Outcome(pending, made)


def plan(
    wanted: Sequence[Migration], recorded: dict[int, tuple[str, str, bool]]
) -> list[Migration]:
    """Return the migrations to apply; `recorded`: name, checksum, whether it was finished. Pure.

    Raises:
        StateError: the records and the files contradict each other.
    """
    newest = wanted[-1].version if wanted else 0
    check_not_newer(((version, name) for version, (name, _, _) in recorded.items()), newest)
    pending = []
    for migration in wanted:
        name, checksum, applied = recorded.get(migration.version, ("", "", False))
        if applied and checksum != migration.checksum:
            raise StateError(
                f"migration {migration.version:04d}_{migration.name} was changed after it was "
                f"applied (as {name}): restore the file, and put the change into a new one"
            )
        if not applied:
            pending.append(migration)
    return pending


def create_ledger() -> str:
    """Return the statement that makes the table of what was applied."""
    return (
        f"CREATE TABLE IF NOT EXISTS {LEDGER}\n(\n"
        "    version    UInt32,\n"
        "    name       String,\n"
        "    checksum   String,\n"
        "    applied    UInt8,\n"
        "    changed_at DateTime64(6, 'UTC') DEFAULT now64(6)\n"
        ")\n"
        "ENGINE = ReplacingMergeTree(applied)\n"
        "ORDER BY version\n"
        "COMMENT 'Which migrations this database has had'"
    )


def thresholds_view() -> str:
    """Return the statement that makes the thresholds of schemas/feeds.py a view in SQL.

    Every run makes the view anew.
    """
    feeds = ", ".join(f"('{feed}', {stale_s(feed):.1f})" for feed in FEEDS)
    return (
        f"CREATE OR REPLACE VIEW {DATABASE}.thresholds AS SELECT known.1 AS feed, "  # noqa: S608
        f"known.2 AS stale_s FROM (SELECT arrayJoin([{feeds}]) AS known) "
        "COMMENT 'By feed: for how long a rate holds that nothing follows, in seconds'"
    )


def _apply(client: Any, database: Database, migration: Migration) -> None:
    """Run a migration. Each statement must be safe to run again: a crash may repeat it."""
    _record(client, migration, applied=False)
    for number, statement in enumerate(migration.statements, start=1):
        database.make(
            statement,
            f"migration {migration.version:04d}_{migration.name}, statement {number} of "
            f"{len(migration.statements)}",
        )
    _record(client, migration, applied=True)


def _repair(
    database: Database, applied: Sequence[Migration], begun: Sequence[Migration]
) -> list[str]:
    """Make again what is missing of what was applied; return its names.

    `begun` are the applied migrations and the one that failed half-way, if there is any.
    """
    expected = expected_of(statement for m in applied for statement in m.statements)
    newest = expected_of(statement for m in begun for statement in m.statements)
    made: list[str] = []
    for repair in repairs(expected, database.found(), newest):
        names = ", ".join(repair.made) or "a view"
        database.make(repair.statement, f"making {names} again, which is missing")
        made += repair.made
    return made


def _record(client: Any, migration: Migration, *, applied: bool) -> None:
    client.insert(
        LEDGER,
        [[migration.version, migration.name, migration.checksum, int(applied)]],
        column_names=["version", "name", "checksum", "applied"],
    )
