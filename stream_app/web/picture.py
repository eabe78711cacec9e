"""A picture of the worker: what all pages of one second show.

It is taken in slices (slices.py), so its parts may be some milliseconds apart. Pages, JSON and
metrics are made of it, each once.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from schemas.clock import Clock
from schemas.feeds import stale_s
from schemas.rates import apr
from schemas.records import FeedStatus
from schemas.text import one_line
from schemas.times import US_PER_S
from stream_app.core.scoring.statistics import quantile
from stream_app.core.scoring.zones import zone_of
from stream_app.web.observed import ObservedWorker
from stream_app.web.readiness import Arrivals, reasons, warming_up
from stream_app.web.shown import ShownContract, shown_contracts
from stream_app.web.slices import Once, Pace

PIECE = 16
"""So many contracts are handled between two looks at the clock."""
_TOP = 10

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Picture:
    """The state at one time. All that is asked of it answers at once, `made` apart.

    Attributes:
        taken_at_us: by which ages are told (UTC µs).
        contracts: those that have a rate, highest |z| first.
        feeds: of each feed its producer's report, its contracts, the age of their rates; what is
            not reported, and ages without a rate, are None.
        readiness: `ready`, `why` (the reasons if not) and `warming_up`.
        counts: how often each kind of event has happened since start.
        gauges: what the summary has of the worker as a whole.
        pace: for whatever is made of it.
    """

    taken_at_us: int
    contracts: Sequence[ShownContract]
    feeds: Sequence[dict[str, Any]]
    readiness: Mapping[str, Any]
    counts: Mapping[str, int]
    gauges: Mapping[str, Any]
    pace: Pace
    _products: dict[Callable[[Picture], Awaitable[Any]], Once[Any]] = field(default_factory=dict)

    async def made(self, make: Callable[[Picture], Awaitable[T]]) -> T:
        """Return what a function makes of this picture: it is called once, for all who ask."""
        product = self._products.get(make)
        if product is None:
            product = self._products[make] = Once(lambda: make(self))
        made: T = await product.get()
        return made

    def summary(self) -> dict[str, Any]:
        """Return the state at a glance: readiness, feeds, totals, latency, lag, the highest |z|."""
        return {
            **self.readiness,
            "contracts": len(self.contracts),
            "updates": sum(feed["updates"] for feed in self.feeds),
            "backfilling": sum(feed["backfilling"] for feed in self.feeds),
            **self.gauges,
            "feeds": self.feeds,
            "top": [self.fields(row) for row in self.contracts[:_TOP] if row.z is not None],
        }

    def age_s(self, row: ShownContract) -> float:
        """Return how old a contract's rate is."""
        return (self.taken_at_us - row.event_time) / US_PER_S

    def is_stale(self, row: ShownContract) -> bool:
        """Tell whether a contract's rate is older than its feed's threshold."""
        return self.taken_at_us - row.event_time > stale_s(row.feed) * US_PER_S

    def fields(self, row: ShownContract) -> dict[str, Any]:
        """Return what the JSON tells of a contract."""
        return {
            "contract_id": row.contract_id,
            "feed": row.feed,
            "symbol": row.symbol,
            "base": row.base,
            "rate": row.rate,
            "interval_hours": row.interval_hours,
            "interval_source": row.interval_source,
            "interval_doubtful": row.interval_doubtful,
            "state": row.state,
            "apr": apr(row.rate, row.interval_hours),
            "z": row.z,
            "zone": zone_of(row.z),
            "confidence": row.confidence,
            "samples": row.samples,
            "backfilling": row.backfilling,
            "mark_price": row.mark_price,
            "next_funding_time": row.next_funding_time,
            "event_time": row.event_time,
            "age_s": self.age_s(row),
            "stale": self.is_stale(row),
            "transport": row.transport,
        }


async def take_picture(
    worker: ObservedWorker, reports: Mapping[str, FeedStatus], clock: Clock, pace: Pace
) -> Picture:
    """Read the worker's state in slices. `reports`: the newest status of each feed's producer."""
    await pace.give_way()
    now_us = clock.now_us()
    tallies = {feed: _Tally(feed) for feed in reports}
    counts = worker.counts.copy()
    ranked: list[list[tuple[float, str, ShownContract]]] = []
    partitions = list(worker.partitions())
    for partition in partitions:
        counts.update(partition.counts)
        if partition.feed not in tallies:
            tallies[partition.feed] = _Tally(partition.feed)
        tally = tallies[partition.feed]
        own: list[tuple[float, str, ShownContract]] = []
        for number, row in enumerate(shown_contracts(partition)):
            if number % PIECE == 0:
                await pace.give_way()
            tally.add(row, now_us)
            if row.updates:
                own.append((-abs(row.z or 0.0), row.contract_id, row))
        own.sort()
        ranked.append(own)
        await pace.give_way()
    contracts = await _merged(ranked, pace)
    arrivals = {feed: tally.arrivals() for feed, tally in tallies.items() if tally.known}
    why = reasons(now_us, started=bool(partitions), reports=reports, arrivals=arrivals)
    warming = warming_up(reports, arrivals)
    return Picture(
        taken_at_us=now_us,
        contracts=contracts,
        feeds=[
            {"feed": feed, **_reported(reports.get(feed)), **tally.figures(now_us)}
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
            "high": sum(tally.high for tally in tallies.values()),
            "latency_s": _latency_s(worker.latencies_s),
            "lag": worker.lag(),
            "idle_s": clock.monotonic_s() - worker.progress_at_s,
            "uptime_s": (now_us - worker.started_at_us) / US_PER_S,
        },
        pace=pace,
    )


async def _merged(
    ranked: Sequence[list[tuple[float, str, ShownContract]]], pace: Pace
) -> list[ShownContract]:
    """Merge sorted lists into one; a single sort of all would take longer than a slice."""
    merged: list[ShownContract] = []
    for number, (_, _, row) in enumerate(heapq.merge(*ranked)):
        if number % PIECE == 0:
            await pace.give_way()
        merged.append(row)
    return merged


class _Tally:
    """What is counted of one feed's contracts."""

    def __init__(self, feed: str) -> None:
        self._stale_us = stale_s(feed) * US_PER_S
        self.known = self.contracts = self.high = 0
        self._trading = self._settled = self._unsettled = 0
        self._updates = self._stale = self._by_rest = self._backfilling = 0
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
        self.high += zone_of(row.z) == "high"
        self._updates += row.updates
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
            "updates": self._updates,
            "newest_age_s": _age_s(now_us, self._newest_us),
            "oldest_age_s": _age_s(now_us, self._oldest_us),
            "stale": self._stale,
            "by_rest": self._by_rest,
            "backfilling": self._backfilling,
        }


def _age_s(now_us: int, event_us: int | None) -> float | None:
    return None if event_us is None else (now_us - event_us) / US_PER_S


def _latency_s(latencies_s: Iterable[float]) -> dict[str, float | None]:
    """Return p50 and p99 of the newest delays from receipt at the producer to the output."""
    ordered = sorted(latencies_s)
    return {"p50": quantile(ordered, 0.50), "p99": quantile(ordered, 0.99)}


def _reported(report: FeedStatus | None) -> dict[str, Any]:
    """Return the fields of a producer's report, which are None where there is none."""
    if report is None:
        return {"state": None, "detail": "", "since": None, "reported_at": None}
    return {
        "state": report["state"],
        "detail": one_line(report["detail"]),
        "since": report["since"],
        "reported_at": report["reported_at"],
    }
