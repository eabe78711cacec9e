"""The workers' reports on a real broker, and what a producer makes of them."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from confluent_kafka import Producer

from producers.kafka.worker_reports import following_workers
from producers.policy.history_pace import FLOOR_SHARE
from producers.settings import ProducerSettings
from schemas.clock import SystemClock, now_us
from schemas.kafka.topic_follower import Source, TopicFollower
from schemas.records import WorkerStatus
from schemas.serde.registry import SchemaCatalog
from schemas.topics import WORKERS
from tests.support.stack_fixture import RunningStack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]
LIMIT = 5_000.0


def settings_of(stack: RunningStack) -> ProducerSettings:
    """A producer's settings for the running stack."""
    return ProducerSettings(
        kafka_bootstrap=stack.options.bootstrap,
        registry_url=stack.options.registry,
        producer_history_rows_per_s=LIMIT,
    )


async def test_a_worker_reports_its_delays(stack: RunningStack) -> None:
    """About once a second, with the records of that second."""
    settings = settings_of(stack)
    found: list[WorkerStatus] = []
    reports = TopicFollower(
        settings,
        SchemaCatalog(settings),
        [Source(WORKERS, since="next")],
        lambda records: found.extend(followed.record for followed in records),
    )
    reports.start()

    async def three() -> bool:
        return sum(report["records"] > 0 for report in found) >= 3

    try:
        await eventually(three, "three reports with live records", 30)
    finally:
        await asyncio.to_thread(reports.stop)
    for report in found:
        assert report["partitions"] > 0
        assert abs(now_us() - report["reported_at"]) < 60_000_000
        if report["records"]:
            assert report["delay_p50_s"] is not None
            assert report["delay_p99_s"] is not None
            assert 0 <= report["delay_p50_s"] <= report["delay_p99_s"]


async def test_history_yields_to_a_worker_that_is_late(stack: RunningStack) -> None:
    """Reports of long delays, of another worker here, bring the pace down to its floor."""
    settings = settings_of(stack)
    catalog = SchemaCatalog(settings)
    encode = catalog.encoder(WORKERS).encode
    late: WorkerStatus = {
        "worker": "made-up",
        "reported_at": now_us(),
        "started_at": now_us(),
        "partitions": 4,
        "records_behind": 90_000,
        "records": 7,
        "delay_p50_s": 17.5,
        "delay_p99_s": 31.25,
        "contradicted_feeds": ["kucoin", "unheard-of"],
    }
    client = Producer(settings.librdkafka())
    asked: list[str] = []
    async with following_workers(settings, catalog, SystemClock()) as reports:
        throttle = reports.throttle
        for feed in ("backpack", "kucoin"):
            reports.when_contradicted(feed, partial(asked.append, feed))

        async def slow() -> bool:
            client.produce(WORKERS.name, encode(late), b"made-up", 0)
            client.poll(0)
            return throttle.per_s == LIMIT * FLOOR_SHARE

        await eventually(slow, "the floor", 30)
        assert set(asked) == {"kucoin"}, "its list is contradicted"

        # Without further ones the stack's own worker has the word.
        async def fast() -> bool:
            return throttle.per_s > LIMIT / 2

        await eventually(fast, "half of the limit", 30)
