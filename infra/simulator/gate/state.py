"""What simulated Gate shows of each contract at a time, and which contracts have changed (§5, §7).

A contract is pushed when something about it changes: busy ones each second, many now and then,
quiet ones rarely. Between two pushes REST shows what the last one did. Rates are computed anew each
minute; for about a minute after a settlement the settled rate stands in the estimate's place, with
the next funding time already moved on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from infra.simulator.market.market import Ints, Market, Snapshot

_MINUTE_MS = 60_000
_BUSY, _QUIET = 10, 55
"""Of each hundred contracts so many are busy, and the last from the other number on are quiet."""
_CHANCES = {"busy": 0.87, "other": 0.25, "quiet": 0.02}
"""That a contract changes within a second (22 to 30 frames in 30 s, 0 to 1 of a quiet one)."""
_MASK = 0xFFFFFFFFFFFFFFFF


def chances(contracts: int) -> npt.NDArray[np.float64]:
    """How likely each contract changes within a second, by its position in the list."""
    place = np.arange(contracts) * 37 % 100
    other = np.where(place >= _QUIET, _CHANCES["quiet"], _CHANCES["other"])
    # The best known contracts are the first ones.
    return np.where((place < _BUSY) | (np.arange(contracts) < 2), _CHANCES["busy"], other)


class Shown:
    """The values that are on show. `settled_ms`: for how long a settled rate is shown."""

    def __init__(self, market: Market, settled_ms: int, now_ms: int, *, quiet: bool) -> None:
        self._market = market
        self._settled_ms = settled_ms
        self._chances = chances(len(market.contracts)) if quiet else None
        self._minute: tuple[int, Ints] | None = None
        self.snapshot = self.at(now_ms)

    def at(self, at_ms: int) -> Snapshot:
        """The values of a time, with the rate that is shown then."""
        snapshot = self._market.snapshot(at_ms)
        minute_ms = at_ms // _MINUTE_MS * _MINUTE_MS
        if self._minute is None or self._minute[0] != minute_ms:
            self._minute = minute_ms, self._market.snapshot(minute_ms).rate_units
        units = self._minute[1]
        is_settled = at_ms - self._market.last_funding_ms(at_ms) < self._settled_ms
        if is_settled.any():
            units = np.where(is_settled, self._market.settled_units(at_ms), units)
        return replace(snapshot, rate_units=units)

    def changed(self, snapshot: Snapshot, rows: Sequence[int]) -> list[int]:
        """Those of some rows that are pushed with these values."""
        if self._chances is None:
            return list(rows)
        own = np.array(rows, dtype=np.int64)
        noise = own.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        noise ^= np.uint64(snapshot.at_ms * 0xD1342543DE82EF95 & _MASK)
        noise = (noise ^ (noise >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        noise ^= noise >> np.uint64(27)
        moved = (noise >> np.uint64(11)).astype(np.float64) / 2.0**53 < self._chances[own]
        # A new funding time, and the end of the settled rate, are changes of every contract.
        moved |= self.snapshot.next_funding_ms[own] != snapshot.next_funding_ms[own]
        since_ms = snapshot.at_ms - self._market.last_funding_ms(snapshot.at_ms)[own]
        moved |= (since_ms >= self._settled_ms) & (since_ms < self._settled_ms + 1_000)
        found: list[int] = own[moved].tolist()
        return found

    def show(self, snapshot: Snapshot, rows: Sequence[int]) -> None:
        """Show the values of some rows from now on."""
        self.snapshot = self.snapshot.updated(snapshot, rows)
