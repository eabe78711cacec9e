"""A ClickHouse server with the tables of the sink."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.sink_stack import ClickHouseServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A ClickHouse server for the module."""
    clickhouse = ClickHouseServer(tmp_path_factory.mktemp("history"))
    clickhouse.start()
    yield clickhouse
    clickhouse.stop()
