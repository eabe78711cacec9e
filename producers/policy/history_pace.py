"""How fast settled history may be published without delaying live rates. Pure.

History goes through the same partitions as the live rates, so a worker that is busy with 30 days
of settlements would score live rates late. Workers report once a second how long live records took
until their outputs left (topic `funding.workers`). While that delay is short for all workers,
history is published faster step by step, up to its limit; when it grows for one, history is slowed
down at once. This is additive increase and multiplicative decrease as in TCP, with the delay as the
sign of congestion as in LEDBAT (RFC 6817), which is made for background transfers.
"""

from __future__ import annotations

from typing import NamedTuple

CALM_S = 0.12
"""While the median delay of live records is below this, history may go faster."""
LATE_S = 0.22
"""When the median delay is above this, history goes slower. The median grows when records queue up,
while single records are late for many reasons."""
FIRST_SHARE = 0.7
"""The share of the limit that is used before the first report."""
SLOWER = 0.6
"""The factor by which the pace is slowed down in one step."""
FASTER_SHARE = 0.15
"""The share of the limit by which the pace grows in one step."""
STEP_S = 1.0
"""The time between two changes of the pace; workers report once a second."""
FLOOR_SHARE = 0.2
"""The share of the limit that is always allowed, since live rates need the history for their
z-scores."""
SILENT_S = 4.0
"""A worker that has reported before and is silent for this long is too busy to report."""
GONE_S = 20.0
"""After this long without a report a worker is not running, so it delays no live rates."""
MAX_WORKERS = 256
"""Workers that are followed: more than there are partitions to share."""


class _Report(NamedTuple):
    at_s: float
    delay_s: float | None


class HistoryPace:
    """Follows the workers' delays and tells how many settlements may be published per second."""

    def __init__(self, limit_per_s: float, now_s: float) -> None:
        """`limit_per_s`: settlements per second that are never exceeded."""
        self._limit = limit_per_s
        self._floor = limit_per_s * FLOOR_SHARE
        self._begun_s = self._stepped_s = now_s
        self._newest: dict[str, _Report] = {}
        """The newest report of each worker."""
        self.per_s = limit_per_s * FIRST_SHARE

    def report(self, worker: str, delay_s: float | None, now_s: float) -> None:
        """Take a worker's report: the median delay of its live records; None: it had none."""
        if worker in self._newest or len(self._newest) < MAX_WORKERS:
            self._newest[worker] = _Report(now_s, delay_s)

    def look(self, now_s: float) -> float:
        """Return how many settlements per second may be published now."""
        self._newest = {w: r for w, r in self._newest.items() if now_s - r.at_s < GONE_S}
        if not self._newest:
            if now_s - self._begun_s >= GONE_S:
                self.per_s = self._limit
        elif any(now_s - report.at_s >= SILENT_S for report in self._newest.values()):
            self.per_s = self._floor
        elif now_s - self._stepped_s >= STEP_S:
            self._step(now_s)
        return self.per_s

    def _step(self, now_s: float) -> None:
        """Change the pace by the longest delay that was reported since the last step."""
        news = (r.delay_s for r in self._newest.values() if r.at_s > self._stepped_s)
        worst_s = max((delay_s for delay_s in news if delay_s is not None), default=None)
        self._stepped_s = now_s
        if worst_s is None:
            return
        if worst_s > LATE_S:
            self.per_s = max(self._floor, self.per_s * SLOWER)
        elif worst_s < CALM_S:
            self.per_s = min(self._limit, self.per_s + self._limit * FASTER_SHARE)
