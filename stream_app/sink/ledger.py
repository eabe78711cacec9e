"""The record of applied migrations, as far as the sink has to know it: how new the database is.

The sink must not write a database that a newer version has migrated: that version may have changed
what a column means. `migrate` keeps the record (infra/clickhouse/migrate.py); this module is beside
the sink because the sink imports nothing of infra.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.errors import StateError
from stream_app.sink.tables import DATABASE

LEDGER_NAME = "schema_migrations"
LEDGER = f"{DATABASE}.{LEDGER_NAME}"
NEWEST_MIGRATION = 11
"""The number of the last file infra/clickhouse/NNNN_….sql of this version."""

NEWEST_QUERY = f"SELECT version, name FROM {LEDGER} ORDER BY version DESC LIMIT 1"  # noqa: S608


def check_not_newer(recorded: Iterable[tuple[int, str]], newest: int = NEWEST_MIGRATION) -> None:
    """Check that the database has had no migration that this version does not know. Pure.

    Args:
        recorded: Number and name of the migrations that the database has had.
        newest: The number of this version's last migration.

    Raises:
        StateError: the database is newer; the message names both numbers.
    """
    version, name = max(recorded, default=(0, ""))
    if version > newest:
        raise StateError(
            f"database {DATABASE} has migration {version:04d} ({name}), this version of "
            f"fundingstream ends at {newest:04d}: use the newer version, or restore the database "
            "from a backup of before its upgrade"
        )
