"""ClickHouse's JDBC driver, a client that is not ours, with its defaults (`compress=1`)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clickhouse_process import WRITER, Server
from tests.support.maven_jars import jars_of

pytestmark = pytest.mark.integration
_HERE = Path(__file__).parent / "jdbc"


@pytest.fixture(scope="module")
def jars() -> Path:
    """The driver and what it needs."""
    return jars_of(_HERE / "pom.xml", "clickhouse-jdbc-0.9.9", "clickhouse-jdbc-*.jar")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the driver alone."""
    running = Server(tmp_path_factory.mktemp("clickhouse"))
    yield running
    assert running.stop() == 0


def run(server: Server, jars: Path, *credentials: str) -> list[str]:
    """What the client prints."""
    url = f"jdbc:clickhouse://127.0.0.1:{server.port}/default"
    client = [str(_HERE / "JdbcClient.java"), url, *credentials]
    done = subprocess.run(
        ["java", "-cp", f"{jars}/*", *client],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_the_drivers_defaults_are_served(server: Server, jars: Path) -> None:
    """Queries, results of megabytes, prepared statements and inserts; who reads cannot insert."""
    asked = ["one 1", "sum 4999950000", "rows 300000", "prepared 5 it's"]
    described = "metadata driver a:Int64 b:String"
    assert run(server, jars, *WRITER) == [*asked, "table 3 it's 2", described, "inserted"]
    assert run(server, jars) == [*asked, "table 4 x", described, "refused 497"]
