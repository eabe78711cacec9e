"""The chdb engine: handles that run one statement at a time, each call blocking its thread.

One process owns a path; inside it any number of handles run in parallel, each with its own
settings, database and temporary tables. Every failure is a ClickHouseError.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chdb

from infra.embedded.clickhouse.errors import ClickHouseError, denied, unknown_status
from infra.embedded.clickhouse.layout import OVERLAY_NAME, prepare_default_database
from infra.embedded.clickhouse.roles import Role, write_engine_configuration
from infra.embedded.clickhouse.sqltext import escaped, quoted, quoted_name
from schemas.errors import StateError, UnavailableError

PIECE_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Formats that chdb turns into Python objects, which cannot be sent over HTTP.
_PYTHON_FORMATS = frozenset(("dataframe", "arrowtable", "datastore"))
# Sized for a laptop that also runs the other parts; by default each cache may take 5 GB.
_SERVER_SETTINGS = {
    "mark_cache_size": 64 * 1024 * 1024,
    "index_mark_cache_size": 16 * 1024 * 1024,
    "primary_index_cache_size": 64 * 1024 * 1024,
    "background_pool_size": 2,
}
_FAILED_INSERTS = "SELECT value FROM system.events WHERE event = 'FailedInsertQuery'"
# This setting has no effect but is shown in system.processes, where a statement is found by it.
_MARK = "log_comment"
_RUNNING = "SELECT query_id FROM system.processes WHERE Settings['log_comment'] = {mark:String}"
_LAST_ERROR = """
    SELECT code, name, last_error_message FROM system.errors
    WHERE query_id = {query_id:String} AND NOT remote ORDER BY last_error_time DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Result:
    """A whole result, or where `rest` is set its beginning. `summary` has ClickHouse's counters."""

    data: bytes
    summary: dict[str, int]
    rest: Stream | None = None


class Engine:
    """The engine of one data directory."""

    def __init__(self, path: Path, max_total_memory_bytes: int) -> None:
        """`max_total_memory_bytes` is for all statements, merges and caches together."""
        self._path = str(path)
        if "?" in self._path:
            raise UnavailableError(f"the engine cannot use {path}: a question mark ends its path")
        options: dict[str, object] = {
            **_SERVER_SETTINGS,
            "max_server_memory_usage": max_total_memory_bytes,
            "default_database": OVERLAY_NAME,
            # Named, or the engine would take a config.xml of the working directory.
            "config-file": write_engine_configuration(path.with_name("engine-config")),
        }
        prepare_default_database(path)
        given = "&".join(f"{name}={value}" for name, value in options.items())
        try:
            self._owner = chdb.connect(f"{self._path}?{given}")
            self._owner.query(f"SET ROLE {Role.OWNER}", "Null")
        except Exception as error:
            raise _start_error(path, str(error)) from error
        self._owner_turn = threading.Lock()
        row = self._owner.query("SELECT version(), timezone()", "TSV").bytes().decode()
        self.version, self.timezone = row.strip().split("\t")

    def open(self) -> Handle:
        """Return a fresh handle; it takes less than a millisecond."""
        with _engine_errors():
            return Handle(chdb.connect(self._path), self)

    def failed_inserts(self) -> int:
        """Return how many INSERTs have failed so far."""
        rows = self._ask(_FAILED_INSERTS)
        return int(rows[0][0]) if rows else 0

    def query_id(self, mark: str) -> str:
        """Return the engine's name of the statement that runs with that mark; empty: none does."""
        rows = self._ask(_RUNNING, mark=mark)
        return str(rows[0][0]) if rows else ""

    def insert_error(self, query_id: str) -> ClickHouseError:
        """Return the error of an INSERT, once one has failed that may be this one.

        Another that fails at the same time must not lend it its error: a sink that hears of refused
        rows stores them again piece by piece, under other tokens. The engine keeps the last error
        of each kind with the statement that met it. Where none is this one's, its end is unknown:
        to repeat it under its token is harmless, to lose it is not.
        """
        own = self._ask(_LAST_ERROR, query_id=query_id)
        if not query_id or not own:
            return unknown_status()
        code, name, message = own[0]
        return ClickHouseError(int(code), message, name)

    def _ask(self, sql: str, **parameters: str) -> list[list[Any]]:
        with self._owner_turn, _engine_errors():
            answer = self._owner.query(sql, "JSONCompactEachRow", params=parameters)
        lines = answer.bytes().splitlines()
        return [json.loads(line.decode(errors="replace")) for line in lines]

    def cancel_running(self) -> None:
        """Ask all running statements to end; they fail with QUERY_WAS_CANCELLED."""
        self._kill("query NOT LIKE 'KILL QUERY%'")

    def cancel(self, mark: str) -> None:
        """Ask the statement with that mark to end, if it runs."""
        self._kill(f"Settings[{quoted(_MARK)}] = {quoted(mark)}")

    def close(self) -> None:
        """Close the data directory; all handles must be closed before."""
        self._owner.close()

    def _kill(self, condition: str) -> None:
        with self._owner_turn, _engine_errors():
            self._owner.query(f"KILL QUERY WHERE {condition} ASYNC", "TSV")


