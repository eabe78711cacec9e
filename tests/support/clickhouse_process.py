"""The embedded ClickHouse as a process of its own, for tests that ask it, refuse it and end it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clickhouse_connect
import requests

from infra.embedded.ports import free_port
from infra.embedded.supervision.readiness import http_ready
from tests.support.waiting import eventually

START_TIMEOUT_S = 30.0
WRITER = ("fundingstream", "s3cret-of-tests")


def command(port: int, data_dir: Path, *more: str) -> list[str]:
    """The server's command line."""
    base = [sys.executable, "-m", "infra.cli", "clickhouse"]
    return [*base, "--port", str(port), "--data-dir", str(data_dir), *more]


class Server:
    """One running server process."""

    def __init__(self, data_dir: Path, *more: str, **env: str) -> None:
        self.port = free_port()
        self.log = data_dir.with_name(f"{data_dir.name}.stderr")
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            command(self.port, data_dir, *more),
            env={**os.environ, "FUNDING_CLICKHOUSE_PASSWORD": WRITER[1], **env},
            stdout=subprocess.DEVNULL,
            stderr=self.log.open("ab"),
        )
        asyncio.run(eventually(http_ready(f"{self.url}/ping"), "clickhouse", START_TIMEOUT_S))

    def client(self, **options: Any) -> Any:
        """A clickhouse-connect client of the writer."""
        user = {"username": WRITER[0], "password": WRITER[1], **options}
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, **user)

    def sql(self, sql: str, **options: Any) -> requests.Response:
        """A statement as curl would send it, by the writer."""
        return self.read(sql, **{"auth": WRITER, **options})

    def read(self, sql: str, **options: Any) -> requests.Response:
        """A statement as curl would send it without credentials."""
        return requests.post(self.url, data=sql.encode(), timeout=20, **options)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)


def refusal(*argv: str, **env: str) -> tuple[int, str]:
    """Exit code and output of a start that must fail."""
    done = subprocess.run(
        argv, env={**os.environ, **env}, capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout + done.stderr


@contextmanager
def server_with_a_table(directory: Path) -> Iterator[Server]:
    """Run a server with a small memory, a table `d.t` of two rows and a view `d.v` of it."""
    running = Server(directory, "--max-memory-mb", "256")
    running.sql("CREATE DATABASE d").raise_for_status()
    running.sql("CREATE TABLE d.t (a Int64) ENGINE MergeTree ORDER BY a").raise_for_status()
    running.sql("CREATE VIEW d.v AS SELECT a FROM d.t").raise_for_status()
    running.sql("INSERT INTO d.t VALUES (1), (2)").raise_for_status()
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


def code_of(answer: requests.Response) -> str | None:
    """The error's code, None for an answer."""
    return answer.headers.get("X-ClickHouse-Exception-Code")
