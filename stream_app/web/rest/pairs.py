"""Per base the two feeds whose rates lie furthest apart, and what such a pair has paid. Pure.

As the view `spreads`: a rate that stopped moving ten minutes ago is nothing to trade against, and
one whose interval is in doubt may be wrong by a factor of eight.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.rates import HOURS_A_YEAR, REFERENCE_INTERVAL_HOURS
from schemas.records import ZScore
from schemas.times import US_PER_S

OLDEST_S = 600.0
_WEEK = 7


class Pair(NamedTuple):
    """Two contracts of one base, of different feeds."""

    base: str
    high: ZScore
    low: ZScore
    oldest_event: int
    """The older of the newest rates of the two feeds' legs (UTC µs)."""

    @property
    def gap_8h(self) -> float:
        """How far the 8-hour rates lie apart."""
        return self.high["rate_8h"] - self.low["rate_8h"]

    @property
    def gap_apr(self) -> float:
        """The same for a year."""
        return self.gap_8h * HOURS_A_YEAR / REFERENCE_INTERVAL_HOURS


class _Ends(NamedTuple):
    high: ZScore
    low: ZScore


def best_pairs(zscores: Iterable[ZScore], now_us: int) -> list[Pair]:
    """Return the widest pair of each base, the widest of all first."""
    oldest = now_us - OLDEST_S * US_PER_S
    by_base: dict[str, dict[str, _Ends]] = {}
    for zscore in zscores:
        if zscore["event_time"] <= oldest or zscore["interval_doubtful"]:
            continue
        feeds = by_base.setdefault(zscore["base"], {})
        ends = feeds.get(zscore["feed"])
        if ends is None:
            feeds[zscore["feed"]] = _Ends(zscore, zscore)
        elif _above(zscore, ends.high):
            feeds[zscore["feed"]] = ends._replace(high=zscore)
        elif _below(zscore, ends.low):
            feeds[zscore["feed"]] = ends._replace(low=zscore)
    pairs = [
        min(_pairs(base, feeds), key=_widest_first)
        for base, feeds in by_base.items()
        if len(feeds) > 1
    ]
    return sorted(pairs, key=_widest_first)


def _pairs(base: str, feeds: dict[str, _Ends]) -> list[Pair]:
    return [
        Pair(base, of.high, under.low, min(of.high["event_time"], under.low["event_time"]))
        for feed, of in feeds.items()
        for other, under in feeds.items()
        if feed != other
    ]


def _above(one: ZScore, other: ZScore) -> bool:
    return (one["rate_8h"], other["contract_id"]) > (other["rate_8h"], one["contract_id"])


def _below(one: ZScore, other: ZScore) -> bool:
    return (one["rate_8h"], one["contract_id"]) < (other["rate_8h"], other["contract_id"])


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
