"""When REST is asked instead of the stream: soon, steadily, seldom; never beyond the limits."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges import exchange
from producers.exchanges.spec import RateLimit, RestCall
from producers.policy.ownership import Rest
from producers.policy.polling import (
    FAILING_S,
    FEW_SHARE,
    LONG_S,
    SELDOM_S,
    SHARE,
    SOON_S,
    TOLERATED_PERIODS,
    VERY_LONG_S,
    Polling,
    affordable_s,
    reconcile_due_ms,
)
from schemas.feeds import FEEDS, spec

EXPECTED = 100
MANY = [f"S{number}" for number in range(50)]


def polled(polling: Polling, at_s: float, *, served: bool = True) -> None:
    """A poll that takes no time."""
    polling.begun(at_s)
    polling.ended(at_s, served=served)


def test_nobody_is_asked_while_nobody_is_silent() -> None:
    """The stream has it all."""
    polling = Polling(5.0)
    assert polling.due_s(EXPECTED, 0.0) is None
    assert polling.rest(1e9, EXPECTED) is Rest.IDLE
    polling.want(["A"], 10.0)
    polling.want([], 11.0)
    assert polling.due_s(EXPECTED, 0.0) is None
    assert polling.wanted == frozenset()


def test_the_first_poll_is_due_at_once_and_the_next_after_a_period() -> None:
    """From its begin, so that a slow reply does not slow the pace."""
    polling = Polling(5.0)
    polling.want(MANY, 10.0)
    polling.want(MANY, 10.5)
    assert polling.due_s(EXPECTED, 0.0) == 10.0
    polling.begun(10.5)
    polling.ended(12.0, served=True)
    assert polling.due_s(EXPECTED, 0.0) == 15.5
    assert polling.wanted == frozenset(MANY)


def test_many_that_fall_silent_behind_a_poll_do_not_wait_for_a_period() -> None:
    """A second shard goes just after the first was asked for; a single contract waits for half."""
    polling = Polling(30.0)
    few = int(EXPECTED * FEW_SHARE)
    polling.want(MANY, 10.0)
    polled(polling, 10.0)
    polling.want([*MANY, *(f"N{n}" for n in range(few))], 10.1)
    assert polling.due_s(EXPECTED, 0.0) == 10.0 + 15.0
    polling.want([*MANY, *(f"N{n}" for n in range(few + 1))], 10.2)
    assert polling.due_s(EXPECTED, 0.0) == 10.0 + SOON_S
    polled(polling, 11.0)
    assert polling.due_s(EXPECTED, 0.0) == 11.0 + 30.0


def test_a_new_silence_long_after_the_last_is_served_at_once() -> None:
    """Backoff from an outage that has ended does not delay the next first poll."""
    polling = Polling(30.0)
    polling.want(["A"], 10.0)
    polled(polling, 10.0)
    polling.want([], 20.0)
    polling.want(["A"], 60.0)
    due_s = polling.due_s(EXPECTED, 0.0)
    assert due_s is not None
    assert due_s <= 60.0


def test_failures_are_tried_again_soon_and_then_less_often() -> None:
    """1, 2, 4 s and so on, up to two periods; a success returns to the period."""
    polling = Polling(5.0)
    polling.want(MANY, 0.0)
    at_s, gaps = 0.0, []
    for _ in range(7):
        polled(polling, at_s, served=False)
        due_s = polling.due_s(EXPECTED, 0.0)
        assert due_s is not None
        gaps.append(due_s - at_s)
        at_s = due_s
    assert gaps == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]
    polled(polling, at_s)
    assert polling.due_s(EXPECTED, 0.0) == at_s + 5.0


def test_a_new_silence_begins_without_the_failures_of_the_last() -> None:
    """They were of another outage."""
    polling = Polling(60.0)
    polling.want(MANY, 0.0)
    for at_s in (0.0, 1.0, 3.0):
        polled(polling, at_s, served=False)
    polling.want([], 4.0)
    polling.want(MANY, 5.0)
    assert polling.due_s(EXPECTED, 0.0) == 3.0 + SOON_S


def test_a_few_that_are_never_streamed_are_asked_for_seldom() -> None:
    """The exchange lists them and sends nothing: 12 calls a minute for ever would be wrong."""
    polling = Polling(5.0)
    few = [f"S{n}" for n in range(int(EXPECTED * FEW_SHARE) - 1)]
    polling.want(few, 0.0)
    polled(polling, LONG_S - 1.0)
    assert polling.due_s(EXPECTED, 0.0) == LONG_S - 1.0 + 5.0
    polled(polling, LONG_S + 1.0)
    assert polling.due_s(EXPECTED, 0.0) == LONG_S + 1.0 + SELDOM_S
    polling.want([*few, "NEW"], LONG_S + 2.0)
    assert polling.due_s(EXPECTED, 0.0) == LONG_S + 1.0 + 2.5
    polled(polling, LONG_S + 3.5)
    assert polling.due_s(EXPECTED, 0.0) == LONG_S + 3.5 + 5.0


QUIET = frozenset(f"Q{n}" for n in range(EXPECTED // 2))


def test_quiet_contracts_are_asked_for_at_their_own_pace() -> None:
    """However many they are, and however many have become so since the last poll."""
    polling = Polling(10.0, 200.0)
    polling.want(["Q1"], 0.0, frozenset({"Q1"}))
    assert polling.due_s(EXPECTED, 0.0) == 0.0
    assert polling.wanted == {"Q1"}
    polled(polling, 0.0)
    polling.want(QUIET, 20.0, QUIET)
    assert polling.due_s(EXPECTED, 0.0) == 200.0
    polled(polling, 200.0)
    assert polling.due_s(EXPECTED, 0.0) == 400.0
    polled(polling, 400.0, served=False)
    assert polling.due_s(EXPECTED, 0.0) == 400.0 + 1.0


def test_quiet_contracts_whose_history_was_loaded_are_asked_for_sooner() -> None:
    """Their next rates are the first that can be scored; one poll is enough."""
    polling = Polling(10.0, 200.0)
    polling.want(QUIET, 0.0, QUIET)
    polled(polling, 0.0)
    polling.loaded()
    assert polling.due_s(EXPECTED, 0.0) == SELDOM_S
    polled(polling, SELDOM_S)
    assert polling.due_s(EXPECTED, 0.0) == SELDOM_S + 200.0


def test_one_that_is_silent_among_quiet_ones_is_asked_for_as_any_other() -> None:
    """Soon, then at the period; and the quiet ones no later than they would be without it."""
    polling = Polling(10.0, 200.0)
    polling.want(QUIET, 0.0, QUIET)
    polled(polling, 0.0)
    polling.want([*QUIET, "A"], 20.0, QUIET)
    assert polling.due_s(EXPECTED, 0.0) == 5.0
    polled(polling, 20.0)
    assert polling.due_s(EXPECTED, 0.0) == 30.0
    polled(polling, 20.0 + VERY_LONG_S)
    assert polling.due_s(EXPECTED, 0.0) == 20.0 + VERY_LONG_S + 200.0


def test_quiet_contracts_of_a_socket_that_has_closed_are_an_outage() -> None:
    """REST is asked at once and at the period, although a poll has asked for them before."""
    polling = Polling(10.0, 200.0)
    polling.want(QUIET, 0.0, QUIET)
    polled(polling, 0.0)
    polling.want(QUIET, 20.0)
    assert polling.due_s(EXPECTED, 0.0) == SOON_S
    assert polling.rest(20.0, EXPECTED) is Rest.IDLE
    polled(polling, 20.0)
    assert polling.due_s(EXPECTED, 0.0) == 30.0


def test_the_pauses_between_polls_for_quiet_contracts_are_no_failure() -> None:
    """A poll counts as failed from when it was made."""
    polling = Polling(10.0, 200.0)
    lasts_s = FAILING_S + TOLERATED_PERIODS * 10.0
    polling.want(QUIET, 0.0, QUIET)
    assert polling.rest(FAILING_S + 1.0, EXPECTED) is Rest.IDLE
    polled(polling, 10.0)
    assert polling.rest(209.0, EXPECTED) is Rest.SERVING
    polled(polling, 210.0, served=False)
    assert polling.rest(210.0, EXPECTED) is Rest.SERVING
    assert polling.rest(200.0 + lasts_s, EXPECTED) is Rest.SERVING
    assert polling.rest(200.1 + lasts_s, EXPECTED) is Rest.FAILING


def test_many_that_are_silent_for_long_are_an_outage_and_no_habit() -> None:
    """They are asked for at the period however long it lasts."""
    polling = Polling(5.0)
    polling.want(MANY, 0.0)
    polled(polling, 10 * LONG_S)
    assert polling.due_s(EXPECTED, 0.0) == 10 * LONG_S + 5.0


def test_the_limits_come_before_the_pace() -> None:
    """A round that costs much is made less often, new silences and failures included."""
    polling = Polling(5.0)
    polling.want(MANY, 0.0)
    polled(polling, 0.0)
    assert polling.due_s(EXPECTED, 20.0) == 20.0
    polling.want([*MANY, *"ABCDEFG"], 1.0)
    assert polling.due_s(EXPECTED, 20.0) == 20.0
    polled(polling, 20.0, served=False)
    assert polling.due_s(EXPECTED, 20.0) == 40.0


def test_rare_polls_are_no_failure() -> None:
    """A contract that is silent for long is asked for seldom; a loss of all is not REST's yet."""
    polling = Polling(5.0)
    polling.want(["A"], 0.0)
    polled(polling, 1_000.0)
    assert polling.rest(1_055.0, EXPECTED) is Rest.SERVING
    polling.want(MANY, 1_055.0)
    assert polling.rest(1_055.25, EXPECTED) is Rest.IDLE
    polled(polling, 1_055.5)
    assert polling.rest(1_055.5, EXPECTED) is Rest.SERVING


