"""Batches of what was fetched are short, fair to partitions, and in log order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_app.worker.raw_batches import MIN_BYTES, Backlog, Batch, Partition, RawRecord

LIVE, HISTORY = ("funding.raw.kucoin", 3), ("funding.raw.kucoin", 5)


def records(first: int, sizes: list[int]) -> list[RawRecord]:
    """Records of these sizes, with offsets from `first` on."""
    return [RawRecord(first + n, None, b"x" * size) for n, size in enumerate(sizes)]


def backlog_of(fetched: Batch) -> Backlog:
    """A backlog of these records."""
    backlog = Backlog()
    for partition, some in fetched.items():
        for record in some:
            backlog.add(partition, record)
    return backlog


def test_what_is_short_stays_together() -> None:
    """As it was fetched."""
    fetched: Batch = {LIVE: records(7, [100, 200]), HISTORY: records(90, [300])}
    backlog = backlog_of(fetched)
    assert (bool(backlog), backlog.size_bytes) == (True, 600)
    assert backlog.take(600) == fetched
    assert (bool(backlog), backlog.size_bytes) == (False, 0)


def test_a_few_live_records_do_not_wait_for_a_backlog() -> None:
    """They are in the next batch, though the backlog was fetched before them, and make it full."""
    backlog = backlog_of({HISTORY: records(90, [400] * 50)})
    assert backlog.take(2_000) == {HISTORY: records(90, [400] * 5)}
    backlog.add(LIVE, RawRecord(7, None, b"x" * 100))
    assert backlog.take(2_000) == {HISTORY: records(95, [400] * 5), LIVE: records(7, [100])}
    assert backlog.take(2_000) == {HISTORY: records(100, [400] * 5)}


def test_large_records_of_many_partitions_take_turns() -> None:
    """A batch has no room for one of each; who comes short is first in the next one."""
    third = ("funding.raw.kucoin", 6)
    backlog = backlog_of({p: records(0, [80, 80]) for p in (LIVE, HISTORY, third)})
    assert backlog.take(100) == {LIVE: records(0, [80]), HISTORY: records(0, [80])}
    assert backlog.take(100) == {third: records(0, [80]), LIVE: records(1, [80])}
    assert backlog.take(100) == {HISTORY: records(1, [80]), third: records(1, [80])}
    assert not backlog


def test_a_record_that_is_too_large_is_a_batch_of_its_own() -> None:
    """It cannot be cut."""
    backlog = backlog_of({LIVE: records(7, [500, 100])})
    assert backlog.take(100) == {LIVE: records(7, [500])}
    assert backlog.take(100) == {LIVE: records(8, [100])}


def test_records_without_a_value_are_bounded_as_well() -> None:
    """They count for MIN_BYTES each."""
    backlog = backlog_of({LIVE: records(7, [0] * 10)})
    assert backlog.take(3 * MIN_BYTES) == {LIVE: records(7, [0] * 3)}
    assert backlog.size_bytes == 7 * MIN_BYTES


@given(
    st.lists(
        st.dictionaries(
            st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 3)),
            st.lists(st.integers(0, 90), min_size=1, max_size=30),
            max_size=8,
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 400),
)
def test_nothing_is_lost_and_the_order_stays(
    fetches: list[dict[Partition, list[int]]], max_bytes: int
) -> None:
    """Of each partition; no batch is empty or much larger than was asked for."""
    backlog = Backlog()
    expected: dict[Partition, list[RawRecord]] = {}
    taken: dict[Partition, list[RawRecord]] = {}
    for number, sizes in enumerate([*fetches, {}, {}, {}]):
        for partition, some in sizes.items():
            for record in records(100 * number, some):
                backlog.add(partition, record)
                expected.setdefault(partition, []).append(record)
        is_last = number >= len(fetches)
        while backlog:
            batch = backlog.take(max_bytes)
            size = sum(
                max(MIN_BYTES, len(record.value or b""))
                for these in batch.values()
                for record in these
            )
            assert size < max_bytes + 90
            assert batch
            assert all(batch.values())
            for partition, these in batch.items():
                taken.setdefault(partition, []).extend(these)
            if not is_last:
                break
    assert taken == expected
