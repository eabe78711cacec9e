"""Per base the two feeds whose rates lie furthest apart, and what such a pair has paid. Pure.

As the view `spreads`: a rate that stopped moving ten minutes ago is nothing to trade against, one
whose interval is in doubt may be wrong by a factor of eight, and two contracts whose prices lie
apart are of two assets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.rates import HOURS_A_YEAR, REFERENCE_INTERVAL_HOURS
from schemas.records import ZScore
from schemas.times import US_PER_S
from stream_app.pairing import UnitPrice, price_gap, unit_price, widest_pair

OLDEST_S = 600.0
_WEEK = 7


class Pair(NamedTuple):
    """Two contracts of one base, of different feeds."""

    base: str
    high: ZScore
    low: ZScore
    oldest_event: int
    """The older of the newest rates of the two legs (UTC µs)."""
    price_gap: float | None = None
    """By which share a unit of the base costs more on the dearer one; None: nothing tells."""

    @property
    def gap_8h(self) -> float:
        """How far the 8-hour rates lie apart."""
        return self.high["rate_8h"] - self.low["rate_8h"]

    @property
    def gap_apr(self) -> float:
        """The same for a year."""
        return self.gap_8h * HOURS_A_YEAR / REFERENCE_INTERVAL_HOURS


class _Leg(NamedTuple):
    zscore: ZScore

    @property
    def contract_id(self) -> str:
        return self.zscore["contract_id"]

    @property
    def feed(self) -> str:
        return self.zscore["feed"]

    @property
    def rate_8h(self) -> float:
        return self.zscore["rate_8h"]

    @property
    def price(self) -> UnitPrice:
        zscore = self.zscore
        return unit_price(zscore["mark_price"], zscore["multiplier"], zscore["quote"])


def best_pairs(zscores: Iterable[ZScore], now_us: int) -> list[Pair]:
    """Return the widest pair of each base, the widest of all first."""
    oldest = now_us - OLDEST_S * US_PER_S
    by_base: dict[str, list[_Leg]] = {}
    for zscore in zscores:
        if zscore["event_time"] > oldest and not zscore["interval_doubtful"]:
            by_base.setdefault(zscore["base"], []).append(_Leg(zscore))
    found = [(base, widest_pair(legs)) for base, legs in by_base.items()]
    pairs = [_pair(base, *legs) for base, legs in found if legs is not None]
    return sorted(pairs, key=_widest_first)


def _pair(base: str, high: _Leg, low: _Leg) -> Pair:
    one, other = high.zscore, low.zscore
    gap = price_gap(high.price, low.price)
    return Pair(base, one, other, min(one["event_time"], other["event_time"]), gap)


def _widest_first(pair: Pair) -> tuple[float, str, str, str]:
    return -pair.gap_8h, pair.base, pair.high["contract_id"], pair.low["contract_id"]


class PaidByPairs(NamedTuple):
    """What being short `high` and long `low` would have earned, as fractions of the notional.

    Columns with a value for each pair. NaN: of a leg nothing is known to have settled.
    """

    days: list[list[float | None]]
    """Of the last times 24 hours, oldest first."""
    week: list[float]
    month: list[float]
    sign_days: list[int | None]
    """For how many days, the newest included, the sign has been what it is now."""


def paid_by_pairs(high: npt.NDArray[np.float64], low: npt.NDArray[np.float64]) -> PaidByPairs:
    """Return what pairs have paid, of what each leg settled on each day: a row a pair."""
    days = high - low
    return PaidByPairs(
        days.tolist(),
        days[:, -_WEEK:].sum(axis=1).tolist(),
        days.sum(axis=1).tolist(),
        [count or None for count in _sign_days(days).tolist()],
    )


def _sign_days(days: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Count the newest days of one sign. A day of nothing keeps it; an unknown one ends it."""
    pairs = len(days)
    counts, signs = np.zeros(pairs, dtype=np.int64), np.zeros(pairs)
    goes_on = np.ones(pairs, dtype=bool)
    for day in days.T[::-1]:
        its_signs = np.sign(day)
        goes_on &= ~np.isnan(day) & (signs * its_signs >= 0)
        counts += goes_on
        signs = np.where(goes_on & (signs == 0), its_signs, signs)
    return counts
