"""What readiness and metrics are made of: the newest picture of the worker.

A picture is taken once a second at most, and only when somebody asks. readiness.py says whether the
state is ready; routes.py and metrics.py give it a form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from schemas.clock import Clock
from schemas.records import FeedStatus
from schemas.times import US_PER_S
from stream_app.worker.probes.observed import ObservedWorker
from stream_app.worker.probes.picture import Picture, take_picture
from stream_app.worker.probes.slices import Once, Pace
from stream_app.worker.probes.timings import WorkerTimings

FRESH_S = 1.0
"""For so long after it was begun, a picture is what everybody gets."""


class WorkerView:
    """Reads a worker's state for all who ask."""

    def __init__(
        self,
        worker: ObservedWorker,
        reports: Callable[[], Mapping[str, FeedStatus]],
        clock: Clock,
        idle: Callable[[], bool],
    ) -> None:
        """Set what is read.

        Args:
            worker: The worker.
            reports: Returns the newest status that each feed's producer has published.
            clock: By which ages are told and slices measured.
            idle: Tells whether no fetched record waits to be processed.
        """
        self._worker = worker
        self._reports = reports
        self._clock = clock
        self._pace = Pace(clock, idle)
        self._newest: Once[Picture] | None = None
        self._begun_s = 0.0

    async def picture(self) -> Picture:
        """Return the newest picture; a new one if it is older than FRESH_S."""
        newest, now_s = self._newest, self._clock.monotonic_s()
        if newest is None or (newest.is_made and now_s - self._begun_s >= FRESH_S):
            newest = self._newest = Once(self._take)
            self._begun_s = now_s
        return await newest.get()

    async def _take(self) -> Picture:
        return await take_picture(self._worker, dict(self._reports()), self._clock, self._pace)

    @property
    def started(self) -> bool:
        """True when partitions are assigned and their state is loaded."""
        return any(True for _ in self._worker.partitions())

    @property
    def timings(self) -> WorkerTimings:
        """The durations that the worker has measured."""
        return self._worker.timings

    def uptime_s(self) -> float:
        """Return seconds since the worker started."""
        return (self._clock.now_us() - self._worker.started_at_us) / US_PER_S

    def idle_s(self) -> float:
        """Return seconds since the last raw record was processed."""
        return self._clock.monotonic_s() - self._worker.progress_at_s
