"""The ownership state machine over any sequence of observations."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from producers.policy.ownership import NOTHING_SHARE, STEP_SHARE, WHOLE_SHARE, Ownership, Rest

rests = st.sampled_from(Rest)
shares = st.floats(0.0, 1.0)
Seen = list[tuple[float, Rest]]
runs = st.lists(st.tuples(shares, rests), max_size=30)
numbers = st.integers(1, 2_000)


def after(expected: int, seen: Seen) -> Ownership:
    """A feed of so many contracts that has seen so much."""
    ownership = Ownership()
    for share, rest in seen:
        ownership.observe(expected, round(share * expected), rest)
    return ownership


@given(runs, numbers, rests)
def test_a_whole_stream_leads_to_live_at_once(seen: Seen, expected: int, rest: Rest) -> None:
    """From wherever, and whatever REST does."""
    assert after(expected, seen).observe(expected, expected, rest) == "live"


@given(runs, numbers)
def test_without_a_stream_rest_takes_over_within_two_observations(
    seen: Seen, expected: int
) -> None:
    """One that it is gone, one that REST has it; a feed that was not live needs one."""
    ownership = after(expected, seen)
    was_live = ownership.state == "live"
    first = ownership.observe(expected, 0, Rest.SERVING)
    assert first == ("stalled" if was_live else "fallback")
    assert ownership.observe(expected, 0, Rest.SERVING) == "fallback"


@given(runs, numbers)
def test_without_both_it_is_down_within_two_observations(seen: Seen, expected: int) -> None:
    """The state stays `down` until the stream or REST brings data."""
    ownership = after(expected, seen)
    ownership.observe(expected, 0, Rest.FAILING)
    for rest in (Rest.FAILING, Rest.IDLE):
        assert ownership.observe(expected, 0, rest) == "down"


@given(runs, numbers)
def test_live_is_told_of_a_whole_stream_only(seen: Seen, expected: int) -> None:
    """After each observation: the state is live exactly where the stream is whole."""
    ownership = Ownership()
    for share, rest in seen:
        streamed = round(share * expected)
        state = ownership.observe(expected, streamed, rest)
        assert (state == "live") == (streamed >= expected * WHOLE_SHARE)


@given(rests, st.lists(st.tuples(numbers, shares, rests), max_size=30))
def test_a_feed_that_expects_nobody_is_never_live(
    rest: Rest, seen: list[tuple[int, float, Rest]]
) -> None:
    """Its list is empty: there is nothing to be whole of."""
    ownership = Ownership()
    for expected, share, its_rest in seen:
        ownership.observe(expected, round(share * expected), its_rest)
    assert ownership.observe(0, 0, rest) != "live"


@given(runs, st.integers(100, 2_000), st.floats(0.1, 0.85), st.lists(shares, max_size=30))
@example([(0.765625, Rest.IDLE)], 200, 0.734375, [1.0, 1.0, 0.0])
def test_counts_that_tremble_do_not_flap(
    seen: Seen, expected: int, around: float, tremor: list[float]
) -> None:
    """Within a band narrower than STEP_SHARE the direction turns once at most.

    That REST takes over at the start is told first, whatever the direction.
    """
    ownership = after(expected, seen)
    starting = ownership.state == "connecting"
    width = max(1, int(expected * STEP_SHARE)) - 1
    states = [
        ownership.observe(expected, round(around * expected) + round(each * width), Rest.SERVING)
        for each in tremor
    ]
    told = [state for state in states[starting:] if state != "stalled"]
    assert sum(one != other for one, other in pairwise(told)) <= 1


@given(
    runs,
    st.integers(100, 2_000),
    st.lists(st.integers(0, 400), min_size=2, max_size=30),
    st.booleans(),
)
def test_the_direction_follows_the_counts(
    seen: Seen,
    expected: int,
    steps: list[int],
    rises: bool,  # noqa: FBT001 - hypothesis passes it so
) -> None:
    """A count that has come or gone by a step tells where it goes, in however small portions."""
    ownership = after(expected, seen)
    step = max(1, int(expected * STEP_SHARE))
    low, high = math.ceil(expected * NOTHING_SHARE), int(expected * WHOLE_SHARE) - 1
    count = low if rises else high
    ownership.observe(expected, count, Rest.SERVING)
    begun_at = count
    for by in steps:
        count = min(high, count + by) if rises else max(low, count - by)
        state = ownership.observe(expected, count, Rest.SERVING)
        if abs(count - begun_at) >= step:
            assert state == ("recovering" if rises else "fallback")
