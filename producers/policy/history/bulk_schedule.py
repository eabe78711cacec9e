"""When the settlements of a feed are fetched whose exchange returns all contracts' in one walk.

Pure. At start all days that are wanted, or what is new since the bookmark; then, after each full
hour, what has settled. A walk that could not be finished is begun again with growing pauses; the
newest settlements are fetched all the same meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from producers.policy.history.actions import (
    OVERLAP_MS,
    Action,
    Announce,
    Fetch,
    HistoryView,
    Release,
    Wait,
    WalkEnd,
)
from schemas.backoff import ceiling_s
from schemas.times import MS_PER_DAY, MS_PER_HOUR

SETTLED_AFTER_S = (20.0, 300.0)
"""When, after a full hour, the newest settlements are asked for: soon, and once more for those
that the exchange publishes late."""
FIRST_AGAIN_S = 600.0
MAX_AGAIN_S = 6 * 3_600.0
"""Pause before an unfinished walk is begun again: the first one, doubled up to the second."""
RECENT_MS = 2 * MS_PER_HOUR
"""What is fetched while the walk to it is unfinished."""
UNFINISHED_SHARE = 0.99
"""Progress of a walk that has shown its last page but is not finished."""


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """Walks that could not be finished, in a row."""

    failures: int
    again_ms: int
    """The walk is not begun again before."""


class BulkSchedule:
    """The schedule of one feed."""

    def __init__(self, days: int) -> None:
        """`days` of settlements are wanted; 0: none."""
        self._days = days
        self._planned: deque[Action] = deque()
        self._due_ms: int | None = None
        """Time of the next look at what has settled; None: nothing was fetched yet."""
        self._following = False
        """The walk at start is over."""
        self._unfinished: _Unfinished | None = None
        self._finished = False
        self._share = 0.0

    @property
    def caught_up(self) -> bool:
        """Whether the walk at start has ended."""
        return self._due_ms is not None and not self._planned

    def next(self, view: HistoryView) -> Action:
        """Return the next step."""
        if not self._planned:
            self._planned.extend(self._plan(view))
        return self._planned.popleft()

    def _plan(self, view: HistoryView) -> Iterator[Action]:
        if self._due_ms is not None and view.now_ms < self._due_ms:
            self._following = True
            yield Wait(self._due_ms)
            return
        self._due_ms = following_ms(view.now_ms)
        if self._unfinished is None or view.now_ms >= self._unfinished.again_ms:
            yield from self._catch_up(view)
        else:
            yield self._recent(tuple(view.contracts), view.now_ms)

    def _catch_up(self, view: HistoryView) -> Iterator[Action]:
        """Walk from the bookmark; from the beginning where it is missing or too old."""
        contracts, announced = tuple(view.contracts), view.announced
        oldest_ms = view.now_ms - self._days * MS_PER_DAY
        if view.feed_ms is not None and view.feed_ms >= oldest_ms:
            yield Fetch(contracts, view.feed_ms - OVERLAP_MS, "feed")
        else:
            if contracts:
                yield Announce(contracts)
            yield Fetch(contracts, oldest_ms, "feed", needs_rows=bool(contracts))
            announced = announced.union(contracts)
        if announced:
            yield Release(tuple(sorted(announced)))

    @staticmethod
    def _recent(contracts: tuple[str, ...], now_ms: int) -> Fetch:
        return Fetch(contracts, now_ms - RECENT_MS, "nothing")

    def walked(self, fetch: Fetch, share: float) -> None:
        """Note that this share of a walk is published."""
        if fetch.moves == "feed":
            self._share = max(self._share, share)

    def ended(self, fetch: Fetch, end: WalkEnd, now_ms: int) -> None:
        """Note how a walk ended."""
        if fetch.moves != "feed":
            return
        self._finished = end.finished
        if end.finished:
            self._unfinished = None
            return
        failures = 1 if self._unfinished is None else self._unfinished.failures + 1
        pause_ms = round(1_000 * ceiling_s(failures - 1, FIRST_AGAIN_S, MAX_AGAIN_S))
        self._unfinished = _Unfinished(failures, now_ms + pause_ms)
        if self._following:
            self._planned.append(self._recent(fetch.contracts, now_ms))

    def missed_an_hour(self, now_ms: int) -> None:
        """Do nothing: each hour is looked at anyway."""

    def complete(self, view: HistoryView) -> int:
        """Count the contracts whose history is published: all or none."""
        return len(view.contracts) if self._finished or not self._days else 0

    def progress(self, view: HistoryView) -> float:
        """Return the share of the walk that is published."""
        del view
        return 1.0 if self._finished else min(self._share, UNFINISHED_SHARE)


def following_ms(after_ms: int) -> int:
    """Return the first time after `after_ms` at which newly settled rates are asked for."""
    hour_ms = after_ms // MS_PER_HOUR * MS_PER_HOUR
    slots = (
        begin_ms + int(after_s * 1_000)
        for begin_ms in (hour_ms, hour_ms + MS_PER_HOUR)
        for after_s in SETTLED_AFTER_S
    )
    return min(slot_ms for slot_ms in slots if slot_ms > after_ms)
