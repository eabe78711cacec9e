"""Records of the raw log as they are fetched: several partitions at a time, each in log order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

Partition = tuple[str, int]
"""Topic and number."""


class RawRecord(NamedTuple):
    """One record of a partition."""

    offset: int
    timestamp_us: int | None
    """Kafka's time of the record; None: it has none."""
    value: bytes | None


MIN_BYTES = 64
"""What a record counts for at least."""
Batch = Mapping[Partition, list[RawRecord]]
"""Records of each partition, in the order of its log."""


class Backlog:
    """Fetched records that are not in a batch yet.

    Kafka hands over a backlog partition by partition, up to a megabyte of each. A batch takes an
    equal share of each partition that has records left. So records of one do not wait for those of
    another that came before them, and the core has the updates of many contracts at a time instead
    of many of a few.
    """

    def __init__(self) -> None:
        self._records: dict[Partition, deque[RawRecord]] = {}
        self.size_bytes = 0
        """Of all values, as `_size` counts them."""

    def __bool__(self) -> bool:
        """Tell whether there are records."""
        return bool(self._records)

    def add(self, partition: Partition, record: RawRecord) -> None:
        """Add the next record of a partition."""
        records = self._records.get(partition)
        if records is None:
            records = self._records[partition] = deque()
        records.append(record)
        self.size_bytes += _size(record)

    def take(self, max_bytes: int) -> Batch:
        """Take out a batch of `max_bytes` and less than one record more.

        Partitions that it has no room for are the first ones of the next batch.
        """
        batch: dict[Partition, list[RawRecord]] = {}
        left = max(0, self.size_bytes - max_bytes)
        # What the small ones leave of their shares is for the others, in a further round.
        while self.size_bytes > left:
            share = (self.size_bytes - left) // len(self._records)
            for partition, records in list(self._records.items()):
                room = self.size_bytes - left
                if room <= 0:
                    break
                batch.setdefault(partition, []).extend(self._take(records, min(share, room)))
                del self._records[partition]
                if records:
                    self._records[partition] = records
        return batch

    def _take(self, records: deque[RawRecord], max_bytes: int) -> list[RawRecord]:
        taken: list[RawRecord] = []
        size = 0
        while records and (size < max_bytes or not taken):
            record = records.popleft()
            taken.append(record)
            size += _size(record)
        self.size_bytes -= size
        return taken


def _size(record: RawRecord) -> int:
    """Return what a record counts for: bounds in bytes must bound small ones, too."""
    return max(MIN_BYTES, len(record.value or b""))
