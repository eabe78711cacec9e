"""Publishing: each piece once on its contract's partition, numbered without gaps, never dropped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers import publisher
from producers.exchanges.description import Slice
from producers.publisher import Publisher
from producers.settings import ProducerSettings
from schemas.contracts import contract_id, partition_of
from schemas.errors import UnavailableError
from schemas.records import RawBatch, RawItem

FEED = "binance-usdm"


class FakeProducer:
    """librdkafka's producer as far as the publisher uses it; refuses while `full`."""

    def __init__(self, _config: dict[str, Any], **_more: Any) -> None:
        self.sent: list[tuple[str, Any, bytes | None, int]] = []
        self.callbacks: list[Callable[[Any, Any], None]] = []
        self.full = 0
        self.left = 0

    def produce(
        self, topic: str, value: Any, key: bytes | None, partition: int, on_delivery: Any
    ) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        self.sent.append((topic, value, key, partition))
        self.callbacks.append(on_delivery)

    def poll(self, _timeout: float) -> int:
        return 0

    def flush(self, _timeout: float) -> int:
        return self.left


class FakeCatalog:
    """Encodes nothing: records arrive at the fake producer as they are."""

    def encoder(self, _topic: Any) -> Any:
        return SimpleNamespace(encode=lambda record: record)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> tuple[Publisher, FakeProducer]:
    """A publisher and the producer below it."""
    monkeypatch.setattr(publisher, "Producer", FakeProducer)
    monkeypatch.setattr(publisher, "_FULL_S", 0.001)
    made = Publisher(FEED, ProducerSettings(), cast("Any", FakeCatalog()))
    return made, cast("FakeProducer", made._producer)


async def publish(to: Publisher, slices: list[Slice], connection: str = "c/1") -> int:
    """Publish the pieces of one frame."""
    return await to.publish(
        slices,
        transport="ws",
        purpose="stream",
        channel="!markPrice@arr@1s",
        connection_id=connection,
        received_at=1_700_000_000_000_000,
    )


def batches(fake: FakeProducer) -> list[tuple[int, RawBatch]]:
    """What was produced: partition and record."""
    return [(partition, value) for _topic, value, _key, partition in fake.sent]


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 400))
def test_chunks_lose_nothing_and_stay_below_the_bound(sizes: list[int], bound: int) -> None:
    """Order is kept, no chunk is empty, and only a single larger item exceeds the bound."""
    items: list[RawItem] = [
        {"symbol": str(n), "payload": b"x" * size, "received_at": n} for n, size in enumerate(sizes)
    ]
    with mock.patch.object(publisher, "BATCH_BYTES", bound):
        chunks = list(publisher._chunks(items))
    assert [item for chunk in chunks for item in chunk] == items
    for chunk in chunks:
        assert chunk
        assert len(chunk) == 1 or sum(len(item["payload"]) for item in chunk) <= bound


async def test_every_piece_lands_once_on_the_partition_of_its_contract(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """In the frame's order within a partition, and in no more records than there are partitions."""
    to, fake = kafka
    slices = [Slice(f"S{n}USDT", f'{{"s":"S{n}USDT"}}'.encode()) for n in range(200)]
    assert await publish(to, slices) == 200
    sent: dict[int, list[Slice]] = defaultdict(list)
    for partition, batch in batches(fake):
        sent[partition] += [Slice(item["symbol"], item["payload"]) for item in batch["items"]]
    assert len(fake.sent) == len(sent) == 8
    for partition, pieces in sent.items():
        wanted = [s for s in slices if partition_of(contract_id(FEED, str(s.symbol))) == partition]
        assert pieces == wanted


async def test_pieces_without_a_symbol_go_to_partition_0(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """A whole unreadable message belongs to no contract."""
    to, fake = kafka
    await publish(to, [Slice(None, b"junk")])
    ((partition, batch),) = batches(fake)
    assert partition == 0
    assert batch["items"][0] == {
        "symbol": None,
        "payload": b"junk",
        "received_at": 1_700_000_000_000_000,
    }


async def test_sequences_have_no_gap_per_connection_and_partition(
    kafka: tuple[Publisher, FakeProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one frame needs several records; another connection counts by itself."""
    monkeypatch.setattr(publisher, "BATCH_BYTES", 500)
    to, fake = kafka
    slices = [Slice(f"S{n}USDT", b"x" * 100) for n in range(60)]
    for connection in ("c/1", "c/2", "c/1"):
        await publish(to, slices, connection)
    seen: dict[tuple[str, int], list[int]] = defaultdict(list)
    for partition, batch in batches(fake):
        seen[batch["connection_id"], partition].append(batch["sequence"])
    assert len(seen) == 16
    assert max(map(len, seen.values())) > 2
    for numbers in seen.values():
        assert numbers == list(range(len(numbers)))


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


async def test_a_refused_record_is_told_by_whoever_asks_next(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """Serving, publishing and waiting for delivery all end with the broker's reason."""
    to, fake = kafka
    await publish(to, [Slice("AUSDT", b"{}")])
    error = "Broker: Message size too large"
    fake.callbacks[0](error, SimpleNamespace(topic=lambda: "funding.raw.binance-usdm"))
    for attempt in (to.serve(), publish(to, [Slice("AUSDT", b"{}")]), to.delivered()):
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
