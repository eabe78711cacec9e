"""A picture of the worker: what all who ask within one second are told.

It is taken in slices (slices.py), so its parts may be some milliseconds apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.clock import Clock
from schemas.feeds import stale_s
from schemas.records import FeedStatus
from schemas.times import US_PER_S
from stream_app.worker.probes.observed import ObservedWorker
from stream_app.worker.probes.readiness import Arrivals, reasons, warming_up
from stream_app.worker.probes.shown import ShownContract, shown_contracts
from stream_app.worker.probes.slices import Pace

PIECE = 16
"""So many contracts are handled between two looks at the clock."""


@dataclass(frozen=True, eq=False)
class Picture:
    """The state at one time.

    Attributes:
        feeds: of each feed its contracts and the age of their rates; an age without a rate is None.
        readiness: `ready`, `why` (the reasons if not) and `warming_up`.
        counts: how often each kind of event has happened since start.
        gauges: what there is of the worker as a whole.
    """

    feeds: Sequence[dict[str, Any]]
    readiness: Mapping[str, Any]
    counts: Mapping[str, int]
    gauges: Mapping[str, Any]


async def take_picture(
    worker: ObservedWorker, reports: Mapping[str, FeedStatus], clock: Clock, pace: Pace
) -> Picture:
    """Read the worker's state in slices. `reports`: the newest status of each feed's producer."""
    await pace.give_way()
    now_us = clock.now_us()
    tallies = {feed: _Tally(feed) for feed in reports}
    counts = worker.counts.copy()
    partitions = list(worker.partitions())
    for partition in partitions:
        counts.update(partition.counts)
        if partition.feed not in tallies:
            tallies[partition.feed] = _Tally(partition.feed)
        tally = tallies[partition.feed]
        for number, row in enumerate(shown_contracts(partition)):
            if number % PIECE == 0:
                await pace.give_way()
            tally.add(row, now_us)
        await pace.give_way()
    arrivals = {feed: tally.arrivals() for feed, tally in tallies.items() if tally.known}
    why = reasons(now_us, started=bool(partitions), reports=reports, arrivals=arrivals)
    warming = warming_up(reports, arrivals)
    return Picture(
        feeds=[
            {"feed": feed, **tally.figures(now_us)}
            for feed, tally in sorted(tallies.items())
            if feed in reports or tally.contracts
        ],
        readiness={
            "ready": not why,
            "why": why,
            "warming_up": None if warming is None else warming._asdict(),
        },
        counts=dict(sorted(counts.items())),
        gauges={
            "lag": worker.lag(),
            "idle_s": clock.monotonic_s() - worker.progress_at_s,
        },
    )


class _Tally:
    """What is counted of one feed's contracts."""

    def __init__(self, feed: str) -> None:
        self._stale_us = stale_s(feed) * US_PER_S
        self.known = self.contracts = 0
        self._trading = self._settled = self._unsettled = 0
        self._stale = self._by_rest = self._backfilling = 0
        self._newest_us: int | None = None
        self._oldest_us: int | None = None
        self._received_us: int | None = None

    def add(self, row: ShownContract, now_us: int) -> None:
        """Count a contract."""
        self.known += 1
        if row.streams:
            self._trading += 1
            if not row.backfilling:
                self._settled += row.settled
                self._unsettled += not row.settled
        if not row.updates:
            return
        self.contracts += 1
        self._stale += now_us - row.event_time > self._stale_us
        self._by_rest += row.transport == "rest"
        self._backfilling += row.backfilling
        event_us = row.event_time
        self._newest_us = event_us if self._newest_us is None else max(self._newest_us, event_us)
        self._oldest_us = event_us if self._oldest_us is None else min(self._oldest_us, event_us)
        self._received_us = max(self._received_us or 0, row.received_at)

    def arrivals(self) -> Arrivals:
        """Return what has arrived, for the readiness."""
        return Arrivals(self._trading, self._settled, self._unsettled, self._received_us)

    def figures(self, now_us: int) -> dict[str, Any]:
        """Return the counts of contracts with a rate; ages are None without any.

        `stale` counts contracts whose rate is older than the feed's threshold, `by_rest` those
        whose rate REST brought.
        """
        return {
            "contracts": self.contracts,
            "newest_age_s": _age_s(now_us, self._newest_us),
            "oldest_age_s": _age_s(now_us, self._oldest_us),
            "stale": self._stale,
            "by_rest": self._by_rest,
            "backfilling": self._backfilling,
        }


def _age_s(now_us: int, event_us: int | None) -> float | None:
    return None if event_us is None else (now_us - event_us) / US_PER_S
