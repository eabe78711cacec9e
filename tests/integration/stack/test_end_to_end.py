"""From the exchange to SQL, by real processes: what was sent is stored, once, to the last digit."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from schemas.clock import now_us
from schemas.partitioning import PARTITIONS
from schemas.times import US_PER_S
from schemas.topics import raw_topic
from tests.support.stack_fixture import RunningStack
from tests.support.stack_view import CONTRACTS, FEED, Outage, Update, settled_for_sure
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

TICK_US = 1_000_000


def _micros(value: datetime) -> int:
    return round(value.timestamp() * 1_000_000)


_ORIGIN = ("raw_topic", "raw_partition", "raw_offset", "raw_item")


async def test_every_rate_is_stored_once_to_the_last_digit(stack: RunningStack) -> None:
    """All of what the exchange sent, nothing that it did not send, nothing twice."""
    await stack.flowing()
    async with stack.quiet():
        await stack.check_rates()
        assert len({update.contract_id for update in stack.sent()}) == CONTRACTS


async def test_settlements_are_those_of_the_exchange(stack: RunningStack) -> None:
    """Rate, time and interval of each, 30 days back, each once."""

    async def complete() -> bool:
        states = await stack.rows("SELECT max(backfill_done) FROM funding.feeds")
        return bool(states[0][0])

    await eventually(complete, "the history is published", 30)
    after, before = settled_for_sure()
    async with stack.quiet():
        rows = await stack.rows(
            "SELECT contract_id, toUnixTimestamp64Micro(funding_time), rate, interval_hours "
            "FROM funding.settlements FINAL WHERE kind = 'regular' "
            f"AND toUnixTimestamp64Micro(funding_time) BETWEEN {after} + 1 AND {before} - 1"
        )
        assert Counter(rows) == Counter(stack.settled(after, before))


async def test_z_scores_equal_sql_over_the_settlements(stack: RunningStack) -> None:
    """Mean, standard deviation, z and percentile, recomputed by another program."""
    await stack.scored(CONTRACTS // 2, 30)
    async with stack.quiet():
        await stack.check_scores(CONTRACTS // 2)
        unscored = await stack.rows(
            "SELECT count() FROM funding.zscores WHERE (z IS NULL) != (zone = 'unrated')"
        )
    assert unscored == [(0,)]


def _read(stack: RunningStack, topic: str) -> list[dict[str, Any]]:
    """All values of a topic, read with nothing of ours."""
    consumer = Consumer(
        {"bootstrap.servers": stack.options.bootstrap, "group.id": "stranger",
         "enable.auto.commit": False, "enable.partition.eof": True}
    )  # fmt: skip
    decode = AvroDeserializer(SchemaRegistryClient({"url": stack.options.registry}))
    context = SerializationContext(topic, MessageField.VALUE)
    values: list[dict[str, Any]] = []
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1]
                for p in partitions}  # fmt: skip
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
        unread = set(partitions)
        while unread:
            messages = consumer.consume(500, timeout=10)
            assert messages, f"partitions {unread} of {topic} do not come to their ends"
            for message in messages:
                partition, end = message.partition(), ends[message.partition()]
                at_end = message.error() is not None
                if at_end:
                    assert message.error().code() == KafkaError._PARTITION_EOF
                # What is appended meanwhile is not asked for.
                elif message.offset() < end:
                    values.append(decode(message.value(), context))
                if at_end or message.offset() >= end - 1:
                    unread.discard(partition)
    finally:
        consumer.close()
    return values


async def test_strangers_read_the_topics_with_a_plain_avro_consumer(stack: RunningStack) -> None:
    """Confluent's own deserialiser gives what SQL gives, with times as datetimes."""
    async with stack.quiet():
        # A silence brings REST snapshots; what both sides had a moment ago is compared.
        until = now_us() - 3 * US_PER_S
        after, before = settled_for_sure()
        rates, scores, settlements, feeds = await asyncio.gather(
            *(
                asyncio.to_thread(_read, stack, f"funding.{name}")
                for name in ("rates", "zscores", "settlements", "feeds")
            )
        )
        stored = await stack.rows(
            "SELECT contract_id, toUnixTimestamp64Micro(event_time), rate FROM funding.rates FINAL "
            f"WHERE toUnixTimestamp64Micro(received_at) < {until}"
        )
        sums = await stack.rows(
            "SELECT count(), sum(z) FROM funding.zscores FINAL "
            f"WHERE toUnixTimestamp64Micro(computed_at) < {until}"
        )
    assert {
        Update(r["contract_id"], _micros(r["event_time"]), r["rate"])
        for r in rates
        if _micros(r["received_at"]) < until
    } == {Update(*row) for row in stored}
    # A worker that was killed publishes some again: they are of the same raw item.
    each_once = {
        (*(score[name] for name in _ORIGIN), score["trigger"]): score["z"] or 0.0
        for score in scores
        if _micros(score["computed_at"]) < until
    }
    assert len(each_once) == sums[0][0]
    assert math.isclose(sum(each_once.values()), sums[0][1], rel_tol=1e-9, abs_tol=1e-9)
    # A settlement comes again when it is known better.
    newest = {
        (s["contract_id"], _micros(s["funding_time"])): (s["rate"], s["interval_hours"])
        for s in settlements
        if after < _micros(s["funding_time"]) < before and s["kind"] == "regular"
    }
    assert {(*key, *value) for key, value in newest.items()} == set(stack.settled(after, before))
    assert {f["feed"] for f in feeds} == {FEED}
    assert "live" in {f["state"] for f in feeds}


