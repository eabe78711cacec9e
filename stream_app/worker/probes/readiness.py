"""Whether the worker is ready, and if not why, from producers' reports and what arrives. Pure.

Ready means: every feed that has a producer is live or served by REST, its producer still reports,
and its rates reach this worker. Feeds without a producer do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from schemas.feeds import stale_s
from schemas.records import FeedState, FeedStatus
from schemas.text import one_line
from schemas.times import US_PER_S

REPORT_OLD_S = 30.0
"""A producer reports every 5 s; after this long without a report it is gone or cut off."""
LATELY_S = 30.0
"""A feed may be stalled, or its rates may be missing, for this long while the worker is ready."""
_DELIVERED: tuple[FeedState, ...] = ("live", "fallback", "recovering")
"""States of a feed in which its stream or REST delivers."""
NO_PRODUCER = "no producer has reported"
NOT_STARTED = "the worker has no partitions yet, or still loads their state"


class Arrivals(NamedTuple):
    """What has arrived of one feed at this worker."""

    trading: int
    """Known contracts that trade, with a rate or without."""
    settled: int
    """Those of them that have settlements, and whose history is not just coming in."""
    unsettled: int
    """Those of them that have none, and whose history is not just coming in."""
    newest_received_at: int | None
    """Receipt of the newest rate, µs."""


class Warming(NamedTuple):
    """How many baselines are loaded, of those that are expected."""

    loaded: int
    expected: int


def reasons(
    now_us: int,
    *,
    started: bool,
    reports: Mapping[str, FeedStatus],
    arrivals: Mapping[str, Arrivals],
) -> list[str]:
    """Return the reasons why the worker is not ready; empty: it is ready."""
    why = [] if started else [NOT_STARTED]
    if not reports:
        return [*why, NO_PRODUCER]
    for feed, report in sorted(reports.items()):
        reason = _reason(now_us, report, arrivals.get(feed) if started else None)
        if reason is not None:
            why.append(f"{feed}: {reason}")
    return why


def _reason(now_us: int, report: FeedStatus, arrived: Arrivals | None) -> str | None:
    unreported_s = (now_us - report["reported_at"]) / US_PER_S
    if unreported_s > REPORT_OLD_S:
        return f"its producer has not reported for {unreported_s:,.0f} s"
    state, since_s = report["state"], max(0.0, (now_us - report["since"]) / US_PER_S)
    if state not in _DELIVERED and not (state == "stalled" and since_s <= LATELY_S):
        detail = one_line(report["detail"])
        return f"{state} for {since_s:,.0f} s{f': {detail}' if detail else ''}"
    if arrived is None or not arrived.trading:
        return None
    if arrived.newest_received_at is None:
        return f"{state}, and none of its rates has reached this worker"
    silent_s = (now_us - arrived.newest_received_at) / US_PER_S
    if silent_s > stale_s(report["feed"]) + LATELY_S:
        return f"{state}, and none of its rates has reached this worker for {silent_s:,.0f} s"
    return None


def warming_up(
    reports: Mapping[str, FeedStatus], arrivals: Mapping[str, Arrivals]
) -> Warming | None:
    """Return how many baselines are loaded; None: all are, or no contract is known."""
    loaded = expected = 0
    for feed, arrived in arrivals.items():
        expected += arrived.trading
        loaded += arrived.settled
        if _history_is_published(reports.get(feed)):
            # All history is published: contracts without any will get none.
            loaded += arrived.unsettled
    return None if loaded >= expected else Warming(loaded, expected)


def _history_is_published(report: FeedStatus | None) -> bool:
    return report is not None and 0 < report["contracts_expected"] <= report["backfill_done"]
