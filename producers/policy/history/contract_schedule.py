"""When the settlements of each contract are fetched where an exchange is asked for them one by one.

Pure. At start contract by contract, as fast as the limits allow; each is complete for itself, so
its z-score appears early. Then slowly round and round, the contract whose last attempt is the
longest ago first: the hour's settlements reach the worker in the stream, or derived. A contract
whose history cannot be had takes its turns like the others and is released to the worker, which
rates it by what it has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from producers.policy.history.actions import (
    Action,
    Announce,
    Fetch,
    HistoryView,
    Release,
    Wait,
    WalkEnd,
)
from producers.policy.history.catch_up import CatchUp, fetch_of
from schemas.times import MS_PER_DAY, MS_PER_HOUR

LATE_MS = 300_000
"""A settlement may appear this long after its hour."""


def due(through_ms: int, now_ms: int) -> bool:
    """Tell whether a contract may have settled since its history was published through a time."""
    return (through_ms - LATE_MS) // MS_PER_HOUR < now_ms // MS_PER_HOUR


class ContractSchedule:
    """The schedule of one feed."""

    def __init__(self, days: int, calls_per_hour: int) -> None:
        """`days` of settlements are wanted, 0: none. `calls_per_hour`: pace of the slow round."""
        self._days = days
        self._call_ms = MS_PER_HOUR / max(1, calls_per_hour)
        self._planned: deque[Action] = deque()
        self._round: CatchUp | None = None
        self._attempted_ms: dict[str, int] = {}
        """When each contract was last asked for, whether it came or not."""
        self._due_ms: int | None = None
        """Time of the next turn of the slow round; None: the round at start has not begun."""
        self._turn_ms: int | None = None
        """When the turn that is under way began; None: another round is, or nothing."""
        self._turn_calls = 0
        self._missed_ms: int | None = None
        """When all contracts are to be asked for what the stream has missed; None: nothing was."""

    @property
    def caught_up(self) -> bool:
        """Whether each contract that was there at start has been fetched or given up."""
        idle = self._round is None or self._round.over
        return self._due_ms is not None and idle and not self._planned

    def next(self, view: HistoryView) -> Action:
        """Return the next step."""
        while True:
            if self._planned:
                return self._planned.popleft()
            if self._round is not None:
                action = self._round.next(view)
                if action is not None:
                    return self._noted(action, view.now_ms)
                self._round = None
            self._plan(view)

    def _noted(self, action: Action, now_ms: int) -> Action:
        """Note an attempt when it begins: one that fails waits a whole round for its next turn."""
        if isinstance(action, Fetch):
            self._attempted_ms[action.contracts[0]] = now_ms
        return action

    def _plan(self, view: HistoryView) -> None:
        """Begin what is due, or wait."""
        now_ms = view.now_ms
        if self._due_ms is None:
            self._due_ms = now_ms
            left = view.announced.difference(self._missing(view, view.contracts))
            if left:
                # An earlier run announced them and this one does not again: complete, or delisted.
                self._planned.append(Release(tuple(sorted(left))))
            self._begin(view, view.contracts)
        elif self._missed_ms is not None and now_ms >= self._missed_ms:
            self._missed_ms = None
            self._begin(view, view.contracts)
        elif now_ms >= self._due_ms:
            self._take_turn(view)
        else:
            times_ms = (self._due_ms, self._missed_ms)
            self._planned.append(Wait(min(ms for ms in times_ms if ms is not None)))

    def _begin(self, view: HistoryView, contracts: Sequence[str]) -> None:
        """Begin a round over contracts: those without any history first, then those behind."""
        missing = self._missing(view, contracts)
        known = frozenset(contracts).difference(missing)
        behind = [s for s in contracts if s in known and due(view.contract_ms[s], view.now_ms)]
        self._turn_ms = None
        self._round = CatchUp(missing, behind, self._days)

    def _take_turn(self, view: HistoryView) -> None:
        """Ask for new contracts, all of them; else for the one that waits for longest."""
        contracts, now_ms = view.contracts, view.now_ms
        missing = self._missing(view, contracts)
        new = sorted(symbol for symbol in missing if symbol not in self._attempted_ms)
        wanted = frozenset(contracts)
        self._attempted_ms = {s: ms for s, ms in self._attempted_ms.items() if s in wanted}
        if new:
            self._begin(view, new)
        elif contracts:
            symbol = min(contracts, key=lambda one: self._last_attempt_ms(view, one))
            self._planned.extend(self._visit(view, symbol, missing))
            self._attempted_ms[symbol] = now_ms
        self._turn_ms, self._turn_calls = now_ms, 0
        self._due_ms = self._turn_end_ms(now_ms)

    def _visit(self, view: HistoryView, symbol: str, missing: Collection[str]) -> list[Action]:
        fetch = fetch_of(view, symbol, self._days)
        return [Announce((symbol,)), fetch, Release((symbol,))] if symbol in missing else [fetch]

    def _turn_end_ms(self, began_ms: int) -> int:
        """Return when the next turn may begin: an hour later at most."""
        pause_ms = max(1, self._turn_calls) * self._call_ms
        return began_ms + int(min(pause_ms, MS_PER_HOUR))

    def _last_attempt_ms(self, view: HistoryView, symbol: str) -> int:
        return max(view.contract_ms.get(symbol, 0), self._attempted_ms.get(symbol, 0))

    def _missing(self, view: HistoryView, contracts: Sequence[str]) -> list[str]:
        """Return the contracts whose history is not published as far back as it is wanted."""
        oldest_ms = view.now_ms - self._days * MS_PER_DAY
        return [symbol for symbol in contracts if view.contract_ms.get(symbol, 0) < oldest_ms]

    def walked(self, fetch: Fetch, share: float) -> None:
        """Do nothing: a contract is a few pages."""

    def ended(self, fetch: Fetch, end: WalkEnd, now_ms: int) -> None:
        """Note how the walk over a contract ended."""
        if self._round is not None:
            self._round.ended(fetch.contracts[0], now_ms, finished=end.finished)
        if self._turn_ms is not None:
            self._turn_calls += end.calls
            self._due_ms = self._turn_end_ms(self._turn_ms)

    def missed_an_hour(self, now_ms: int) -> None:
        """Have all contracts asked, once the settlements of the current hour have appeared."""
        self._missed_ms = now_ms // MS_PER_HOUR * MS_PER_HOUR + LATE_MS

    def complete(self, view: HistoryView) -> int:
        """Count the contracts whose days are published."""
        missing = self._missing(view, view.contracts) if self._days else ()
        return len(view.contracts) - len(missing)

    def progress(self, view: HistoryView) -> float:
        """Return the share of the contracts that are done with: while a round runs, of it."""
        if self._round is not None and not self._round.over:
            return self._round.share
        return self.complete(view) / max(1, len(view.contracts))
