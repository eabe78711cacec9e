"""Broker and registry with z-scores on the topic, some of them twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.topics import ZSCORES
from tests.support.sink_stack import Kafka, zscore


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """Of three contracts: an extreme, all of it again as after a crash, and another extreme.

    Where the second extreme of a contract has come, all that went before it has come as well.
    """
    running = Kafka(tmp_path_factory.mktemp("kafka"))
    try:
        running.wait()
        first = [zscore(n, z=n + 1.5, zone="high") for n in (1, 2, 3)] + [zscore(4)]
        last = [zscore(n + 50, z=9.5, zone="high") for n in (1, 2, 3)]
        running.publish(ZSCORES, [*first, *first, *last])
        yield running
    finally:
        running.stop()
