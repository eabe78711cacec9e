"""A contract's closed hours and settlements as the page keeps them: small, and bounded.

Rates are of eight hours here, so that contracts of different intervals can be compared and drawn
on one axis.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.rates import rate_8h
from schemas.records import HourlyBar, Settlement, SettlementKind, SettlementSource
from schemas.times import US_PER_HOUR

HOURS_KEPT = 48
MAX_SETTLEMENTS = 100
"""Of one contract: four days of hourly ones. ClickHouse has the others."""

BAR = np.dtype([
    ("hour", "<i8"),
    ("open", "<f8"),
    ("high", "<f8"),
    ("low", "<f8"),
    ("close", "<f8"),
    ("mean", "<f8"),
    ("z_min", "<f8"),
    ("z_max", "<f8"),
    ("covered_s", "<f8"),
])  # fmt: skip
"""`hour` is its begin (UTC µs); NaN: there is no such value."""


class BarRing:
    """The closed bars of one contract's newest 48 hours."""

    __slots__ = ("_bars",)

    def __init__(self) -> None:
        self._bars = np.zeros(HOURS_KEPT, dtype=BAR)

    def take(self, bar: HourlyBar) -> None:
        """Keep a bar, unless a newer hour has its place."""
        hour = bar["hour"]
        place = hour // US_PER_HOUR % HOURS_KEPT
        if hour < self._bars[place]["hour"]:
            return
        hours = bar["interval_hours"]
        self._bars[place] = (
            hour,
            *(rate_8h(bar[name], hours) for name in ("open", "high", "low", "close", "mean")),
            np.nan if bar["z_min"] is None else bar["z_min"],
            np.nan if bar["z_max"] is None else bar["z_max"],
            bar["covered_s"],
        )

    def since(self, hour: int) -> npt.NDArray[np.void]:
        """Return the bars of that hour and later ones, oldest first."""
        found = self._bars[(self._bars["hour"] >= hour) & (self._bars["hour"] > 0)]
        return found[np.argsort(found["hour"])]


class SettledRate(NamedTuple):
    """One settlement."""

    funding_time: int
    rate: float
    interval_hours: float | None
    kind: SettlementKind
    source: SettlementSource


class SettledRates:
    """The newest settlements of one contract, by funding time and kind."""

    __slots__ = ("_kept", "_times")

    def __init__(self) -> None:
        self._times = array("q")
        self._kept: list[SettledRate] = []

    def __len__(self) -> int:
        return len(self._times)

    def take(self, settlement: Settlement) -> None:
        """Keep a settlement. One that is known better now replaces what was known of it."""
        taken = SettledRate(
            settlement["funding_time"],
            settlement["rate"],
            settlement["interval_hours"],
            settlement["kind"],
            settlement["source"],
        )
        at = bisect_left(self._times, taken.funding_time)
        while at < len(self._times) and self._times[at] == taken.funding_time:
            if self._kept[at].kind == taken.kind:
                self._kept[at] = taken
                return
            at += 1
        self._times.insert(at, taken.funding_time)
        self._kept.insert(at, taken)
        if len(self._times) > MAX_SETTLEMENTS:
            del self._times[0], self._kept[0]

    def since(self, time_us: int) -> list[SettledRate]:
        """Return those that settled at that time or later, oldest first."""
        return self._kept[bisect_left(self._times, time_us) :]
