"""The state of the whole, as the page's frame tells it: which market, how complete, how far behind.

It follows from what the topics tell of all producers and workers, not from the process that shows
it. So every page says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

from schemas.clock import Clock
from schemas.records import FeedStatus, WorkerStatus
from stream_app.web.fleet import Fleet

COUNTED_EVERY_S = 1.0
"""The contracts are gone through so often."""
FEW_BEHIND = 100
"""So many raw records always wait at most, where nothing is being loaded."""

Market = Literal["live", "simulated", "mixed", "unknown"]


class FleetStatus:
    """Tells the state of a Fleet."""

    def __init__(
        self,
        fleet: Fleet,
        caught_up: Callable[[], bool],
        history: Callable[[], Mapping[str, Any]],
        clock: Clock,
    ) -> None:
        """Set what is asked.

        Args:
            fleet: What the topics told.
            caught_up: Tells whether the topics have been read up to their ends at the start.
            history: Returns whether ClickHouse answers: `available`, and a `reason` if not.
            clock: By which the contracts are counted.
        """
        self._fleet = fleet
        self._caught_up = caught_up
        self._history = history
        self._clock = clock
        self._counted_at_s = -COUNTED_EVERY_S
        self._counter = Baselines()
        self._baselines: dict[str, int] = {}

    def __call__(self, _now_us: int = 0) -> dict[str, Any]:
        """Return the state: the same values as long as nothing has changed."""
        now_s = self._clock.monotonic_s()
        if now_s - self._counted_at_s >= COUNTED_EVERY_S:
            self._counted_at_s = now_s
            self._baselines = self._counter.count(self._fleet)
        return {
            "market": market(self._fleet.feeds.values()),
            "caught_up": self._caught_up(),
            "baselines": self._baselines,
            **_behind(self._fleet.workers.values()),
            "history": self._history(),
        }


def market(feeds: Collection[FeedStatus]) -> Market:
    """Tell whether rates are of the exchanges themselves, of simulated ones, or of both."""
    simulated = {feed["simulated"] for feed in feeds}
    if not simulated:
        return "unknown"
    if len(simulated) > 1:
        return "mixed"
    return "simulated" if simulated == {True} else "live"


class Baselines:
    """Counts the contracts that have their baseline.

    One without a z has it all the same if its feed's history is published as a whole and processed:
    there are too few settlements of it. Once that is so of a feed, a worker that falls behind for a
    moment does not change it.
    """

    def __init__(self) -> None:
        self._whole: set[str] = set()

    def count(self, fleet: Fleet) -> dict[str, int]:
        """Return how many contracts are expected, and how many have their baseline."""
        scored: dict[str, int] = {}
        for known in fleet.contracts.values():
            zscore = known.zscore
            scored[zscore["feed"]] = scored.get(zscore["feed"], 0) + (zscore["z"] is not None)
        behind = sum(worker["records_behind"] for worker in fleet.workers.values())
        processed = bool(fleet.workers) and behind <= FEW_BEHIND
        loaded = expected = 0
        for feed, status in fleet.feeds.items():
            wanted = status["contracts_expected"]
            expected += wanted
            if not 0 < wanted <= status["backfill_done"]:
                self._whole.discard(feed)
            elif processed:
                self._whole.add(feed)
            loaded += wanted if feed in self._whole else min(wanted, scored.get(feed, 0))
        return {"loaded": loaded, "expected": expected}


def _behind(workers: Collection[WorkerStatus]) -> dict[str, Any]:
    """Return the delays of the slowest worker, and what all of them still have to process."""
    p50s = [each["delay_p50_s"] for each in workers if each["delay_p50_s"] is not None]
    p99s = [each["delay_p99_s"] for each in workers if each["delay_p99_s"] is not None]
    return {
        "delay_p50_s": max(p50s, default=None),
        "delay_p99_s": max(p99s, default=None),
        "records_behind": sum(each["records_behind"] for each in workers) if workers else None,
    }
