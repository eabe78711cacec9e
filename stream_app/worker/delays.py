"""How long records of the stream took from their receipt by the producer to their outputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from schemas.times import US_PER_S
from stream_app.core.scoring.statistics import quantile
from stream_app.worker.probes.timings import WorkerTimings

_REPORTED = 4_096
"""More stream records than a worker applies within a second."""


class Reported(NamedTuple):
    """The delays of the records since the report before."""

    records: int
    p50_s: float | None
    p99_s: float | None


class Delays:
    """The delays of one worker."""

    def __init__(self, timings: WorkerTimings) -> None:
        self._unreported_s: deque[float] = deque(maxlen=_REPORTED)
        self._timings = timings

    def note(self, received_at: Iterable[int], now_us: int) -> None:
        """Note records that were received then (UTC µs) and whose outputs are handed over now."""
        for at in received_at:
            delay_s = (now_us - at) / US_PER_S
            self._timings.latency_seconds.observe(delay_s)
            self._unreported_s.append(delay_s)

    def report(self) -> Reported:
        """Return the delays since the call before."""
        delays_s, records = sorted(self._unreported_s), len(self._unreported_s)
        self._unreported_s.clear()
        return Reported(records, quantile(delays_s, 0.50), quantile(delays_s, 0.99))
