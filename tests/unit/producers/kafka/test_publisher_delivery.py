"""While Kafka is away nothing is dropped, and what it refuses or does not take is told."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from producers.exchanges.spec import Slice
from producers.kafka.publisher import GATHER_BELOW, Publisher, UndeliveredError
from schemas.errors import UnavailableError
from tests.support.clock import ManualClock
from tests.support.fake_kafka import FakeProducer, batches, publish


async def test_a_full_queue_makes_the_caller_wait_and_drops_nothing(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """While Kafka is away `publish` does not return; afterwards everything is there once."""
    to, fake = kafka
    fake.full = 5
    slices = [Slice(f"S{n}USDT", b"{}") for n in range(50)]
    assert await publish(to, slices) == 50
    assert to.waits == 5
    assert sum(len(batch["items"]) for _, batch in batches(fake)) == 50


async def test_how_long_kafka_takes_nothing_is_known(
    kafka: tuple[Publisher, FakeProducer], clock: ManualClock
) -> None:
    """While a record waits for room in the queue; not before, and no longer behind it."""
    to, fake = kafka
    assert to.full_for_s == 0.0
    fake.full = 1_000_000
    waiting = asyncio.create_task(publish(to, [Slice(f"S{n}USDT", b"{}") for n in range(50)]))
    async with asyncio.timeout(10):
        await fake.refused.wait()
    clock.advance(7.0)
    assert to.full_for_s == 7.0
    fake.full = 0
    assert await waiting == 50
    assert to.full_for_s == 0.0


async def test_a_refused_record_is_told_by_whoever_asks_next(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """Serving, publishing and waiting for delivery all end with the broker's reason."""
    to, fake = kafka
    await publish(to, [Slice("AUSDT", b"{}")])
    await to.flush()
    error = "Broker: Message size too large"
    fake.callbacks[0](error, SimpleNamespace(topic=lambda: "funding.raw.binance-usdm"))
    more = [Slice(f"S{n}USDT", b"{}") for n in range(GATHER_BELOW)]
    for attempt in (to.serve(), publish(to, more), to.delivered()):
        with pytest.raises(UnavailableError, match="was refused: Broker: Message size too large"):
            await attempt


async def test_what_is_undelivered_at_the_end_is_told(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """A stop that could not hand everything over does not look like a clean one."""
    to, fake = kafka
    await to.delivered()
    fake.left = 3
    with pytest.raises(UnavailableError, match="3 records"):
        await to.delivered(0.1)


async def test_history_is_waited_for_by_itself(kafka: tuple[Publisher, FakeProducer]) -> None:
    """A stream that never pauses does not keep it from being acknowledged."""
    to, fake = kafka
    await publish(to, [Slice("AUSDT", b"{}")])
    await to.publish(
        [Slice("AUSDT", b"{}")],
        transport="rest",
        purpose="history",
        channel="fundingRate",
        connection_id="history",
        received_at=7,
    )
    with pytest.raises(UndeliveredError, match="1 records"):
        await to.acknowledged(0.01)
    fake.callbacks[-1](None, None)
    await to.acknowledged(0.01)


async def test_a_cancelled_flush_loses_nothing(kafka: tuple[Publisher, FakeProducer]) -> None:
    """What waits for room when a feed is ended goes out with the next flush, in order, once."""
    to, fake = kafka
    pieces = [Slice(f"S{n}USDT", b"%d" % n) for n in range(50)]
    fake.full = 1_000_000
    waiting = asyncio.create_task(publish(to, pieces))
    async with asyncio.timeout(10):
        await fake.refused.wait()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    fake.full = 0
    await publish(to, [Slice("S0USDT", b"later")])
    await to.flush()
    sent = [item for _, batch in batches(fake) for item in batch["items"]]
    expected = sorted([*(piece.payload for piece in pieces), b"later"])
    assert sorted(item["payload"] for item in sent) == expected
    mine = [item["payload"] for item in sent if item["symbol"] == "S0USDT"]
    assert mine == [b"0", b"later"]


async def test_what_is_closed_is_forgotten_though_a_flush_was_cancelled(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """By the next one; a feed that runs anew keeps its event log's counters alone."""
    to, fake = kafka
    for connection in ("old/ws", "old/rest", "events"):
        await publish(to, [Slice("AUSDT", b"1")], connection)
    await to.flush()
    await publish(to, [Slice("AUSDT", b"2")], "events")
    to.forget_all_but("events")
    fake.full = 1_000_000
    flushing = asyncio.create_task(to.flush())
    async with asyncio.timeout(10):
        await fake.refused.wait()
    flushing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await flushing
    fake.full = 0
    await to.flush()
    assert {connection for connection, _ in to._sequences} == {"events"}
    assert [b["sequence"] for _, b in batches(fake) if b["connection_id"] == "events"] == [0, 1]


async def test_serving_goes_on_after_it_was_cancelled(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """What was gathered between the two, while nobody served, is sent by the second."""
    to, fake = kafka
    for number in (b"1", b"2"):
        fake.taken.clear()
        await publish(to, [Slice("AUSDT", number)])
        serving = asyncio.create_task(to.serve())
        async with asyncio.timeout(10):
            await fake.taken.wait()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    assert [b["items"][0]["payload"] for _, b in batches(fake)] == [b"1", b"2"]