class Handle:
    """One connection to the engine. Calls from several threads take turns."""

    def __init__(self, connection: Any, engine: Engine) -> None:
        self._connection = connection
        self._engine = engine
        self._mark = ""
        self._turn = threading.RLock()

    def become(self, role: Role, mark: str) -> None:
        """Limit the handle to what the role may do; `mark` is what `Engine.cancel` knows it by."""
        with self._turn, _engine_errors():
            self._mark = mark
            self._connection.query(f"SET ROLE {role}", "Null")
            self._connection.query(f"SET {_MARK} = {quoted(mark)}", "Null")

    def require_read(self, sql: str) -> None:
        """Refuse everything but a single statement that only reads, by the engine's own parser.

        The role refuses writes as well, but not what is about the session or about other
        statements: SET ROLE, KILL QUERY, a second statement behind a semicolon.
        """
        with self._turn, _engine_errors():
            # chdb has no public name for this method, on which its own chdb.durable is built.
            report = self._connection._conn.classify_query(sql, "")  # noqa: SLF001
            if report["query_class"].name == "UNKNOWN":
                self.canonical(sql)  # raises where the syntax is wrong
        if report["query_class"].name != "READ_ONLY" or report["statement_count"] != 1:
            raise denied(
                "Not enough privileges: this user may SELECT, SHOW, DESCRIBE, EXPLAIN and EXISTS,"
                " and SET settings and USE a database for a session, one statement at a time."
            )

    def canonical(self, sql: str) -> str:
        """Return the statement as the engine formats it: without comments, quoted in one way."""
        with self._turn, _engine_errors():
            form = "SELECT formatQuerySingleLine({sql:String})"
            try:
                answer = self._connection.query(form, "RawBLOB", params={"sql": escaped(sql)})
            except Exception as error:
                # The rest is about this method's own query, not the caller's.
                text = str(error).partition(": In scope SELECT formatQuery")[0]
                raise ClickHouseError.from_engine(text) from error
            return bytes(answer.bytes()).decode(errors="replace")

    def load_external(self, name: str, structure: str, input_format: str, data: bytes) -> None:
        """Make a temporary table of a request's data; incoming.py has checked the texts."""
        sql = f"CREATE OR REPLACE TEMPORARY TABLE {quoted_name(name)} ({structure})"
        self.query(sql, "Null", {})
        insert = self.insert(f"INSERT INTO {quoted_name(name)}", input_format)
        try:
            for start in range(0, len(data), PIECE_BYTES):
                insert.append(data[start : start + PIECE_BYTES])
            insert.finish()
        except ClickHouseError:
            insert.cancel()
            raise

    def apply(self, database: str | None, settings: Mapping[str, str]) -> None:
        """Set the current database and the settings, in their order."""
        with self._turn, _engine_errors():
            if database:
                self._connection.query(f"USE {quoted_name(database)}", "Null")
            if settings:
                for name in settings:
                    if not _NAME.fullmatch(name):
                        raise ClickHouseError(115, f"Unknown setting {name!r}", "UNKNOWN_SETTING")
                pairs = ", ".join(f"{name} = {quoted(v)}" for name, v in settings.items())
                self._connection.query(f"SET {pairs}", "Null")

    def reset(self, names: list[str], defaults: Mapping[str, str]) -> None:
        """Set settings back to the server's default where it has one, else to the engine's."""
        pairs = [
            f"{name} = {quoted(defaults[name]) if name in defaults else 'DEFAULT'}"
            for name in names
        ]
        if pairs:
            with self._turn, _engine_errors():
                self._connection.query(f"SET {', '.join(pairs)}", "Null")

    def bind(self, parameters: Mapping[str, str]) -> None:
        """Bind the values of {name:Type} for statements that cannot carry parameters."""
        self.apply(None, {f"param_{name}": value for name, value in parameters.items()})

    def query(self, sql: str, output_format: str, parameters: Mapping[str, str]) -> Result:
        """Run any statement and return its whole result."""
        _require_bytes_format(output_format)
        with self._turn, _engine_errors():
            answer = self._connection.query(sql, output_format, params=dict(parameters))
            summary = {
                "read_rows": answer.storage_rows_read(),
                "read_bytes": answer.storage_bytes_read(),
                "result_rows": answer.rows_read(),
                "result_bytes": answer.bytes_read(),
            }
            return Result(answer.bytes() or b"", summary)

    def stream(self, sql: str, output_format: str, parameters: Mapping[str, str]) -> Result:
        """Run a SELECT up to its first pieces; `rest` of the result yields the others."""
        _require_bytes_format(output_format)
        with self._turn, _engine_errors():
            answer = self._connection.send_query(sql, output_format, params=dict(parameters))
        stream = Stream(answer, self._turn)
        data, ended = stream.next_piece()
        return Result(data, {}, None if ended else stream)

    def insert(self, statement: str, input_format: str) -> Insert:
        """Open an INSERT that takes its data piece by piece."""
        failed_before = self._engine.failed_inserts()
        with self._turn, _engine_errors():
            inserter = self._connection.send_insert(statement, input_format)
        query_id = ""
        with contextlib.suppress(ClickHouseError):  # not to know it only makes failures unclear
            query_id = self._engine.query_id(self._mark) if self._mark else ""
        return Insert(inserter, self._turn, self._engine, failed_before, query_id)

    def close(self) -> None:
        """Free the connection, after a statement that still runs."""
        with self._turn:
            self._connection.close()


