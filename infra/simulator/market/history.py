"""The settled history of one simulated feed, in memory.

Responsible for: keeping settlements in time order and selecting windows of them. Bounded by the
market itself: 40 days at start and what settles afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Ints, Market, Settlements

HISTORY_DAYS = 40
"""More than the 30 days that statistics are made of: a reader may want what lies before them."""

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late new settlements are shown.

    Attributes:
        since_ms: what settled until then is shown as ever.
        delay_ms: how long after its funding time a settlement is shown.
        newest_first: the newest of a contract is shown at once, and for that long the one before
            it is not.
    """

    since_ms: int
    delay_ms: int
    newest_first: bool


@dataclass(frozen=True, slots=True)
class Special:
    """A settlement beside the regular ones: extra funding, paid once.

    Attributes:
        row: the contract.
        after_ms: the first regular settlement from this funding time on is the one it follows.
        rate_units: in 1e-8; caps do not hold for it.
    """

    row: int
    after_ms: int
    rate_units: int


_SPECIAL_LATE_MS = 8
"""How long after the stamp of the regular settlement a special one is stamped."""


class SettlementBook:
    """All settlements a feed can show, ascending by the exchange's own stamp.

    Of a contract that is not listed (`listings`; None: all are) nothing settles; what a delisted
    one settled before stays.
    """

    def __init__(self, market: Market, now_ms: int, listings: Listings | None = None) -> None:
        self._market = market
        self._listings = listings
        self._until_ms = now_ms
        self.lateness: Lateness | None = None
        """For `positions`; set by a fault."""
        self._ordered: list[Special] = []
        self._specials: set[tuple[int, int]] = set()
        self._all = self._settled(now_ms - HISTORY_DAYS * DAY_MS, now_ms)

    @property
    def all(self) -> Settlements:
        """Everything settled until now."""
        return self._all

    def order(self, special: Special) -> None:
        """Add a special settlement, with the next call of `settle` that finds its regular one."""
        self._ordered.append(special)

    def is_special(self, row: int, raw_ms: int) -> bool:
        """Whether a contract's settlement with a stamp is a special one."""
        return (row, raw_ms) in self._specials

    def settle(self, now_ms: int) -> Settlements:
        """Append what has settled since the last call, and return only that."""
        new = self._settled(self._until_ms, max(now_ms, self._until_ms))
        self._until_ms = max(now_ms, self._until_ms)
        if len(new.row):
            self._all = _joined(self._all, new)
        if self._ordered:
            new = self._with_specials(new)
        return new

    def _with_specials(self, new: Settlements) -> Settlements:
        waiting = []
        for special in self._ordered:
            own = (self._all.row == special.row) & (self._all.funding_ms >= special.after_ms)
            found = np.flatnonzero(own)[:1]
            if not len(found):
                waiting.append(special)
                continue
            regular = self._all.take(found)
            raw_ms = int(regular.raw_ms[0]) + _SPECIAL_LATE_MS
            while self.is_special(special.row, raw_ms):
                raw_ms += 1
            self._specials.add((special.row, raw_ms))
            added = Settlements(
                regular.row,
                regular.funding_ms,
                np.array([raw_ms], dtype=np.int64),
                np.array([special.rate_units], dtype=np.int64),
                regular.interval_hours,
            )
            joined = _joined(self._all, added)
            self._all = joined.take(np.argsort(joined.raw_ms, kind="stable"))
            new = _joined(new, added)
        self._ordered = waiting
        return new

    def _settled(self, after_ms: int, until_ms: int) -> Settlements:
        found = self._market.settlements(after_ms, until_ms)
        if self._listings is None or not len(found.row):
            return found
        return found.take(np.isin(found.row, self._listings.rows()))

    def positions(self, row: int | None, start_ms: int | None, end_ms: int | None) -> Ints:
        """Positions in `all` of one contract (or every one) within a window, both ends included.

        Without those that are not shown yet.
        """
        found = self._in_window(row, start_ms, end_ms)
        if self._listings is not None:
            for missing_row, funding_ms in self._listings.missing:
                gone = (self._all.row == missing_row) & (self._all.funding_ms == funding_ms)
                found = found[~gone[found]]
        if self.lateness is None:
            return found
        return found[~self._hidden(self.lateness)[found]]

    def _hidden(self, late: Lateness) -> npt.NDArray[np.bool_]:
        """Of each settlement, whether it is not shown yet."""
        funding_ms = self._all.funding_ms
        young = (funding_ms > late.since_ms) & (funding_ms > self._until_ms - late.delay_ms)
        if not late.newest_first:
            return young
        hidden = np.zeros(len(funding_ms), dtype=np.bool_)
        for row in np.unique(self._all.row[young]).tolist():
            before = np.flatnonzero(self._all.row == row)[:-1]
            hidden[before[-1:]] = True
        return hidden

    def _in_window(self, row: int | None, start_ms: int | None, end_ms: int | None) -> Ints:
        raw_ms = self._all.raw_ms
        low = 0 if start_ms is None else int(np.searchsorted(raw_ms, start_ms, side="left"))
        high = len(raw_ms)
        if end_ms is not None:
            high = int(np.searchsorted(raw_ms, end_ms, side="right"))
        if row is None:
            return np.arange(low, max(low, high), dtype=np.int64)
        return low + np.flatnonzero(self._all.row[low:high] == row).astype(np.int64)


def _joined(first: Settlements, second: Settlements) -> Settlements:
    return Settlements(
        *(np.concatenate((getattr(first, f.name), getattr(second, f.name)))
          for f in fields(Settlements))
    )  # fmt: skip
