"""Records of the raw log as they are fetched: several partitions at a time, each in log order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

Partition = tuple[str, int]
"""Topic and number."""


class RawRecord(NamedTuple):
    """One record of a partition."""

    offset: int
    timestamp_us: int | None
    """Kafka's time of the record; None: it has none."""
    value: bytes | None


Batch = Mapping[Partition, list[RawRecord]]
"""Records of each partition, in the order of its log."""


def slices(records: Batch, max_bytes: int) -> Iterator[Batch]:
    """Cut fetched records into batches of about `max_bytes`, so that none takes long to process.

    Each batch takes of all partitions that have records left, so that a few live records of one do
    not wait for the backlog of another. A batch exceeds `max_bytes` by less than one record of each
    partition.
    """
    if sum(_size(record) for some in records.values() for record in some) <= max_bytes:
        yield records
        return
    left = {partition: iter(some) for partition, some in records.items()}
    while left:
        share = max_bytes // len(left)
        batch: dict[Partition, list[RawRecord]] = {}
        for partition, remaining in list(left.items()):
            taken = _take(remaining, share)
            if taken:
                batch[partition] = taken
            else:
                del left[partition]
        if batch:
            yield batch


def _take(records: Iterator[RawRecord], max_bytes: int) -> list[RawRecord]:
    """Take records until their sizes reach `max_bytes`; at least one, if there is one."""
    taken: list[RawRecord] = []
    size = 0
    for record in records:
        taken.append(record)
        size += _size(record)
        if size >= max_bytes:
            break
    return taken


def _size(record: RawRecord) -> int:
    return len(record.value or b"")
