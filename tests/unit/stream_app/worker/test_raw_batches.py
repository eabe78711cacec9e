"""Fetched records are cut into batches that are short, fair to partitions, and in log order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_app.worker.raw_batches import Batch, Partition, RawRecord, slices

LIVE, HISTORY = ("funding.raw.kucoin", 3), ("funding.raw.kucoin", 5)


def records(first: int, sizes: list[int]) -> list[RawRecord]:
    """Records of these sizes, with offsets from `first` on."""
    return [RawRecord(first + n, None, b"x" * size) for n, size in enumerate(sizes)]


def test_what_is_short_stays_together() -> None:
    """As it was fetched."""
    fetched: Batch = {LIVE: records(7, [10, 20]), HISTORY: records(90, [30])}
    assert list(slices(fetched, 60)) == [fetched]


def test_a_few_live_records_do_not_wait_for_a_backlog() -> None:
    """They are in the first batch, though the backlog was fetched before them."""
    fetched: Batch = {HISTORY: records(90, [40] * 50), LIVE: records(7, [10])}
    first, *later = slices(fetched, 200)
    assert first == {HISTORY: records(90, [40] * 3), LIVE: records(7, [10])}
    assert all(set(batch) == {HISTORY} for batch in later)


def test_a_record_that_is_too_large_is_a_batch_of_its_own() -> None:
    """It cannot be cut."""
    fetched: Batch = {LIVE: records(7, [500, 10])}
    assert list(slices(fetched, 100)) == [{LIVE: records(7, [500])}, {LIVE: records(8, [10])}]


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 3)),
        st.lists(st.integers(0, 90), min_size=1, max_size=30),
        max_size=8,
    ),
    st.integers(1, 400),
)
def test_nothing_is_lost_and_the_order_stays(
    sizes: dict[Partition, list[int]], max_bytes: int
) -> None:
    """Of each partition; no batch is empty or much larger than was asked for."""
    fetched = {partition: records(17, some) for partition, some in sizes.items()}
    again: dict[Partition, list[RawRecord]] = {}
    for batch in slices(fetched, max_bytes):
        size = sum(len(record.value or b"") for some in batch.values() for record in some)
        assert size <= max_bytes + 90 * len(sizes)
        assert all(batch.values())
        for partition, some in batch.items():
            again.setdefault(partition, []).extend(some)
    assert again == fetched
