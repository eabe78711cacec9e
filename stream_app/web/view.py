"""What the status page, the JSON and the metrics show: snapshots of the worker's state.

readiness.py says whether that state is ready; pages.py, api.py and metrics.py give it a form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from schemas.clock import Clock
from schemas.feeds import stale_s
from schemas.rates import apr, rate_8h
from schemas.records import FeedStatus, HourlyBar
from schemas.text import one_line
from schemas.times import US_PER_S
from stream_app.core.partition import FeedPartition
from stream_app.core.scoring.statistics import quantile, z_of
from stream_app.core.scoring.zones import zone_of
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.contract_store import ContractEntry
from stream_app.web.readiness import Arrivals, reasons, warming_up
from stream_app.web.timings import WorkerTimings

_TOP = 10
BARS_SHOWN = 48


class ObservedWorker(Protocol):
    """What the pages read of a running worker."""

    @property
    def counts(self) -> Counter[str]:
        """What happened to raw records since start."""
        ...

    @property
    def latencies_s(self) -> Iterable[float]:
        """Delays from receipt at the producer to the output, of the newest records."""
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

    def newest_bars(self, contract: str, limit: int) -> list[HourlyBar]:
        """Return a contract's newest closed bars, oldest first."""
        ...


class WorkerView:
    """Reads a worker's state; every call returns a snapshot of it."""

    def __init__(
        self,
        worker: ObservedWorker,
        reports: Callable[[], Mapping[str, FeedStatus]],
        clock: Clock,
    ) -> None:
        """`reports` returns the newest status that each feed's producer has published."""
        self._worker = worker
        self._reports = reports
        self._clock = clock

    def now_us(self) -> int:
        """Return the time by which ages are told (UTC µs)."""
        return self._clock.now_us()

    def contracts(self) -> list[dict[str, Any]]:
        """Return one entry per contract that has a rate, highest |z| first."""
        now = self.now_us()
        rows = [
            self._contract(state.feed, entry, now)
            for state in self._worker.partitions()
            for entry in state.store.entries.values()
            if entry.contract.updates
        ]
        rows.sort(key=lambda row: (-abs(row["z"] or 0.0), row["contract_id"]))
        return rows

    def _contract(self, feed: str, entry: ContractEntry, now: int) -> dict[str, Any]:
        contract = entry.contract
        entry.refresh(contract.event_time)
        stats = entry.stats
        doubtful = contract.interval_doubtful
        scaled = rate_8h(contract.rate, contract.interval_hours)
        z = None if doubtful else z_of(scaled, stats)
        return {
            "contract_id": contract.contract_id,
            "feed": feed,
            "symbol": contract.symbol,
            "base": contract.base,
            "rate": contract.rate,
            "interval_hours": contract.interval_hours,
            "interval_source": contract.interval_source,
            "interval_doubtful": doubtful,
            "state": contract.state,
            "apr": apr(contract.rate, contract.interval_hours),
            "z": z,
            "zone": zone_of(z),
            "confidence": stats.confidence if stats else "none",
            "samples": stats.samples if stats else 0,
            "backfilling": contract.backfilling,
            "mark_price": contract.mark_price,
            "next_funding_time": contract.next_funding_time,
            "event_time": contract.event_time,
            "age_s": (now - contract.event_time) / US_PER_S,
            "stale": _stale(contract, feed, now),
            "transport": contract.transport,
        }

    def knows(self, contract: str) -> bool:
        """Tell whether a contract is in one of this worker's partitions."""
        feed, _, symbol = contract.partition(":")
        return any(
            state.feed == feed and symbol in state.store.entries
            for state in self._worker.partitions()
        )

    def feeds(self) -> list[dict[str, Any]]:
        """Return one entry per feed: its producer's report, its contracts, the age of their rates.

        `stale` counts contracts whose rate is older than the feed's threshold, `by_rest` those
        whose rate REST brought. Fields that are not reported yet, and ages without a rate, are
        None.
        """
        now = self.now_us()
        reports = self._reports()
        by_feed: dict[str, list[ContractState]] = {feed: [] for feed in reports}
        for state in self._worker.partitions():
            contracts = [c for c in state.contracts if c.updates]
            if contracts or state.feed in by_feed:
                by_feed.setdefault(state.feed, []).extend(contracts)
        return [
            {
                "feed": feed,
                **_reported(reports.get(feed)),
                "contracts": len(contracts),
                "updates": sum(c.updates for c in contracts),
                "newest_age_s": _age_s(now, max((c.event_time for c in contracts), default=None)),
                "oldest_age_s": _age_s(now, min((c.event_time for c in contracts), default=None)),
                "stale": sum(_stale(c, feed, now) for c in contracts),
                "by_rest": sum(c.transport == "rest" for c in contracts),
                "backfilling": sum(c.backfilling for c in contracts),
            }
            for feed, contracts in sorted(by_feed.items())
        ]

    def _arrivals(self) -> dict[str, Arrivals]:
        """Return what has arrived of each feed of which a contract is known."""
        by_feed: dict[str, list[ContractEntry]] = {}
        for state in self._worker.partitions():
            if state.store.entries:
                by_feed.setdefault(state.feed, []).extend(state.store.entries.values())
        return {feed: _arrived(entries) for feed, entries in by_feed.items()}

    @property
    def started(self) -> bool:
        """True when partitions are assigned and their state is loaded."""
        return any(True for _ in self._worker.partitions())

    def readiness(self) -> dict[str, Any]:
        """Return `ready`, `why` (the reasons if not) and `warming_up`."""
        reports, arrivals = self._reports(), self._arrivals()
        why = reasons(self.now_us(), started=self.started, reports=reports, arrivals=arrivals)
        warming = warming_up(reports, arrivals)
        return {
            "ready": not why,
            "why": why,
            "warming_up": None if warming is None else warming._asdict(),
        }

    def bars(self, contract: str) -> list[HourlyBar]:
        """Return the closed bars of a contract's last 48 hours, oldest first."""
        return self._worker.newest_bars(contract, BARS_SHOWN)

    def summary(self) -> dict[str, Any]:
        """Return the state at a glance: readiness, feeds, totals, latency, lag, the highest |z|."""
        contracts = self.contracts()
        feeds = self.feeds()
        return {
            **self.readiness(),
            "contracts": len(contracts),
            "high": sum(row["zone"] == "high" for row in contracts),
            "updates": sum(feed["updates"] for feed in feeds),
            "backfilling": sum(feed["backfilling"] for feed in feeds),
            "latency_s": self.latency_s(),
            "lag": self.lag(),
            "idle_s": self.idle_s(),
            "uptime_s": self.uptime_s(),
            "feeds": feeds,
            "top": [row for row in contracts[:_TOP] if row["z"] is not None],
        }

    def counts(self) -> dict[str, int]:
        """Return how often each kind of event has happened since start."""
        total = self._worker.counts.copy()
        for state in self._worker.partitions():
            total.update(state.counts)
        return dict(sorted(total.items()))

    def latency_s(self) -> dict[str, float | None]:
        """Return p50 and p99 of the newest delays from receipt at the producer to the output."""
        ordered = sorted(self._worker.latencies_s)
        return {"p50": quantile(ordered, 0.50), "p99": quantile(ordered, 0.99)}

    @property
    def timings(self) -> WorkerTimings:
        """The durations that the worker has measured."""
        return self._worker.timings

    def lag(self) -> int:
        """Return how many raw records are in the log and not yet applied."""
        return self._worker.lag()

    def uptime_s(self) -> float:
        """Return seconds since the worker started."""
        return (self.now_us() - self._worker.started_at_us) / US_PER_S

    def idle_s(self) -> float:
        """Return seconds since the last raw record was processed."""
        return self._clock.monotonic_s() - self._worker.progress_at_s


def _stale(contract: ContractState, feed: str, now: int) -> bool:
    return now - contract.event_time > stale_s(feed) * US_PER_S


def _age_s(now: int, event_time: int | None) -> float | None:
    return None if event_time is None else (now - event_time) / US_PER_S


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


def _arrived(entries: list[ContractEntry]) -> Arrivals:
    trading = [entry for entry in entries if entry.contract.state.streams]
    there = [entry for entry in trading if not entry.contract.backfilling]
    settled = sum(len(entry.baseline) > 0 for entry in there)
    rated = [entry.contract for entry in entries if entry.contract.updates]
    return Arrivals(
        trading=len(trading),
        settled=settled,
        unsettled=len(there) - settled,
        newest_received_at=max((c.received_at for c in rated), default=None),
    )
