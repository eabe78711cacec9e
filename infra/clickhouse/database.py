"""The database that is being migrated: what it holds, and how a statement is sent to it."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from infra.clickhouse.expected import Found
from infra.clickhouse.replication import CLUSTER_VARIABLE, replication_of
from schemas.config.settings import shown_url
from schemas.errors import ConfigurationError, FundingStreamError, StateError, UnavailableError
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import explain
from stream_app.sink.clickhouse_errors import Fault, classify, code_of, one_line
from stream_app.sink.tables import DATABASE

_NAMED = {"database": DATABASE}
# NO_ELEMENTS_IN_CONFIG, NO_ZOOKEEPER, QUERY_IS_PROHIBITED, CLUSTER_DOESNT_EXIST: what servers
# answer that lack Keeper, a macro, the queue of such statements, or the cluster.
_CANNOT_REPLICATE = frozenset({139, 225, 392, 701})
_REST_S = 5.0
"""What is left of the client's time-out for the server to say which of its neighbours is away."""


class Database:
    """One database, behind a client of a server that holds it or will hold it."""

    def __init__(self, client: Any, settings: SinkSettings, names: Collection[str]) -> None:
        """Find out how the database is replicated; `names` are our tables, existing or not.

        Raises:
            StateError, ConfigurationError: the database is not what the setting says.
        """
        self._client = client
        self._settings = settings
        found = self.found().engines
        engines = {name: engine for name, engine in found.items() if name in names}
        rows = client.query(
            "SELECT engine FROM system.databases WHERE name = {database:String}", _NAMED
        ).result_rows
        engine = rows[0][0] if rows else ""
        self.replication = replication_of(settings.clickhouse_cluster, engine, engines)
        self._require_cluster()

    def found(self) -> Found:
        """Return the tables, views and columns that are there."""
        tables = self._client.query(
            "SELECT name, engine, sorting_key FROM system.tables "
            "WHERE database = {database:String}",
            _NAMED,
        ).result_rows
        columns: dict[str, dict[str, str]] = {}
        for table, name, column_type in self._client.query(
            "SELECT table, name, type FROM system.columns WHERE database = {database:String}",
            _NAMED,
        ).result_rows:
            columns.setdefault(table, {})[name] = column_type
        return Found(
            {name: engine for name, engine, _ in tables},
            columns,
            {name: key for name, _, key in tables},
        )

    def make(self, statement: str, what: str) -> None:
        """Send a statement that makes or changes something, in the form that the servers need.

        Raises:
            UnavailableError: a server went away, or did not finish in time.
            ConfigurationError: the user may not do this, or the servers cannot replicate.
            StateError: the statement failed; the message begins with `what`.
        """
        wait_s = self._settings.clickhouse_timeout_s - _REST_S
        try:
            self._client.command(
                self.replication.statement(statement), settings=self.replication.settings(wait_s)
            )
        except (ClickHouseError, OSError) as error:
            raise self._failure(error, what) from error

    def await_rows(self, table: str) -> None:
        """Wait until this server has all rows of a table that were inserted on any server."""
        if self.replication.is_on:
            self._client.command(f"SYSTEM SYNC REPLICA {table}")

    def _failure(self, error: Exception, what: str) -> FundingStreamError:
        fault, said = classify(error), one_line(error)
        if self.replication.is_on and code_of(error) in _CANNOT_REPLICATE:
            return ConfigurationError(
                f"{self.replication.reason}, and {self._place} cannot replicate ({said}): its "
                "servers need Keeper, distributed_ddl and a macro {replica}, as docs/deployment.md "
                "says"
            )
        if fault is Fault.TRANSIENT:
            return UnavailableError(
                f"ClickHouse went away in {what} ({said}): run `fundingstream migrate` again, it "
                "goes on there"
            )
        if fault is Fault.DENIED:
            return explain(error, self._settings)
        return StateError(f"{what}, failed: {said}")

    def _require_cluster(self) -> None:
        name = self.replication.cluster
        # A name with a macro in it is known to the server alone.
        if not name or re.search(r"[{}]", name):
            return
        rows = self._client.query(
            "SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster"
        ).result_rows
        known = [row[0] for row in rows]
        if name not in known:
            raise ConfigurationError(
                f"{CLUSTER_VARIABLE} is {name!r}, and {self._place} knows "
                f"{'no cluster' if not known else 'only ' + ', '.join(known)}: set it to the "
                "cluster whose servers are to hold the tables, or leave it empty for one server"
            )

    @property
    def _place(self) -> str:
        return f"ClickHouse at {shown_url(self._settings.clickhouse_url)}"
