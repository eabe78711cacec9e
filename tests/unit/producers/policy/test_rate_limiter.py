"""Sliding windows of rate limits: never more than our share in any window."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges import exchange
from producers.exchanges.spec import RateLimit
from producers.policy.rate_limiter import RateLimiter, rate_limiters
from schemas.feeds import FEEDS

WINDOW_S = 60.0
LIMIT = 20
ONE = {"weight": RateLimit(LIMIT, WINDOW_S)}

# Quarters of a second: sums and differences of them are exact.
pauses_s = st.integers(0, 400).map(lambda quarters: quarters / 4)


@given(
    st.sampled_from([1.0, 0.5, 0.25]),
    st.lists(st.tuples(pauses_s, st.integers(1, 5)), min_size=1, max_size=60),
)
def test_no_window_ever_holds_more_than_the_share(
    share: float, calls: list[tuple[float, int]]
) -> None:
    """A caller that waits as long as the limiter says stays below share × limit in every window."""
    rate_limiter = RateLimiter(ONE)
    now_s = 0.0
    drawn: list[tuple[float, int]] = []
    for pause_s, cost in calls:
        now_s += pause_s
        now_s += rate_limiter.wait_s({"weight": cost}, now_s, share)
        assert rate_limiter.wait_s({"weight": cost}, now_s, share) == 0.0, (
            "waiting as told is enough"
        )
        rate_limiter.draw({"weight": cost}, now_s)
        drawn.append((now_s, cost))
    for end_s, _ in drawn:
        within = sum(cost for at, cost in drawn if end_s - WINDOW_S < at <= end_s)
        assert within <= share * LIMIT


@given(st.lists(st.tuples(pauses_s, st.integers(1, 5)), min_size=1, max_size=60))
def test_a_wait_is_never_longer_than_needed(calls: list[tuple[float, int]]) -> None:
    """A quarter of a second before the wait is over, the call would not have fitted."""
    rate_limiter = RateLimiter(ONE)
    now_s = 0.0
    drawn: list[tuple[float, int]] = []
    for pause_s, cost in calls:
        now_s += pause_s
        wait_s = rate_limiter.wait_s({"weight": cost}, now_s)
        if wait_s:
            early_s = now_s + wait_s - 0.25
            assert sum(c for at, c in drawn if at > early_s - WINDOW_S) + cost > LIMIT
        now_s += wait_s
        rate_limiter.draw({"weight": cost}, now_s)
        drawn.append((now_s, cost))


def test_pools_are_apart() -> None:
    """A pool that is used up holds up only calls that draw on it."""
    rate_limiter = RateLimiter({"weight": RateLimit(10, 60.0), "funding": RateLimit(2, 300.0)})
    rate_limiter.draw({"funding": 2}, 0.0)
    assert rate_limiter.wait_s({"weight": 10}, 1.0) == 0.0
    assert rate_limiter.wait_s({"funding": 1}, 1.0) == 299.0
    assert rate_limiter.wait_s({"weight": 1, "funding": 1}, 1.0) == 299.0


def test_a_call_dearer_than_the_share_can_still_be_made() -> None:
    """It goes when its window is empty, instead of waiting for ever."""
    rate_limiter = RateLimiter({"weight": RateLimit(10, 60.0)})
    assert rate_limiter.wait_s({"weight": 8}, 0.0, 0.5) == 0.0
    rate_limiter.draw({"weight": 1}, 0.0)
    assert rate_limiter.wait_s({"weight": 8}, 1.0, 0.5) == 59.0


def test_use_by_others_counts() -> None:
    """What the exchange reports beyond our own draws is taken over, and expires likewise."""
    rate_limiter = RateLimiter(ONE)
    rate_limiter.draw({"weight": 4}, 0.0)
    rate_limiter.observe({"weight": 15}, 1.0)
    assert rate_limiter.wait_s({"weight": 5}, 1.0) == 0.0
    assert rate_limiter.wait_s({"weight": 6}, 1.0) == 59.0
    assert rate_limiter.wait_s({"weight": 17}, 1.0) == 60.0


def test_a_smaller_report_takes_nothing_back() -> None:
    """Exchanges count by the clock's minute; our own window stays the stricter one."""
    rate_limiter = RateLimiter(ONE)
    rate_limiter.draw({"weight": 12}, 0.0)
    rate_limiter.observe({"weight": 3}, 30.0)
    assert rate_limiter.wait_s({"weight": 9}, 30.0) == 30.0


def test_old_draws_do_not_hide_use_by_others() -> None:
    """Only what we drew within the window is set against the exchange's count."""
    rate_limiter = RateLimiter(ONE)
    rate_limiter.draw({"weight": 18}, 0.0)
    rate_limiter.observe({"weight": 18}, 100.0)
    assert rate_limiter.wait_s({"weight": 3}, 100.0) == 60.0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=10))
def test_a_refusal_blocks_everything_until_the_latest_time_given(until_s: list[float]) -> None:
    """A shorter block never shortens a longer one."""
    rate_limiter = RateLimiter(ONE)
    for latest, until in zip(accumulate(until_s, max), until_s, strict=True):
        rate_limiter.block(until)
        assert rate_limiter.wait_s({}, 0.0) == latest
        assert rate_limiter.wait_s({"weight": 1}, latest) == 0.0


def test_an_unknown_pool_is_a_bug() -> None:
    """A misspelt pool must not pass as free of charge."""
    with pytest.raises(KeyError):
        RateLimiter(ONE).wait_s({"wieght": 1}, 0.0)


def test_history_leaves_room_for_the_rest() -> None:
    """Where half is used up, a call for half waits and one for four fifths goes."""
    rate_limiter = RateLimiter({"weight": RateLimit(100, 60.0)})
    rate_limiter.draw({"weight": 50}, 0.0)
    assert rate_limiter.wait_s({"weight": 30}, 1.0, 0.5) == 59.0
    assert rate_limiter.wait_s({"weight": 30}, 1.0, 0.8) == 0.0


def test_feeds_of_a_group_draw_on_one_budget() -> None:
    """Both Binances are counted together (docs/exchanges/binance-usdm.md §9), the others apart."""
    exchanges = [exchange(feed) for feed in FEEDS]
    shared = rate_limiters(exchanges, 2.0)
    assert len(shared) == len(FEEDS) - 1
    binance = shared["binance"]
    binance.draw({"weight": 4800}, 0.0)
    assert binance.wait_s({"weight": 1}, 1.0) == 59.0
    assert binance.wait_s({"funding": 1000}, 1.0) == 0.0, "twice the limit, by the factor"
    assert shared["kucoin"].wait_s({"weight": 4000}, 1.0) == 0.0


def test_a_pool_of_a_group_means_the_same_to_all() -> None:
    """Whichever exchange is described last must not decide the limit."""
    seen: dict[tuple[str, str], RateLimit] = {}
    for feed in FEEDS:
        for name, limit in exchange(feed).limits.items():
            assert seen.setdefault((exchange(feed).limits_group, name), limit) == limit
