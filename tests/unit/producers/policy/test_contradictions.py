"""A contradicted list is asked for at once, then ever more seldom while it stays contradicted."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from producers.policy.contradictions import FIRST_PAUSE_S, Contradictions

REFRESH_S = 600.0


def asked_at(seconds: Iterable[int], refresh_s: float = REFRESH_S) -> list[int]:
    """When the list is asked for, if reports name the feed in these seconds."""
    found = Contradictions(refresh_s)
    return [second for second in seconds if found.named(float(second))]


def test_it_is_asked_for_at_once_and_again_after_growing_pauses() -> None:
    """The exchange's list may be behind its own stream for a while."""
    assert asked_at(range(600)) == [0, 15, 45, 105, 225, 345, 465, 585]


def test_what_the_first_reply_settles_costs_one_request() -> None:
    """Reports name the feed until the worker has the reply."""
    assert asked_at(range(100, 104)) == [100]


def test_another_contradiction_soon_after_is_asked_about_at_once() -> None:
    """Many contracts change at the same hour, and not all in the same second."""
    assert asked_at([*range(3), *range(60, 63), *range(300, 303)]) == [0, 60, 300]


def test_reports_of_several_workers_are_one_contradiction() -> None:
    """Each names the feed of its own contracts, in the same second."""
    assert asked_at([7, 7, 7, 8, 8]) == [7]


def test_after_a_quiet_time_it_begins_anew() -> None:
    """The pauses are short again."""
    long = [*range(1_000), *range(1_600, 1_650)]
    assert asked_at(long)[-3:] == [1_600, 1_615, 1_645]
    assert asked_at([*range(1_000), *range(1_500, 1_560)])[-2:] == [945, 1_500], "not quiet enough"


def test_the_pause_is_no_longer_than_between_regular_requests() -> None:
    """Whoever has the list asked for often has it asked for as often then."""
    assert asked_at(range(100), 20.0) == [0, 15, 35, 55, 75, 95]
    assert asked_at(range(20), 5.0) == [0, 5, 10, 15]


@given(st.lists(st.integers(1, 700), max_size=400))
def test_requests_are_bounded_whatever_reports_say(steps: list[int]) -> None:
    """About 33 an hour at most (docs/decisions/rest-budget.md): one each 120 s, and three at the
    begin of an outbreak, before which it was quiet for 600 s.
    """
    at, named = 0, []
    for step in steps:
        at += step
        named.append(at)
    asked = asked_at(named)
    assert all(after - before >= FIRST_PAUSE_S for before, after in pairwise(asked))
    for first in asked:
        assert sum(first <= one < first + 3_600 for one in asked) <= 34
