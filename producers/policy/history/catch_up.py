"""One round over contracts that are asked for one by one, until each has come or is given up. Pure.

A contract that fails is tried again behind the others; those that fail one after the other make the
round pause before it goes on.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from producers.policy.history.actions import (
    OVERLAP_MS,
    Action,
    Announce,
    Fetch,
    HistoryView,
    Release,
    Wait,
)
from schemas.times import MS_PER_DAY

ATTEMPTS = 3
"""Failures of a page that end a visit."""
VISITS = 3
"""Failed visits after which a contract is given up until its turn in the slow round."""
PAUSE_MS = 60_000
"""Before contracts are tried again when all that are left have failed."""


def fetch_of(view: HistoryView, symbol: str, days: int) -> Fetch:
    """Return the walk over what a contract settled since its bookmark, `days` at most."""
    oldest_ms = view.now_ms - days * MS_PER_DAY
    since_ms = max(oldest_ms, view.contract_ms.get(symbol, 0) - OVERLAP_MS)
    return Fetch((symbol,), since_ms, "contract", ATTEMPTS)


class CatchUp:
    """One round."""

    def __init__(self, missing: Sequence[str], behind: Sequence[str], days: int) -> None:
        """`missing` have no history yet: they are announced and released. `behind` have some."""
        self._days = days
        self._missing = frozenset(missing)
        self._left = deque([*missing, *behind])
        self._total = len(self._left)
        self._planned: deque[Action] = deque()
        if missing:
            self._planned.append(Announce(tuple(missing)))
        self._visits: Counter[str] = Counter()
        self._failed = 0
        """Visits that failed one after the other."""
        self._pause_until_ms: int | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return not self._left and not self._planned

    @property
    def share(self) -> float:
        """Share of the contracts (0 to 1) that are done with."""
        return 1 - len(self._left) / max(1, self._total)

    def next(self, view: HistoryView) -> Action | None:
        """Return the next step; None: the round is over."""
        if self._planned:
            return self._planned.popleft()
        if self._pause_until_ms is not None and view.now_ms < self._pause_until_ms:
            return Wait(self._pause_until_ms)
        self._pause_until_ms = None
        while self._left:
            symbol = self._left.popleft()
            if symbol in view.contracts:
                return fetch_of(view, symbol, self._days)
            if symbol in self._missing:
                return Release((symbol,))
        return None

    def ended(self, symbol: str, now_ms: int, *, finished: bool) -> None:
        """Note how the visit of the last step ended."""
        if finished:
            self._failed = 0
            self._release(symbol)
            return
        self._visits[symbol] += 1
        if self._visits[symbol] < VISITS:
            self._left.append(symbol)
        else:
            self._release(symbol)
        self._failed += 1
        if self._left and self._failed >= len(self._left):
            self._failed = 0
            self._pause_until_ms = now_ms + PAUSE_MS

    def _release(self, symbol: str) -> None:
        if symbol in self._missing:
            self._planned.append(Release((symbol,)))
