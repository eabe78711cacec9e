"""Delays between attempts: full jitter, a cap, and forgiveness only after lasting health."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.backoff import CAP_S, FIRST_S, HEALTHY_S, Backoff, ceiling_s


@pytest.mark.parametrize("jitter", [0.0, 0.25, 0.5, 0.999])
def test_the_delay_is_a_share_of_a_ceiling_that_doubles_to_the_cap(jitter: float) -> None:
    """1, 2, 4 … 32, then 60 s for ever, times what chance says."""
    backoff = Backoff(lambda: jitter)
    ceilings = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [backoff.failed() for _ in ceilings] == [jitter * ceiling for ceiling in ceilings]


@given(
    st.lists(st.floats(0, HEALTHY_S, exclude_max=True), max_size=40),
    st.floats(0, 1, exclude_max=True),
)
def test_short_health_forgives_nothing(healthy_s: list[float], jitter: float) -> None:
    """However often data flows for less than a minute, the ceiling goes on growing."""
    backoff = Backoff(lambda: jitter)
    for failure, seconds in enumerate(healthy_s):
        assert backoff.failed(seconds) == jitter * min(CAP_S, FIRST_S * 2.0**failure)
    assert backoff.failures == len(healthy_s)


def test_a_minute_of_data_makes_the_next_failure_a_first_one() -> None:
    """At exactly 60 s the count begins anew, and grows again from there."""
    backoff = Backoff(lambda: 0.5)
    for _ in range(9):
        backoff.failed()
    assert backoff.failed(59.999) == 30.0
    assert backoff.failed(60.0) == 0.5
    assert backoff.failed() == 1.0


def test_no_number_of_failures_overflows() -> None:
    """After days of failing the delay is still below the cap."""
    backoff = Backoff(lambda: 0.999)
    assert max(backoff.failed() for _ in range(20_000)) == 0.999 * CAP_S


def test_a_least_share_of_the_ceiling_is_always_waited() -> None:
    """With a half, delays lie between half of the ceiling and the ceiling."""
    low = Backoff(lambda: 0.0, 0.25, 10.0, least=0.5)
    high = Backoff(lambda: 1.0, 0.25, 10.0, least=0.5)
    ceilings = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert [low.failed() for _ in ceilings] == [ceiling / 2 for ceiling in ceilings]
    assert [high.failed() for _ in ceilings] == ceilings


def test_a_ceiling_without_chance_doubles_up_to_the_cap() -> None:
    """For what is held back rather than tried again."""
    delays_s = [ceiling_s(failures, 5.0, 60.0) for failures in (0, 1, 2, 3, 4, 10**9)]
    assert delays_s == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
