"""Feeds as rows: the producer's report, how old the rates are, and the last day. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from schemas.feeds import spec
from schemas.records import FeedStatus, ZScore
from schemas.times import US_PER_S
from stream_app.web.history.answers import FeedPast
from stream_app.web.history.queries import QUARTER_S
from stream_app.web.rest.answers import QUARTERS, FeedRow, told_times


class Ages:
    """How old the rates of each feed's contracts are."""

    def __init__(self, zscores: Iterable[ZScore], now_us: int) -> None:
        ages: dict[str, list[float]] = {}
        self.by_rest: dict[str, int] = {}
        for zscore in zscores:
            feed = zscore["feed"]
            ages.setdefault(feed, []).append((now_us - zscore["event_time"]) / US_PER_S)
            if zscore["transport"] == "rest":
                self.by_rest[feed] = self.by_rest.get(feed, 0) + 1
        self._ages = {feed: np.asarray(found) for feed, found in ages.items()}

    def of(self, feed: str, stale_s: float) -> dict[str, Any]:
        """Return the fields of a feed's row that tell them."""
        ages = self._ages.get(feed)
        if ages is None:
            return {
                "contracts": 0, "age_p50_s": None, "age_p99_s": None, "by_rest": 0, "stale": 0
            }  # fmt: skip
        middle, highest = np.quantile(ages, (0.5, 0.99))
        return {
            "contracts": len(ages),
            "age_p50_s": float(middle),
            "age_p99_s": float(highest),
            "by_rest": self.by_rest.get(feed, 0),
            "stale": int((ages > stale_s).sum()),
        }


def feed_row(status: FeedStatus, ages: Ages, past: FeedPast | None, now_us: int) -> dict[str, Any]:
    """Return a feed's row; without its past everything of the last day is None."""
    of_feed = spec(status["feed"])
    known = past or FeedPast()
    contracts = status["contracts_expected"]
    return {
        **status,
        **told_times(status, FeedRow),
        "stale_s": of_feed.stale_s,
        "cadence_s": of_feed.cadence_s,
        **ages.of(of_feed.name, of_feed.stale_s),
        "uptime_day": known.uptime_day,
        "uptime_week": known.uptime_week,
        "gaps_24h": known.gaps_24h,
        "matched": known.matched,
        "mismatch": known.mismatch,
        "settled_matched": known.settled_matched,
        "settled_differs": known.settled_differs,
        "quarters": quarters(known.missing_s, known.observed_from, contracts, now_us),
    }


def quarters(
    missing_s: Mapping[int, float], observed_from: int | None, contracts: int, now_us: int
) -> list[float | None]:
    """Return the share of the contracts' time that is known, of the last 96 quarters of an hour.

    The newest, which is not over, counts as far as it has come. A quarter before the producer's
    first report of the day is None: nobody knows of it.
    """
    now_s = now_us / US_PER_S
    newest = int(now_s // QUARTER_S)
    found: list[float | None] = []
    for quarter in range(newest - QUARTERS + 1, newest + 1):
        if observed_from is None or quarter < observed_from or contracts <= 0:
            found.append(None)
            continue
        expected_s = min(QUARTER_S, now_s - quarter * QUARTER_S) * contracts
        lost_s = missing_s.get(quarter, 0.0)
        found.append(
            1.0 if lost_s <= 0 else max(0.0, 1.0 - lost_s / expected_s) if expected_s else 0.0
        )
    return found
