"""Per base the two feeds whose rates lie furthest apart, and what such a pair has paid. Pure.

As the view `spreads`: a rate that stopped moving ten minutes ago is nothing to trade against, and
one whose interval is in doubt may be wrong by a factor of eight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

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


class PaidByPair(NamedTuple):
    """What being short `high` and long `low` would have earned, as a fraction of the notional."""

    days: list[float | None]
    """Of the last times 24 hours, oldest first; None: of a leg nothing is known to have settled."""
    week: float | None
    month: float | None
    sign_days: int | None
    """For how many days, the newest included, the sign has been what it is now."""


def paid_by_pair(high: Sequence[float | None], low: Sequence[float | None]) -> PaidByPair:
    """Return what a pair has paid, of what each leg settled on each day."""
    days = [
        None if above is None or below is None else above - below
        for above, below in zip(high, low, strict=True)
    ]
    return PaidByPair(days, _total(days[-_WEEK:]), _total(days), _sign_days(days))


def _total(days: Sequence[float | None]) -> float | None:
    known = [day for day in days if day is not None]
    return sum(known) if known and len(known) == len(days) else None


def _sign_days(days: Sequence[float | None]) -> int | None:
    """Count the newest days of one sign. A day of nothing keeps it; an unknown one ends it."""
    count, sign = 0, 0
    for day in reversed(days):
        if day is None:
            break
        its_sign = (day > 0) - (day < 0)
        if sign and its_sign == -sign:
            break
        sign = sign or its_sign
        count += 1
    return count or None
