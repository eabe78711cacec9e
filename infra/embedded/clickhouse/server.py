"""The ClickHouse server as a process: checks, engine, HTTP interface, until a signal.

Not responsible for keeping it running: that is the supervisor's.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from infra.embedded.clickhouse.access import Credentials
from infra.embedded.clickhouse.sandbox import confine
from infra.embedded.httpserver import serve_until_signal
from infra.embedded.ports import LOOPBACK, require_free_port
from infra.embedded.storage import DataDirectory
from schemas.browser_guard import is_loopback
from schemas.errors import ConfigurationError

DEFAULT_PORT = 8123
PASSWORD_VARIABLE = "FUNDING_CLICKHOUSE_PASSWORD"  # noqa: S105 - its name, not its value
_WHAT = "the ClickHouse server"
_MIN_MEMORY_BYTES = 256 * 1024 * 1024
_MAX_MEMORY_BYTES = 1024 * 1024 * 1024
_MAX_EXECUTION_S = 600
_UNCONFINED = (
    "notice: this system cannot confine the ClickHouse server to its own files (Linux 5.19 with"
    f" Landlock can): on a machine with other users set {PASSWORD_VARIABLE}"
)
_MAX_BUFFERED_RESULT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ClickHouseOptions:
    """What a person may choose. `allowed_hosts`: further names that clients use for this server."""

    data_dir: Path
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    password: str = field(default="", repr=False)
    max_memory_bytes: int | None = None
    sandbox: bool = True
    allowed_hosts: tuple[str, ...] = ()
    port_flag: str = "--port"
    data_dir_flag: str = "--data-dir"


def run(options: ClickHouseOptions) -> None:
    """Serves until SIGTERM or SIGINT; each failure to start is one line with the way out."""
    if not is_loopback(options.host) and not options.password:
        raise ConfigurationError(
            f"{_WHAT} on {options.host} would be open to the network: set {PASSWORD_VARIABLE},"
            f" or listen on --host {LOOPBACK}"
        )
    require_free_port(options.port, _WHAT, options.port_flag, options.host)
    with DataDirectory(options.data_dir, _WHAT, options.data_dir_flag) as directory:
        _own_temporary_directory(directory.path / "tmp")
        if options.sandbox and not confine(directory.path):
            sys.stdout.write(f"{_UNCONFINED}\n")
        asyncio.run(_serve(directory.path / "engine", options))


def default_settings(max_memory_bytes: int) -> dict[str, str]:
    """Where each statement starts from; a request or a session may set others."""
    half = str(max_memory_bytes // 2)
    return {
        "max_memory_usage": str(max_memory_bytes),
        "max_bytes_before_external_group_by": half,
        "max_bytes_before_external_sort": half,
        "max_execution_time": str(_MAX_EXECUTION_S),
    }


def default_memory_bytes() -> int:
    """A quarter of the machine, from 256 MB to 1 GB."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(_MIN_MEMORY_BYTES, min(_MAX_MEMORY_BYTES, machine // 4))


def _own_temporary_directory(path: Path) -> None:
    """Importing chdb makes a directory for temporary data: here it is one that it may write.

    What a killed run has left there is of no use.
    """
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(path)


async def _serve(path: Path, options: ClickHouseOptions) -> None:
    # Imported here: chdb starts threads at import, and threads from before the sandbox escape it.
    from infra.embedded.clickhouse.engine import Engine  # noqa: PLC0415
    from infra.embedded.clickhouse.http import HttpInterface, HttpOptions  # noqa: PLC0415

    engine = Engine(path)
    memory = options.max_memory_bytes or default_memory_bytes()
    interface = HttpInterface(
        engine,
        HttpOptions(
            credentials=Credentials(password=options.password),
            default_settings=default_settings(memory),
            buffered_settings={"max_result_bytes": str(_MAX_BUFFERED_RESULT_BYTES)},
            allowed_hosts=options.allowed_hosts,
        ),
    )
    await serve_until_signal(
        interface.make_app(),
        options.host,
        options.port,
        f"ClickHouse {engine.version} on http://{options.host}:{options.port}",
        interface.drain,
    )
