"""Statistics, bit for bit those of numpy's own functions, whether or not they were prepared."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.times import US_PER_HOUR
from stream_app.core.scoring.baseline import Baseline
from stream_app.core.scoring.interval_evidence import IntervalEvidence
from stream_app.core.scoring.settlement import Settled
from stream_app.core.scoring.statistics import ROUNDING, Statistics, statistics_of

HOUR_US = 1_791_273_600_000_000
rates = st.integers(-375_000, 375_000).map(lambda units: units / 1e8)
series = st.lists(rates, min_size=2, max_size=900)
baselines = st.lists(
    st.tuples(st.integers(-40 * 24, 60), rates, st.sampled_from([1.0, 8.0]), st.booleans()),
    max_size=60,
    unique_by=lambda each: each[0],
)


def by_numpy(rates_8h: np.ndarray) -> Statistics:
    """The same, by numpy's functions for each of them."""
    median = np.median(rates_8h)
    return Statistics(
        HOUR_US,
        len(rates_8h),
        float(rates_8h.mean()),
        float(np.sqrt(np.square(rates_8h - rates_8h.mean()).sum() / (len(rates_8h) - 1))),
        float(median),
        float(np.median(np.abs(rates_8h - median))),
    )


@settings(deadline=None)
@given(values=series, hours=st.sampled_from([1.0, 2.0, 4.0, 8.0]))
def test_the_numbers_are_numpys(values: list[float], hours: float) -> None:
    """To the last bit."""
    rates_8h = np.array(values) * 8.0 / hours
    if np.ptp(rates_8h) > ROUNDING * np.abs(rates_8h).max():
        assert statistics_of(rates_8h, HOUR_US) == by_numpy(rates_8h)


def filled(rows: list[tuple[int, float, float, bool]]) -> Baseline:
    """A baseline with settlements of these hours, rates, intervals and doubts."""
    return Baseline(
        Settled(HOUR_US + at * US_PER_HOUR, rate, hours, 0, "history", "observed", doubtful)
        for at, rate, hours, doubtful in rows
    )


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["prepare", "ask", "score"]), st.integers(-2, 3)),
        st.tuples(st.just("settle"), st.integers(-5, 70)),
        st.tuples(st.just("live"), st.integers(-900, 3)),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(rows=baselines, todo=steps)
def test_what_is_prepared_is_what_is_computed(
    rows: list[tuple[int, float, float, bool]], todo: list[tuple[str, int]]
) -> None:
    """In any order of hours, settlements and lives; the window stays that of the newest answer."""
    prepared, plain = filled(rows), filled(rows)
    for offset, (what, hours) in enumerate(todo):
        hour = HOUR_US + hours * US_PER_HOUR
        if what == "prepare":
            prepared.prepare(hour)
        elif what == "ask":
            assert prepared.statistics(hour) == plain.statistics(hour)
        elif what == "score":
            stats = plain.statistics(hour)
            assert prepared.score(0.0001, prepared.statistics(hour)) == plain.score(0.0001, stats)
        else:
            for baseline in (prepared, plain):
                if what == "settle":
                    baseline.add(hour, 0.0001 * hours, None, IntervalEvidence(), offset)
                else:
                    baseline.begin_life(hour)
        assert prepared.window().tolist() == plain.window().tolist()


def test_a_prepared_hour_is_not_computed_again() -> None:
    """Nor the hour before it, to which a late update may go back."""
    baseline = filled([(-hours, 0.0001 * hours, 8.0, False) for hours in range(40)])
    now = baseline.statistics(HOUR_US)
    baseline.prepare(HOUR_US + US_PER_HOUR)
    assert baseline.statistics(HOUR_US) is now
    coming = baseline.statistics(HOUR_US + US_PER_HOUR)
    assert baseline.statistics(HOUR_US) is now
    assert baseline.statistics(HOUR_US + US_PER_HOUR) is coming
