"""Faust's tables as the checkpoint writes them: data at once, the changelog by our own producer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.clock import SystemClock
from schemas.errors import UnavailableError
from schemas.times import US_PER_HOUR
from schemas.topics import changelog_topic_spec
from stream_app.settings import WorkerSettings
from stream_app.worker.app import faust_app
from stream_app.worker.checkpoint import Tables
from stream_app.worker.output_producer import OutputProducer
from stream_app.worker.tables import CONTRACTS_TABLE, FaustBarTable, faust_tables
from tests.support.clock import ManualClock
from tests.support.encoders import OUTPUT_ENCODERS
from tests.support.mock_kafka import MockKafka
from tests.support.processors import HOUR_US


def tables(directory: Path, bootstrap: str, clock: ManualClock, **changes: Any) -> Tables:
    """The tables of a worker, in memory, that writes to a broker."""
    settings = WorkerSettings(kafka_bootstrap=bootstrap, worker_data_dir=str(directory))
    producer = OutputProducer(settings, OUTPUT_ENCODERS, SystemClock(), **changes)
    return faust_tables(faust_app(settings, "one-1"), settings.worker_id, producer, clock)


async def test_a_value_is_in_the_table_and_on_its_changelog(tmp_path: Path) -> None:
    """In the partition that was given; `put` returns when the broker has it."""
    kafka = MockKafka()
    found = tables(tmp_path, kafka.bootstrap, ManualClock())
    assert found.contracts.get(b"kucoin/1/0") is None
    await found.contracts.put([(1, b"kucoin/1/0", b"block")])
    assert found.contracts.get(b"kucoin/1/0") == b"block"
    changelog = changelog_topic_spec("fundingstream", CONTRACTS_TABLE).name
    (record,) = kafka.records(changelog, 1, partition=1)
    assert (record.key(), record.value()) == (b"kucoin/1/0", b"block")


async def test_a_changelog_without_a_broker_is_an_error(tmp_path: Path) -> None:
    """The flush must not go on to the next step."""
    found = tables(tmp_path, "127.0.0.1:1", ManualClock(), delivery_timeout_s=0.3)
    with pytest.raises(UnavailableError):
        await found.baselines.put([(0, b"kucoin:A", b"baseline")])


def test_the_newest_bars_are_those_of_the_clock_s_last_hours(tmp_path: Path) -> None:
    """Oldest first, of this contract alone."""
    clock = ManualClock(HOUR_US + 60)
    bars = tables(tmp_path, "127.0.0.1:1", clock).bars
    assert isinstance(bars, FaustBarTable)
    hours = [HOUR_US - back * US_PER_HOUR for back in range(4)]
    for contract in ("kucoin:A", "kucoin:B"):
        for hour in hours:
            key = (contract, bars._window(hour))
            bars._table.data[key] = {"contract_id": contract, "hour": hour}
    assert [bar["hour"] for bar in bars.newest("kucoin:A", 2)] == hours[2::-1]
    clock.advance(3_600.0)
    assert [bar["hour"] for bar in bars.newest("kucoin:A", 2)] == hours[1::-1]


def test_a_worker_whose_consumer_polls_nothing_stays_a_member(tmp_path: Path) -> None:
    """Its raw log comes another way; aiokafka would leave the group after 1,000 s, for ever."""
    settings = WorkerSettings(worker_data_dir=str(tmp_path))
    app = faust_app(settings, "one-1")
    assert app.conf.broker_max_poll_interval > 365 * 86_400