def test_a_poll_that_hangs_is_a_failure_in_the_end() -> None:
    """As when Kafka takes nothing."""
    polling = Polling(5.0)
    polling.want(["A"], 0.0)
    polled(polling, 1.0)
    polling.begun(6.0)
    lasts_s = FAILING_S + TOLERATED_PERIODS * 5.0
    assert polling.rest(6.0 + lasts_s, EXPECTED) is Rest.SERVING
    assert polling.rest(6.1 + lasts_s, EXPECTED) is Rest.FAILING


def test_what_rest_does_over_an_outage() -> None:
    """Idle until it answers, serving while it does, failing when it has not for too long."""
    polling = Polling(5.0)
    lasts_s = FAILING_S + TOLERATED_PERIODS * 5.0
    polling.want(["A"], 100.0)
    assert polling.rest(100.0, EXPECTED) is Rest.IDLE
    assert polling.rest(100.0 + FAILING_S, EXPECTED) is Rest.IDLE
    assert polling.rest(100.1 + FAILING_S, EXPECTED) is Rest.FAILING
    polled(polling, 109.0)
    assert polling.rest(109.0, EXPECTED) is Rest.SERVING
    polled(polling, 114.0, served=False)
    assert polling.rest(109.0 + lasts_s, EXPECTED) is Rest.SERVING
    assert polling.rest(109.1 + lasts_s, EXPECTED) is Rest.FAILING
    polled(polling, 130.0)
    polling.want([], 131.0)
    assert polling.rest(131.0, EXPECTED) is Rest.IDLE
    polling.want(["A"], 132.0)
    assert polling.rest(132.0, EXPECTED) is Rest.IDLE


