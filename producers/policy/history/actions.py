"""The steps by which settled history is fetched, and what a schedule knows when it names the next.

Pure. A schedule (bulk_schedule.py, contract_schedule.py) decides which step is next; the runner
(producers/rest/history.py) carries it out and reports how a walk ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from schemas.times import MS_PER_HOUR

OVERLAP_MS = MS_PER_HOUR
"""A walk that goes on from a bookmark begins this much before it."""


class Announce(NamedTuple):
    """Tell the worker that the history of these contracts is partial from now on."""

    contracts: tuple[str, ...]


class Release(NamedTuple):
    """Tell the worker that nothing more is to come of these contracts' history for now."""

    contracts: tuple[str, ...]


class Fetch(NamedTuple):
    """Walk over the settlements of these contracts from `since_ms` until now and publish them."""

    contracts: tuple[str, ...]
    since_ms: int
    moves: Literal["feed", "contract", "nothing"]
    """Which bookmark is set to the end of the walk: that of the feed, or of its only contract."""
    attempts: int | None = None
    """A page that fails so many times in a row ends the walk; None: it is asked for until it
    comes."""
    needs_rows: bool = False
    """A walk without a single settlement counts as unfinished."""


class Wait(NamedTuple):
    """Do nothing until a wall-clock time, ms since the epoch."""

    until_ms: int


Action = Announce | Fetch | Release | Wait


class WalkEnd(NamedTuple):
    """How a walk ended."""

    finished: bool
    """All of its pages were published."""
    calls: int
    """REST calls that it took, failed ones included."""


class HistoryView(NamedTuple):
    """What a schedule decides by."""

    contracts: Sequence[str]
    """Contracts whose settlements are wanted."""
    feed_ms: int | None
    """Time up to which the settlements of all contracts are published; None: unknown."""
    contract_ms: Mapping[str, int]
    """The same, by contract."""
    announced: frozenset[str]
    """Contracts that were announced and whose release Kafka may not have."""
    now_ms: int


class HistorySchedule(Protocol):
    """Decides what is fetched when."""

    @property
    def caught_up(self) -> bool:
        """Whether all that was missing at start has been fetched or given up."""
        ...

    def next(self, view: HistoryView) -> Action:
        """Return the next step. It counts as begun; a Wait may be cut short at any time."""
        ...

    def walked(self, fetch: Fetch, share: float) -> None:
        """Note that this share (0 to 1) of a walk that goes on is published."""
        ...

    def ended(self, fetch: Fetch, end: WalkEnd, now_ms: int) -> None:
        """Note how the walk of the last step ended."""
        ...

    def missed_an_hour(self, now_ms: int) -> None:
        """Note that the stream was away over a full hour, so that settlements were missed."""
        ...

    def complete(self, view: HistoryView) -> int:
        """Count the contracts whose history is published; all of them where none is wanted."""
        ...

    def progress(self, view: HistoryView) -> float:
        """Return the share (0 to 1) of the history at start that is published; 1: all of it."""
        ...
