"""Cutting pieces into records: none is lost, and no record or dead letter is too long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.spec import Slice
from producers.kafka.batching import chunks
from producers.kafka.publisher import Publisher
from schemas.records import MAX_BATCH_ITEMS, RawItem
from tests.support.fake_kafka import FakeProducer, batches, publish


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 400))
def test_chunks_lose_nothing_and_stay_below_the_bound(sizes: list[int], bound: int) -> None:
    """Order is kept, no chunk is empty, and only a single larger item exceeds the bound."""
    items: list[RawItem] = [
        {"symbol": str(n), "payload": b"x" * size, "received_at": n} for n, size in enumerate(sizes)
    ]
    found = list(chunks(items, bound))
    assert [item for chunk in found for item in chunk] == items
    for chunk in found:
        assert chunk
        assert len(chunk) == 1 or sum(len(item["payload"]) for item in chunk) <= bound


async def test_a_record_has_only_so_many_items(kafka: tuple[Publisher, FakeProducer]) -> None:
    """However short they are: the worker refuses records that are much longer."""
    to, fake = kafka
    count = 2 * MAX_BATCH_ITEMS + 1
    await publish(to, [Slice("AUSDT", b"{}")] * count)
    sizes = [len(batch["items"]) for _, batch in batches(fake)]
    assert sizes == [MAX_BATCH_ITEMS, MAX_BATCH_ITEMS, 1]
