"""Turns a migration's statement into the one for a database that several servers hold. Pure.

A migration's text says nothing about clusters, and its checksum is that of the text. What becomes
of a statement as it is sent depends on who brings it to the other servers:

- With a cluster's name, the servers do: `ON CLUSTER` makes databases, tables and views on each.
- In a database of the engine Replicated, that engine does.

In both, a table needs a replicated engine of its own: even a Replicated database would keep the
rows of a plain one apart on each server. An ALTER is carried by the replicated table itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import ConfigurationError, FundingStreamError, StateError
from stream_app.sink.tables import DATABASE

CLUSTER_VARIABLE = "FUNDING_CLICKHOUSE_CLUSTER"
_REPLICATED_DATABASE = "Replicated"
_DAYS_S = 86_400
TOKENS_KEPT_S = 7 * _DAYS_S
"""For how long a replicated table knows a chunk again: as long as Kafka keeps the rates. Since
ClickHouse 25.10 the default is an hour, and a sink may be away for longer."""

_MADE = re.compile(
    r"(CREATE DATABASE IF NOT EXISTS|CREATE TABLE IF NOT EXISTS|CREATE OR REPLACE VIEW"
    r"|CREATE MATERIALIZED VIEW IF NOT EXISTS) "
    rf"{DATABASE}(?:\.(\w+))?"
)
_ENGINE = re.compile(r"^ENGINE = (\w*MergeTree)(?:\((.*)\))?$", re.MULTILINE)
_TOKENS = re.compile(r"\bnon_replicated_deduplication_window = (\d+)")


@dataclass(frozen=True, slots=True)
class Replication:
    """How the database comes to the servers of a cluster; without arguments: there is one server.

    At most one of the two is set.
    """

    cluster: str = ""
    """The cluster on whose servers everything is made; empty: none."""
    by_database: bool = False
    """The database's own engine brings statements to the other servers."""

    @property
    def is_on(self) -> bool:
        """Whether tables are replicated."""
        return self.by_database or bool(self.cluster)

    @property
    def reason(self) -> str:
        """Why tables are replicated, as a message says it."""
        if self.by_database:
            return f"the engine of database {DATABASE} is {_REPLICATED_DATABASE}"
        return f"{CLUSTER_VARIABLE} is {self.cluster!r}"

    def statement(self, text: str) -> str:
        """Return what is to be sent instead of a statement that makes or changes something."""
        made = _MADE.match(text)
        if not self.is_on or made is None:
            return text
        on_cluster = f" ON CLUSTER '{self.cluster}'" if self.cluster else ""
        rest = text[made.end() :]
        if made[1].startswith("CREATE TABLE"):
            rest, engines = _ENGINE.subn(lambda found: self._engine(made[2], found), rest)
            assert engines == 1, f"{made[2]} has no engine that can be replicated"
            rest = _TOKENS.sub(
                r"replicated_deduplication_window = \1, "
                f"replicated_deduplication_window_seconds = {TOKENS_KEPT_S}",
                rest,
            )
        return f"{made[0]}{on_cluster}{rest}"

    def settings(self, wait_s: float) -> dict[str, int]:
        """Return the settings for such statements, each of which ends on all servers or fails.

        A view that reads a new column must not be made where that column is not there yet. So a
        server that is away makes the statement fail after `wait_s`.
        """
        if not self.is_on:
            return {}
        whole_s = max(1, int(wait_s))
        return {
            "alter_sync": 2,
            "replication_wait_for_inactive_replica_timeout": whole_s,
            "distributed_ddl_task_timeout": whole_s,
        }

    def _engine(self, table: str, found: re.Match[str]) -> str:
        name, arguments = f"Replicated{found[1]}", found[2] or ""
        if self.by_database:
            # Such a database chooses path and name itself, and refuses others.
            return f"ENGINE = {name}({arguments})"
        # Not the server's default path, which has an id of the statement in it: a server on which
        # the statement is run once more would get a table that has nothing to do with the others.
        own = [f"'/clickhouse/tables/{DATABASE}/{table}'", "'{replica}'"]
        return f"ENGINE = {name}({', '.join([*own, *filter(None, [arguments])])})"


def replication_of(cluster: str, database_engine: str, engines: Mapping[str, str]) -> Replication:
    """Decide how the database is replicated.

    Args:
        cluster: The setting; empty: none.
        database_engine: The engine of the database; empty: it does not exist.
        engines: The engine of each of our tables and views that exist, by name.

    Raises:
        StateError: a table is not replicated and would have to be.
        ConfigurationError: tables are replicated, and the setting does not name the cluster.
    """
    by_database = database_engine == _REPLICATED_DATABASE
    replication = Replication("" if by_database else cluster, by_database)
    for name, engine in engines.items():
        # On ClickHouse Cloud a table is Shared, whatever the statement said.
        if not engine.endswith("MergeTree") or engine.startswith("Shared"):
            continue
        if engine.startswith("Replicated") != replication.is_on:
            raise _contradiction(f"{DATABASE}.{name}", engine, replication)
    return replication


def _contradiction(table: str, engine: str, replication: Replication) -> FundingStreamError:
    if not replication.is_on:
        return ConfigurationError(
            f"{table} is replicated ({engine}), and {CLUSTER_VARIABLE} is empty: set it to the "
            "cluster's name, or what is new would be made on one of its servers only"
        )
    return StateError(
        f"{replication.reason}, and {table} has been made without replication ({engine}): "
        "docs/deployment.md says how to move its rows into a replicated one"
    )
