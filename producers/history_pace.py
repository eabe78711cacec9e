"""How fast settled history may be published: live rates come first. Pure: times are passed in.

History goes through the same partitions as the live rates, so a worker that is busy with 30 days
of settlements would score what is live late. Workers report once a second how long live records
took until their outputs left (`funding.workers`). While that stays short, history is published
faster and faster up to its limit; once it grows, history is slowed down at once. This is additive
increase and multiplicative decrease, as TCP does it, with the delay as the sign of congestion, as
LEDBAT (RFC 6817) has it for transfers in the background.
"""

from __future__ import annotations

CALM_S = 0.12
"""While half of the live records are through within this, history may go faster."""
LATE_S = 0.22
"""Once half of them take longer than this, history goes slower. The median is looked at: it grows
with a queue, while single records are late for many reasons."""
FIRST_SHARE = 0.7
"""Of the limit, before the first report."""
SLOWER = 0.6
FASTER_SHARE = 0.15
"""Of the limit, a report."""
FLOOR_SHARE = 0.2
"""Of the limit: history never stops, since the live rates need it for their z-scores."""
SILENT_S = 4.0
"""A worker that reported lately and is silent for so long is too busy to report."""
GONE_S = 20.0
"""After so long without any report no worker runs, so nobody's live rates wait."""


class HistoryPace:
    """Follows the workers' delay and says how many settlements may be published a second."""

    def __init__(self, limit_per_s: float, now_s: float) -> None:
        """`limit_per_s`: what is never exceeded."""
        self._limit = limit_per_s
        self._floor = limit_per_s * FLOOR_SHARE
        self._reported_s = now_s
        self._any = False
        self.per_s = limit_per_s * FIRST_SHARE

    def report(self, delay_s: float | None, now_s: float) -> None:
        """Take a worker's report: the median delay of live records; None: it had none."""
        self._reported_s, self._any = now_s, True
        if delay_s is None:
            return
        if delay_s > LATE_S:
            self.per_s = max(self._floor, self.per_s * SLOWER)
        elif delay_s < CALM_S:
            self.per_s = min(self._limit, self.per_s + self._limit * FASTER_SHARE)

    def look(self, now_s: float) -> float:
        """Return the settlements that may be published a second now."""
        silent_s = now_s - self._reported_s
        if silent_s >= GONE_S:
            self.per_s = self._limit
        elif self._any and silent_s >= SILENT_S:
            self.per_s = self._floor
        return self.per_s
