"""Tells when Kafka has deleted messages before the sink had them. Pure.

While ClickHouse is away the sink waits, however long. A topic keeps its messages for a bounded
time, and whoever is away for longer continues at the oldest that is left: without an error.
"""

from __future__ import annotations

from collections.abc import Mapping


class ExpectedOffsets:
    """The next offset of each partition of the topics whose messages are deleted by age only.

    Offsets there follow each other, since nothing is published in transactions. A compacted topic
    has holes that mean nothing.
    """

    def __init__(self, committed: Mapping[tuple[str, int], int]) -> None:
        """`committed`: the group's offset by topic and partition; negative where there is none."""
        self._next = {partition: offset for partition, offset in committed.items() if offset >= 0}

    def missing_before(self, topic: str, partition: int, offset: int) -> int:
        """Take a consumed offset; return how many messages are missing before it.

        A smaller offset than the expected one is that of a topic that was made anew.
        """
        expected = self._next.get((topic, partition), offset)
        self._next[topic, partition] = offset + 1
        return max(0, offset - expected)
