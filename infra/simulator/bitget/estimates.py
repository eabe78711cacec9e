"""The rates that simulated Bitget shows: made anew once a minute (docs/exchanges/bitget.md §3).

A contract's rate is made shortly before each full minute, so that the last one that is shown before
a settlement is what is settled. At a funding time the rate of the next interval follows at once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from infra.simulator.market.market import Market, Snapshot
from infra.simulator.market.terms import Ints

_MINUTE_MS = 60_000
_BEFORE_MS = 1_500


class Estimates:
    """Snapshots of a market with the rates that are shown then."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._cached: tuple[int, int, Ints] | None = None

    def at(self, at_ms: int) -> Snapshot:
        """The market at a time, with the newest rates that were made until then."""
        return replace(self._market.snapshot(at_ms), rate_units=self._units(at_ms))

    def _units(self, at_ms: int) -> Ints:
        made_ms = (at_ms + _BEFORE_MS) // _MINUTE_MS * _MINUTE_MS - _BEFORE_MS
        minute_ms = at_ms // _MINUTE_MS * _MINUTE_MS
        if self._cached is None or self._cached[:2] != (made_ms, minute_ms):
            units = self._market.snapshot(made_ms).rate_units
            if minute_ms > made_ms:
                has_turned = self._market.last_funding_ms(at_ms) == minute_ms
                if has_turned.any():
                    units = np.where(has_turned, self._market.snapshot(minute_ms).rate_units, units)
            self._cached = made_ms, minute_ms, units
        return self._cached[2]
