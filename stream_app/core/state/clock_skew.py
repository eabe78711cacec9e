"""Event times of an exchange whose clock runs ahead of ours.

An event cannot be received before it happened. Where it seems so by more than SKEW_US, its receipt
stands in for its time: otherwise a clock that was 30 s ahead would freeze a contract's rate for
30 s after it was set right. Clocks that run behind need no correction: their updates are late by
their own times.
"""

from __future__ import annotations

from bisect import insort

from schemas.times import US_PER_S
from stream_app.core.state.bars import LATENESS_US

SKEW_US = 5 * US_PER_S
"""Not above the lateness: when the clock is set right, updates are out of order, never late."""
MAX_SKEWED = 64
"""How many updates of one contract are remembered at most."""

Skewed = tuple[int, int]
"""(the exchange's time, what stands in for it)."""


def standing_time(skewed: list[Skewed], event_time: int, received_at: int, skew_us: int) -> int:
    """Return the time that stands for an event's own, and remember it in `skewed`. All in µs.

    The same event from a second socket gets the time that it got first, so that it is a duplicate.
    An event that is older than one seen before stays older.
    """
    while skewed and skewed[0][1] < received_at - LATENESS_US:
        del skewed[0]
    ahead_us = event_time - received_at
    # Near the threshold, one socket's copy may be believed and the other's not. Well below it the
    # clock is right again, and an event may have the time of an earlier one.
    if 2 * ahead_us > skew_us:
        for known, stands_at in skewed:
            if known == event_time:
                return stands_at
    if ahead_us <= skew_us:
        return event_time
    stands_at = _placed(skewed, event_time, received_at)
    insort(skewed, (event_time, stands_at))
    del skewed[:-MAX_SKEWED]
    return stands_at


def _placed(skewed: list[Skewed], event_time: int, received_at: int) -> int:
    """Return the time that stands for an event that was not seen before."""
    if not skewed:
        return received_at
    newest, newest_at = skewed[-1]
    if event_time > newest:
        return max(received_at, newest_at)
    older_at = newest_at - (newest - event_time)
    if older_at >= received_at - LATENESS_US:
        return older_at
    # No socket is that far behind another, so the clock has changed again.
    skewed.clear()
    return received_at
