"""Faust's tables as the checkpoint writes them: data at once, the changelog by our own producer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.clock import SystemClock
from schemas.errors import UnavailableError
from schemas.topics import changelog_topic_spec
from stream_app.settings import WorkerSettings
from stream_app.worker.app import faust_app
from stream_app.worker.checkpoint import Tables
from stream_app.worker.output_producer import OutputProducer
from stream_app.worker.tables import CONTRACTS_TABLE, faust_tables
from tests.support.encoders import OUTPUT_ENCODERS
from tests.support.mock_kafka import MockKafka


def tables(directory: Path, bootstrap: str, **changes: Any) -> Tables:
    """The tables of a worker, in memory, that writes to a broker."""
    settings = WorkerSettings(kafka_bootstrap=bootstrap, worker_data_dir=str(directory))
    producer = OutputProducer(settings, OUTPUT_ENCODERS, SystemClock(), **changes)
    return faust_tables(faust_app(settings, "one-1"), settings.worker_id, producer)


async def test_a_value_is_in_the_table_and_on_its_changelog(tmp_path: Path) -> None:
    """In the partition that was given; `put` returns when the broker has it."""
    kafka = MockKafka()
    found = tables(tmp_path, kafka.bootstrap)
    assert found.contracts.get(b"kucoin/1/0") is None
    await found.contracts.put([(1, b"kucoin/1/0", b"block")])
    assert found.contracts.get(b"kucoin/1/0") == b"block"
    changelog = changelog_topic_spec("fundingstream", CONTRACTS_TABLE).name
    (record,) = kafka.records(changelog, 1, partition=1)
    assert (record.key(), record.value()) == (b"kucoin/1/0", b"block")


async def test_a_changelog_without_a_broker_is_an_error(tmp_path: Path) -> None:
    """The flush must not go on to the next step."""
    found = tables(tmp_path, "127.0.0.1:1", delivery_timeout_s=0.3)
    with pytest.raises(UnavailableError):
        await found.baselines.put([(0, b"kucoin:A", b"baseline")])


def test_a_worker_whose_consumer_polls_nothing_stays_a_member(tmp_path: Path) -> None:
    """Its raw log comes another way; aiokafka would leave the group after 1,000 s, for ever."""
    settings = WorkerSettings(worker_data_dir=str(tmp_path))
    app = faust_app(settings, "one-1")
    assert app.conf.broker_max_poll_interval > 365 * 86_400
