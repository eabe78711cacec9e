"""An embedded ClickHouse server, and names for tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clickhouse_process import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that do not end it."""
    running = Server(tmp_path_factory.mktemp("clickhouse"))
    yield running
    assert running.stop() == 0


@pytest.fixture
def table(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for a test's own table."""
    name = request.node.name.partition("[")[0]
    yield name
    server.sql(f"DROP TABLE IF EXISTS {name}")
