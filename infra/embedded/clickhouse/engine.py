"""The chdb engine: handles that run one statement at a time, each call blocking its thread.

One process owns a path; inside it any number of handles run in parallel, each with its own
settings, database and temporary tables. Every failure is a ClickHouseError. Not responsible for
HTTP, sessions or threads (http.py, sessions.py).
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chdb

from infra.embedded.clickhouse.errors import ClickHouseError, denied
from infra.embedded.clickhouse.layout import OVERLAY_NAME, prepare_default_database
from infra.embedded.clickhouse.roles import Role, write_engine_configuration
from infra.embedded.clickhouse.sqltext import escaped, quoted, quoted_name
from schemas.errors import StateError, UnavailableError

PIECE_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Formats that chdb turns into Python objects; over HTTP they would mean nothing.
_PYTHON_FORMATS = frozenset(("dataframe", "arrowtable", "datastore"))
# Sized for a laptop beside its other parts; the engine's own caches go up to 5 GB each.
_SERVER_SETTINGS = {
    "mark_cache_size": 64 * 1024 * 1024,
    "index_mark_cache_size": 16 * 1024 * 1024,
    "primary_index_cache_size": 64 * 1024 * 1024,
    "background_pool_size": 2,
}
# A setting that has no effect but shows in system.processes: how a statement is found again.
_MARK = "log_comment"


@dataclass(frozen=True, slots=True)
class Result:
    """A whole result, or with `rest` its beginning. `summary` has ClickHouse's counter names."""

    data: bytes
    summary: dict[str, int]
    rest: Stream | None = None


class Engine:
    """Owns the path. `close` ends what still runs."""

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
        """A fresh handle (under a millisecond)."""
        with _engine_errors():
            return Handle(chdb.connect(self._path))

    def cancel_running(self) -> None:
        """Asks all running statements to end; they fail with QUERY_WAS_CANCELLED."""
        self._kill("query NOT LIKE 'KILL QUERY%'")

    def cancel(self, mark: str) -> None:
        """Asks the statement of that mark to end, if it runs."""
        self._kill(f"Settings[{quoted(_MARK)}] = {quoted(mark)}")

    def close(self) -> None:
        """Closes the path; all handles must be closed."""
        self._owner.close()

    def _kill(self, condition: str) -> None:
        with self._owner_turn, _engine_errors():
            self._owner.query(f"KILL QUERY WHERE {condition} ASYNC", "TSV")


class Handle:
    """One connection to the engine. Calls from several threads take turns."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._turn = threading.RLock()

    def become(self, role: Role, mark: str) -> None:
        """From here on the engine lets the handle do what the role may; `mark` is for `cancel`."""
        with self._turn, _engine_errors():
            self._connection.query(f"SET ROLE {role}", "Null")
            self._connection.query(f"SET {_MARK} = {quoted(mark)}", "Null")

    def require_read(self, sql: str) -> None:
        """Refuses all but one statement that only reads, as the engine's parser sees it.

        The role refuses writes as well, but not what is about the session or about other
        statements: SET ROLE, KILL QUERY, a second statement behind a semicolon.
        """
        with self._turn, _engine_errors():
            # The one method without a public name; chdb.durable is built on it.
            report = self._connection._conn.classify_query(sql, "")  # noqa: SLF001
            if report["query_class"].name == "UNKNOWN":
                self.canonical(sql)  # says what is wrong with the syntax, if that is it
        if report["query_class"].name != "READ_ONLY" or report["statement_count"] != 1:
            raise denied(
                "Not enough privileges: this user may SELECT, SHOW, DESCRIBE, EXPLAIN and EXISTS,"
                " one statement at a time, with settings in the URL or in a SETTINGS clause."
            )

    def canonical(self, sql: str) -> str:
        """The statement as the engine would write it: no comments, one way to quote."""
        with self._turn, _engine_errors():
            form = "SELECT formatQuerySingleLine({sql:String})"
            try:
                answer = self._connection.query(form, "RawBLOB", params={"sql": escaped(sql)})
            except Exception as error:
                # The rest would tell of our question instead of the caller's.
                text = str(error).partition(": In scope SELECT formatQuery")[0]
                raise ClickHouseError.from_engine(text) from error
            return bytes(answer.bytes()).decode(errors="replace")

    def load_external(self, name: str, structure: str, input_format: str, data: bytes) -> None:
        """Makes a temporary table of a request's data. The texts are checked (incoming.py)."""
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
        """Sets the current database and settings, in their order."""
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
        """Takes settings back: to the server's default where it has one, else the engine's."""
        pairs = [
            f"{name} = {quoted(defaults[name]) if name in defaults else 'DEFAULT'}"
            for name in names
        ]
        if pairs:
            with self._turn, _engine_errors():
                self._connection.query(f"SET {', '.join(pairs)}", "Null")

    def bind(self, parameters: Mapping[str, str]) -> None:
        """Binds {name:Type} for statements that cannot take parameters with them."""
        self.apply(None, {f"param_{name}": value for name, value in parameters.items()})

    def query(self, sql: str, output_format: str, parameters: Mapping[str, str]) -> Result:
        """Runs any statement and returns its whole result."""
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
        """Runs a SELECT up to its first pieces; `rest` holds the others, if there are any."""
        _require_bytes_format(output_format)
        with self._turn, _engine_errors():
            answer = self._connection.send_query(sql, output_format, params=dict(parameters))
        stream = Stream(answer, self._turn)
        data, ended = stream.next_piece()
        return Result(data, {}, None if ended else stream)

    def insert(self, statement: str, input_format: str) -> Insert:
        """Opens an INSERT that takes its data piece by piece."""
        with self._turn, _engine_errors():
            return Insert(self._connection.send_insert(statement, input_format), self._turn)

    def close(self) -> None:
        """Frees the connection. Waits for a statement that still runs."""
        with self._turn:
            self._connection.close()


class Stream:
    """The rest of a streamed result."""

    def __init__(self, answer: Any, turn: threading.RLock) -> None:
        self._answer = answer
        self._pieces: Iterator[Any] = iter(answer)
        self._turn = turn

    def next_piece(self) -> tuple[bytes, bool]:
        """About a mebibyte, and whether it was the last."""
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
        """Ends the statement; its reader went away."""
        with self._turn, contextlib.suppress(Exception):
            self._answer.cancel()


class Insert:
    """An INSERT that is being fed. Exactly one of `finish` and `cancel` ends it."""

    def __init__(self, inserter: Any, turn: threading.RLock) -> None:
        self._inserter = inserter
        self._turn = turn

    def append(self, data: bytes) -> None:
        """Feeds a piece; pieces may end anywhere."""
        with self._turn, _engine_errors():
            self._inserter.append(data)

    def finish(self) -> dict[str, int]:
        """Commits: when it returns, the rows are stored. The counters for the summary."""
        with self._turn, _engine_errors():
            done = self._inserter.finish()
            rows, size = done.rows_written, done.bytes_written
        return {
            "written_rows": rows,
            "written_bytes": size,
            "result_rows": rows,
            "result_bytes": size,
        }

    def cancel(self) -> None:
        """Drops what is not committed."""
        with self._turn, contextlib.suppress(Exception):
            self._inserter.cancel()


@contextlib.contextmanager
def _engine_errors() -> Iterator[None]:
    """All of chdb's errors (its own, RuntimeError, others for odd text) in ClickHouse's form."""
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