@pytest.mark.parametrize("feed", FEEDS)
def test_each_feed_is_served_before_its_rates_are_stale(feed: str) -> None:
    """Silence is noticed, asked about, answered, and again as often as its limits allow."""
    found, stale_s = exchange(feed), spec(feed).stale_s
    symbols = ["BTC", *(f"{dex}:A" for dex in ("flx", "hyna", "km", "vntl", "xyz"))]
    calls = found.snapshot_calls(symbols)
    assert found.silent_s + SOON_S + 1.0 < stale_s
    assert max(found.fallback_s, affordable_s(calls, found.limits)) < stale_s


pools = st.sampled_from(["weight", "funding"])
calls_st = st.lists(
    st.dictionaries(pools, st.integers(1, 40), max_size=2).map(
        lambda costs: RestCall("x", "/x", costs=costs)
    ),
    max_size=6,
)
limits_st = st.fixed_dictionaries(
    {
        pool: st.builds(RateLimit, st.integers(40, 3_000), st.sampled_from([1.0, 30.0, 60.0]))
        for pool in ("weight", "funding")
    }
)
moments_st = st.lists(
    st.tuples(
        st.floats(0.0, 20.0),  # passes
        st.integers(0, 60),  # are silent
        st.booleans(),  # the next poll succeeds
    ),
    max_size=60,
)


@given(calls_st, limits_st, st.floats(1.0, 60.0), moments_st)
def test_no_window_holds_more_than_the_share_of_a_limit(
    calls: list[RestCall],
    limits: dict[str, RateLimit],
    period_s: float,
    moments: list[tuple[float, int, bool]],
) -> None:
    """Whatever falls silent when, and whether polls fail: rounds of calls keep their distance."""
    polling, now_s, floor_s = Polling(period_s), 0.0, affordable_s(calls, limits)
    rounds: list[float] = []
    for passed_s, silent, served in moments:
        until_s = now_s + passed_s
        while (due_s := polling.due_s(EXPECTED, floor_s)) is not None and due_s <= until_s:
            now_s = max(now_s, due_s)
            rounds.append(now_s)
            polled(polling, now_s, served=served)
        now_s = until_s
        polling.want([f"S{n}" for n in range(silent)], now_s)
    assert all(later - earlier >= floor_s * (1 - 1e-9) for earlier, later in pairwise(rounds))
    for pool, limit in limits.items():
        cost = sum(call.costs.get(pool, 0) for call in calls)
        if not cost:
            continue
        # Rounds are whole: the last one within a window may reach over the share.
        most = math.ceil(limit.limit * SHARE / cost)
        for start_s in rounds:
            within = [at_s for at_s in rounds if start_s <= at_s < start_s + limit.window_s - 1e-6]
            assert len(within) <= most


@pytest.mark.parametrize(
    ("now_ms", "due_ms"),
    [(5_000, 150_000), (149_999, 150_000), (150_000, 3_750_000), (3_599_999, 3_750_000)],
)
def test_the_stream_is_compared_once_after_each_full_hour(now_ms: int, due_ms: int) -> None:
    """So long after it that all has settled; the next time an hour later."""
    hour_ms = 1_790_002_800_000
    assert reconcile_due_ms(hour_ms + now_ms) == hour_ms + due_ms
