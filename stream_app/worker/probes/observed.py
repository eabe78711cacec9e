"""What the probes read of a running worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from stream_app.core.partition import FeedPartition
from stream_app.worker.probes.timings import WorkerTimings


class ObservedWorker(Protocol):
    """A worker, as far as the probes know it."""

    @property
    def counts(self) -> Counter[str]:
        """What happened to raw records since start."""
        ...

    @property
    def timings(self) -> WorkerTimings:
        """Durations measured since start."""
        ...

    @property
    def started_at_us(self) -> int:
        """When the worker started (UTC µs)."""
        ...

    @property
    def progress_at_s(self) -> float:
        """When the last raw record was applied (monotonic)."""
        ...

    def partitions(self) -> Iterator[FeedPartition]:
        """Return the state of all assigned partitions."""
        ...

    def lag(self) -> int:
        """Return how many raw records are not yet applied."""
        ...
