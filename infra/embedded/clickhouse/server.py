"""The ClickHouse server as a process: checks, engine, HTTP interface, until a signal."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from infra.embedded.clickhouse.access import (
    READER_NAME,
    READER_VARIABLE,
    WRITER_NAME,
    WRITER_VARIABLE,
    Credentials,
    Users,
    ensure_writer_credentials,
)
from infra.embedded.clickhouse.roles import Role
from infra.embedded.clickhouse.sandbox import confine
from infra.embedded.httpserver import serve_until_signal
from infra.embedded.ports import LOOPBACK, require_free_port
from infra.embedded.storage import DataDirectory
from schemas.errors import ConfigurationError
from schemas.http.browser_guard import is_loopback

DEFAULT_PORT = 8123
_WHAT = "the ClickHouse server"
_MIN_MEMORY_BYTES = 256 * 1024 * 1024
_MAX_MEMORY_BYTES = 1024 * 1024 * 1024
# All statements, merges and caches together may take twice the memory of one statement.
_TOTAL_PER_STATEMENT = 2
_READ_S = 60
_WRITE_S = 600
_MAX_THREADS = 64
_UNCONFINED = (
    "notice: this system cannot confine the ClickHouse server to its own files (Linux 5.19 with"
    f" Landlock can): on a machine with other users set {READER_VARIABLE}"
)
_MAX_BUFFERED_RESULT_BYTES = 256 * 1024 * 1024
# A result is for people and their tools; all that is stored is read in slices of time.
MAX_READER_ROWS = 10_000_000


@dataclass(frozen=True, slots=True)
class ClickHouseOptions:
    """The options of the server. `allowed_hosts` are further host names that clients use for it.

    Without a `writer_password` a random one is made and kept in the data directory (access.py).
    """

    data_dir: Path
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    reader_password: str = field(default="", repr=False)
    writer_password: str = field(default="", repr=False)
    max_memory_bytes: int | None = None
    sandbox: bool = True
    allowed_hosts: tuple[str, ...] = ()
    port_flag: str = "--port"
    data_dir_flag: str = "--data-dir"


def run(options: ClickHouseOptions) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        FundingStreamError: it cannot start; the message says why and what to do.
    """
    if not is_loopback(options.host) and not options.reader_password:
        raise ConfigurationError(
            f"{_WHAT} on {options.host} would be open to the network: set {READER_VARIABLE} for"
            f" those who read and {WRITER_VARIABLE} for those who write, or listen on"
            f" --host {LOOPBACK}"
        )
    require_free_port(options.port, _WHAT, options.port_flag, options.host)
    with DataDirectory(options.data_dir, _WHAT, options.data_dir_flag) as directory:
        _own_temporary_directory(directory.path / "tmp")
        if options.sandbox and not confine(directory.path):
            sys.stdout.write(f"{_UNCONFINED}\n")
        users = _users(directory.path, options)
        asyncio.run(_serve(directory.path / "engine", users, options))


def default_settings(max_memory_bytes: int, max_execution_s: int) -> dict[str, str]:
    """Return the settings that each statement starts from."""
    half = str(max_memory_bytes // 2)
    return {
        "max_memory_usage": str(max_memory_bytes),
        "max_bytes_before_external_group_by": half,
        "max_bytes_before_external_sort": half,
        "max_execution_time": str(max_execution_s),
    }


def reader_ceilings(max_memory_bytes: int) -> dict[str, int]:
    """Return the highest values that a reader may set; more would slow down the others."""
    return {
        "max_memory_usage": max_memory_bytes,
        "max_execution_time": _READ_S,
        "max_result_bytes": _MAX_BUFFERED_RESULT_BYTES,
        "max_result_rows": MAX_READER_ROWS,
        "max_query_size": 256 * 1024,  # the engine's default
        "max_threads": _MAX_THREADS,
        "max_block_size": 1 << 20,
        "function_sleep_max_microseconds_per_block": _READ_S * 1_000_000,
    }


def default_memory_bytes() -> int:
    """Return a quarter of the machine's memory, at least 256 MB and at most 1 GB."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(_MIN_MEMORY_BYTES, min(_MAX_MEMORY_BYTES, machine // 4))


def _own_temporary_directory(path: Path) -> None:
    """Give chdb, which makes a temporary directory at import, one that the sandbox lets it write.

    What a killed run has left there is removed.
    """
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(path)


def _users(data_dir: Path, options: ClickHouseOptions) -> Users:
    """Return the two users; the writer's password is from the options or the data directory."""
    if options.writer_password:
        writer = Credentials(WRITER_NAME, options.writer_password)
    else:
        writer = ensure_writer_credentials(data_dir)
    return Users(Credentials(READER_NAME, options.reader_password), writer)


async def _serve(path: Path, users: Users, options: ClickHouseOptions) -> None:
    # Imported here: chdb starts threads at import, and threads from before the sandbox escape it.
    from infra.embedded.clickhouse.engine import Engine  # noqa: PLC0415
    from infra.embedded.clickhouse.http import (  # noqa: PLC0415
        HttpInterface,
        HttpOptions,
        UserLimits,
    )
    from infra.embedded.clickhouse.statements import StatementLimits  # noqa: PLC0415

    memory = options.max_memory_bytes or default_memory_bytes()
    engine = Engine(path, memory * _TOTAL_PER_STATEMENT)
    buffered = {"max_result_bytes": str(_MAX_BUFFERED_RESULT_BYTES)}

    read_settings = {
        **default_settings(memory, _READ_S),
        "max_result_rows": str(MAX_READER_ROWS),
    }
    reads = StatementLimits(read_settings, buffered, reader_ceilings(memory), _READ_S)
    writes = StatementLimits(default_settings(memory, _WRITE_S), buffered, None, _WRITE_S)

    interface = HttpInterface(
        engine,
        HttpOptions(
            users=users,
            limits={
                Role.READER: UserLimits(6, 256, reads),
                Role.WRITER: UserLimits(4, 64, writes),
            },
            allowed_hosts=options.allowed_hosts,
        ),
    )
    await serve_until_signal(
        interface.make_app(),
        options.host,
        options.port,
        f"ClickHouse {engine.version} on http://{options.host}:{options.port}",
        interface.drain,
        cancel_when_left=True,
    )
