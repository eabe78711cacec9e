"""The rates that simulated MEXC shows: each is made anew about once a minute (mexc.md §1, §3).

Every contract has its own moment in a minute, which moves a little from minute to minute, so that
two are 40 to 80 s apart; after a settlement the next rate follows within seconds. What is charged
is not made of them: it may differ a little from the last one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infra.simulator.market.market import Market, Snapshot
from infra.simulator.market.terms import Ints
from infra.simulator.phases import own_steps

_JITTER = 3
_AFTER_TURN_MS = 5_000


class Estimates:
    """The rate, the next funding time and their moment of each contract, as shown last."""

    def __init__(
        self,
        market: Market,
        seed: int,
        feed: str,
        *,
        period_ms: int,
        tick_ms: int,
        now_ms: int,
        is_spread: bool = True,
    ) -> None:
        """`period_ms`: about how often a rate is made; within a tick: in each of them.

        `is_spread`: each contract has a moment of its own; else all have the same.
        """
        symbols = [contract.symbol for contract in market.contracts]
        started = market.snapshot(now_ms)
        self._period_ms = period_ms
        self._tick_ms = tick_ms
        self._is_spread = is_spread
        self._base_ms = own_steps(seed, feed, symbols, period_ms if is_spread else 1)
        self._delay_ms = own_steps(seed, f"{feed}/turn", symbols, _AFTER_TURN_MS)
        self._rows = np.arange(len(symbols), dtype=np.int64)
        self.units: Ints = started.rate_units.copy()
        self.next_ms: Ints = started.next_funding_ms.copy()
        self.made_ms: Ints = np.full(len(symbols), now_ms, dtype=np.int64)

    def advance(self, snapshot: Snapshot) -> tuple[Sequence[int], Sequence[int]]:
        """Make the rates that are due by the time of a snapshot.

        Returns the rows that were made, and those of them whose rate or funding time is another.
        """
        at_ms = snapshot.at_ms
        due = (self.next_ms + self._delay_ms <= at_ms) | self._is_due(at_ms)
        changed = due & (
            (snapshot.rate_units != self.units) | (snapshot.next_funding_ms != self.next_ms)
        )
        self.units = np.where(due, snapshot.rate_units, self.units)
        self.next_ms = np.where(due, snapshot.next_funding_ms, self.next_ms)
        self.made_ms = np.where(due, at_ms, self.made_ms)
        return np.flatnonzero(due).tolist(), np.flatnonzero(changed).tolist()

    def _is_due(self, at_ms: int) -> np.typing.NDArray[np.bool_]:
        if self._period_ms <= self._tick_ms:
            return np.ones(len(self._rows), dtype=np.bool_)
        number = (at_ms - self._base_ms) // self._period_ms
        if not self._is_spread:
            return number > (at_ms - self._tick_ms) // self._period_ms
        mixed = (number * 2_654_435_761 + self._rows * 40_503) >> 7
        moment_ms = number * self._period_ms + self._base_ms + mixed % (self._period_ms // _JITTER)
        return (moment_ms <= at_ms) & (moment_ms > at_ms - self._tick_ms)