async def test_the_page_and_its_neighbours_answer(stack: RunningStack) -> None:
    """Page, JSON, health, readiness and metrics, about the contracts that stream."""
    status, page = await stack.get("/")
    assert status == 200
    assert "assets/js/app.js" in page
    assert (await stack.get("/healthz"))[0] == 200
    status, ready = await stack.get("/readyz")
    assert (status, json.loads(ready)["ready"]) == (200, True)
    contracts = json.loads((await stack.get("/api/v1/contracts?limit=1000"))[1])["contracts"]
    sent = {update.contract_id for update in stack.sent()}
    assert sent <= {row["contract_id"] for row in contracts}
    newest = {update.contract_id: update for update in stack.sent()}
    btc = next(row for row in contracts if row["symbol"] == "BTCUSDT")
    assert btc["event_time"] >= newest[f"{FEED}:BTCUSDT"].event_time - 60 * TICK_US
    assert await stack.metric("fundingstream_worker_events_total", "accepted") > 0
    assert await stack.metric("fundingstream_contracts", FEED) >= CONTRACTS
    producer = f"http://127.0.0.1:{stack.options.ports.producer_metrics}/metrics"
    assert "fundingstream_feed_frames_total" in (await stack.get(producer))[1]


async def test_a_killed_worker_loses_and_repeats_nothing(stack: RunningStack) -> None:
    """After kill -9 in mid-run the supervisor brings it back, every rate is there once."""
    await stack.kill("worker")
    await stack.flowing()
    async with stack.quiet():
        await stack.check_rates()
        await stack.check_scores(CONTRACTS // 2)


def _produce_junk(stack: RunningStack) -> None:
    """A record that is no RawBatch at the end of every partition of the raw log."""
    producer = Producer(stack.worker_settings.librdkafka())
    for partition in range(PARTITIONS):
        producer.produce(raw_topic(FEED), b"no raw batch", partition=partition)
    assert producer.flush(10) == 0


async def test_junk_at_the_end_of_a_silent_log_stops_no_partition(stack: RunningStack) -> None:
    """A worker that is killed while junk is the newest record reads on behind it."""
    letters = await stack.metric("fundingstream_worker_events_total", "dead_letter")
    async with stack.quiet():
        await asyncio.to_thread(_produce_junk, stack)

        async def refused() -> bool:
            name = "fundingstream_worker_events_total"
            return await stack.metric(name, "dead_letter") >= letters + PARTITIONS

        await eventually(refused, "the junk is in the dead letters", 30)
        await stack.drained()
        await stack.kill("worker")
    await stack.flowing()
    async with stack.quiet():
        await stack.check_rates()
        partitions = await stack.rows(
            "SELECT uniq(raw_partition) FROM funding.rates WHERE received_at > "
            "(SELECT max(received_at) FROM funding.rates) - INTERVAL 5 SECOND"
        )
    assert partitions == [(PARTITIONS,)]


async def test_a_killed_producer_comes_back_with_a_gap_in_between_only(stack: RunningStack) -> None:
    """After kill -9, what is missing was sent around the outage; before and after it nothing is."""
    since = now_us() - 2 * TICK_US  # a tick may be on its way from the socket to Kafka
    await stack.kill("producer")
    back_at = now_us()
    await stack.flowing()
    first = await stack.rows(
        "SELECT min(toUnixTimestamp64Micro(event_time)) FROM funding.rates WHERE transport = 'ws' "
        f"AND toUnixTimestamp64Micro(received_at) > {back_at - TICK_US}"
    )
    stack.outages.append(Outage(since, min(int(first[0][0]) + TICK_US, back_at + 5 * TICK_US)))
    async with stack.quiet():
        await stack.check_rates()
        states = await stack.rows(
            "SELECT state FROM funding.feeds ORDER BY reported_at DESC LIMIT 1"
        )
    assert states == [("live",)]
