"""What a worker does when its raw log has lost records, or is gone, on a real Kafka."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest
import pytest_asyncio
from confluent_kafka import TopicPartition

from infra.kafka.lag import LagReader
from infra.kafka.topic_reader import Span, read_topic, topic_ends
from schemas.kafka import clients
from schemas.partitioning import PARTITIONS
from schemas.records import AUDIT_EVENT
from schemas.serde.registry import SchemaCatalog
from schemas.topics import AUDIT, raw_topic
from tests.integration.worker.test_process import FATAL, FEED, produce_raw
from tests.support.waiting import eventually
from tests.support.worker_scene import Scene, running_scene

TOPIC = raw_topic(FEED)
ALWAYS = Span(0, 1 << 62)

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Kafka and the registry."""
    async with running_scene(tmp_path_factory.mktemp("raw-log")) as running:
        yield running


def admin(scene: Scene) -> Any:
    """A client that may do everything."""
    return clients.admin_client(scene.settings.quiet_librdkafka())


async def processed(scene: Scene) -> None:
    """Wait until the group has committed all of the log."""
    with closing(LagReader(scene.settings, scene.settings.worker_id)) as lag:
        await lag.wait([TOPIC], 30)


def losses(scene: Scene) -> list[dict[str, Any]]:
    """The audit events of records that are lost."""
    decode = SchemaCatalog(scene.settings).decoder(AUDIT_EVENT).decode
    ends = topic_ends(scene.settings, AUDIT.name, PARTITIONS)
    records = read_topic(scene.settings, AUDIT.name, decode, ALWAYS, ends)
    return [record for record in records if record["kind"] == "lost_records"]


async def test_records_that_are_gone_are_told_and_the_rest_is_processed(scene: Scene) -> None:
    """Retention took three records of each partition before the worker could read them."""
    await asyncio.to_thread(produce_raw, scene)
    async with scene.worker() as worker:
        await worker.started()
        await processed(scene)
        worker.send(signal.SIGTERM)
        assert await worker.ended(30) == 0
    for _ in range(5):
        await asyncio.to_thread(produce_raw, scene)
    oldest = [TopicPartition(TOPIC, partition, 4) for partition in range(PARTITIONS)]
    client = admin(scene)  # it answers only as long as it lives
    for future in client.delete_records(oldest).values():
        await asyncio.to_thread(future.result, 10)
    async with scene.worker() as worker:
        await worker.started()
        await processed(scene)
        told = await asyncio.to_thread(losses, scene)
        assert worker.process.returncode is None
        worker.send(signal.SIGTERM)
        assert await worker.ended(30) == 0
    found = {event["raw_partition"]: event for event in told}
    assert set(found) == set(range(PARTITIONS))
    assert {(e["first_offset"], e["last_offset"], e["count"]) for e in told} == {(1, 3, 3)}


async def test_a_topic_that_is_deleted_ends_the_worker(scene: Scene) -> None:
    """With the reason: waiting brings nothing."""
    async with scene.worker() as worker:
        await worker.started()
        client = admin(scene)
        (future,) = client.delete_topics([TOPIC]).values()
        await asyncio.to_thread(future.result, 10)
        assert await worker.ended(60) == FATAL
    await eventually(lambda: "the raw log can no longer be fetched" in worker.output, "it says so")