class Stream:
    """The rest of a streamed result."""

    def __init__(self, answer: Any, turn: threading.RLock) -> None:
        self._answer = answer
        self._pieces: Iterator[Any] = iter(answer)
        self._turn = turn

    def next_piece(self) -> tuple[bytes, bool]:
        """Return about a mebibyte, and whether it was the last piece."""
        pieces: list[bytes] = []
        size = 0
        with self._turn, _engine_errors():
            for piece in self._pieces:
                data = piece.bytes()
                if data:
                    pieces.append(data)
                    size += len(data)
                if size > PIECE_BYTES:
                    return b"".join(pieces), False
        return b"".join(pieces), True

    def cancel(self) -> None:
        """End the statement, because its reader has gone."""
        with self._turn, contextlib.suppress(Exception):
            self._answer.cancel()


class Insert:
    """An INSERT that is being fed. Exactly one of `finish` and `cancel` ends it."""

    def __init__(
        self,
        inserter: Any,
        turn: threading.RLock,
        engine: Engine,
        failed_before: int,
        query_id: str,
    ) -> None:
        """`failed_before`: how many had failed when this one, `query_id`, was opened."""
        self._inserter = inserter
        self._turn = turn
        self._engine = engine
        self._failed_before = failed_before
        self._query_id = query_id

    def append(self, data: bytes) -> None:
        """Add a piece of data; pieces may end anywhere."""
        with self._turn, _engine_errors():
            self._inserter.append(data)

    def finish(self) -> dict[str, int]:
        """Commit and return the counters. When it returns, the rows are stored.

        chdb reports only what its parser refuses. What fails behind it (a constraint, a view, too
        many parts, a full disk) it ends as if the rows were stored, but the engine has counted it
        by then.

        Raises:
            ClickHouseError: they are not, or, with the code 319, perhaps not.
        """
        with self._turn, _engine_errors():
            done = self._inserter.finish()
            rows, size = done.rows_written, done.bytes_written
        if self._engine.failed_inserts() > self._failed_before:
            raise self._engine.insert_error(self._query_id)
        return {
            "written_rows": rows,
            "written_bytes": size,
            "result_rows": rows,
            "result_bytes": size,
        }

    def cancel(self) -> None:
        """Drop what is not committed."""
        with self._turn, contextlib.suppress(Exception):
            self._inserter.cancel()


@contextlib.contextmanager
def _engine_errors() -> Iterator[None]:
    """Turn every error that chdb raises into a ClickHouseError."""
    try:
        yield
    except ClickHouseError:
        raise
    except Exception as error:
        raise ClickHouseError.from_engine(str(error)) from error


def _require_bytes_format(name: str) -> None:
    if name.lower() in _PYTHON_FORMATS:
        raise ClickHouseError(73, f"Unknown format {name}.", "UNKNOWN_FORMAT")


def _start_error(path: Path, text: str) -> Exception:
    error = ClickHouseError.from_engine(text)
    reason = str(error).splitlines()[0][:300]
    if error.code == 76:
        return UnavailableError(
            f"{path} is open in another process: stop it, or choose another --data-dir"
        )
    return StateError(
        f"the ClickHouse engine cannot open {path} ({reason}): move the directory away to start"
        " empty, or choose another --data-dir"
    )
