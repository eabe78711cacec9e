"""The settled history of one simulated feed, in memory.

Responsible for: keeping settlements in time order and selecting windows of them. Bounded by the
market itself: 30 days at start and what settles afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Ints, Market, Settlements

HISTORY_DAYS = 30
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
        self._all = self._settled(now_ms - HISTORY_DAYS * DAY_MS, now_ms)

    @property
    def all(self) -> Settlements:
        """Everything settled until now."""
        return self._all

    def settle(self, now_ms: int) -> Settlements:
        """Append what has settled since the last call, and return only that."""
        new = self._settled(self._until_ms, max(now_ms, self._until_ms))
        self._until_ms = max(now_ms, self._until_ms)
        if len(new.row):
            old = self._all
            self._all = Settlements(
                np.concatenate((old.row, new.row)),
                np.concatenate((old.funding_ms, new.funding_ms)),
                np.concatenate((old.raw_ms, new.raw_ms)),
                np.concatenate((old.rate_units, new.rate_units)),
            )
        return new

    def _settled(self, after_ms: int, until_ms: int) -> Settlements:
        found = self._market.settlements(after_ms, until_ms)
        if self._listings is None or not len(found.row):
            return found
        keep = np.isin(found.row, self._listings.rows())
        return Settlements(
            found.row[keep], found.funding_ms[keep], found.raw_ms[keep], found.rate_units[keep]
        )

    def positions(self, row: int | None, start_ms: int | None, end_ms: int | None) -> Ints:
        """Positions in `all` of one contract (or every one) within a window, both ends included.

        Without those that are not shown yet.
        """
        found = self._in_window(row, start_ms, end_ms)
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
