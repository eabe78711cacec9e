"""The baseline against numpy, over the same settlements, in any order of arrival."""

from __future__ import annotations

import random
from unittest.mock import patch

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.times import US_PER_DAY, US_PER_HOUR
from stream_app.core.scoring import baseline_codec
from stream_app.core.scoring.baseline import Baseline
from stream_app.core.scoring.interval_evidence import IntervalEvidence
from stream_app.core.scoring.settled_intervals import Interval
from stream_app.core.scoring.statistics import MIN_SAMPLES

HOUR_US = 1_791_273_600_000_000
DAYS_30_US = 30 * US_PER_DAY
rates = st.integers(-375_000, 375_000).map(lambda units: units / 1e8)
times = st.integers(-31 * 24, 12).map(lambda hours: HOUR_US + hours * US_PER_HOUR)
values = st.tuples(rates, st.sampled_from([1.0, 2.0, 4.0, 8.0]))
settlements = st.dictionaries(times, values, min_size=1, max_size=100)
many_settlements = st.dictionaries(times, values, min_size=45, max_size=90)
"""At most 37 of these hours lie outside of the window, so it always holds enough for a z."""


def baseline_of(settled: dict[int, tuple[float, float]], order: list[int]) -> Baseline:
    """A baseline that learnt of settlements in this order."""
    baseline = Baseline()
    for offset, at in enumerate(order):
        rate, hours = settled[at]
        baseline.add(at, rate, hours, IntervalEvidence(), offset)
    return baseline


def reference_window(settled: dict[int, tuple[float, float]]) -> np.ndarray:
    """All rate_8h of the window, by a plain scan."""
    return np.array(
        [
            rate * 8.0 / hours
            for at, (rate, hours) in sorted(settled.items())
            if HOUR_US - DAYS_30_US < at <= HOUR_US
        ]
    )


@settings(deadline=None, max_examples=60)
@given(settled=many_settlements, value=rates)
def test_statistics_are_numpys(settled: dict[int, tuple[float, float]], value: float) -> None:
    """Mean, sample deviation, median, MAD, z, robust z and percentile, to 1e-12."""
    window = reference_window(settled)
    assert window.size >= MIN_SAMPLES
    assume(np.ptp(window) > 0)
    baseline = baseline_of(settled, sorted(settled))
    stats = baseline.statistics(HOUR_US)
    mean, std, median = window.mean(), window.std(ddof=1), np.median(window)
    mad = np.median(np.abs(window - median))
    np.testing.assert_allclose(
        np.array([stats.mean, stats.std, stats.median, stats.mad], dtype=np.float64),
        [mean, std, median, mad],
        rtol=1e-12,
        atol=1e-18,
    )
    z, robust_z, percentile = baseline.score(value, stats)
    assert stats.samples == window.size
    assert z is not None
    np.testing.assert_allclose(z, (value - mean) / std, rtol=1e-12, atol=1e-12)
    assert percentile == np.count_nonzero(window <= value) / window.size
    if robust_z is None:
        assert mad == 0.0
    else:
        np.testing.assert_allclose(robust_z, 0.67449 * (value - median) / mad, rtol=1e-9)


@settings(deadline=None)
@given(settled=settlements, data=st.data())
def test_the_order_of_arrival_does_not_matter(
    settled: dict[int, tuple[float, float]], data: st.DataObject
) -> None:
    """With intervals of their own, settlements give the same statistics in any order and twice."""
    order = data.draw(st.permutations(sorted(settled)))
    again = data.draw(st.lists(st.sampled_from(order), max_size=5))
    shuffled = baseline_of(settled, [*order, *again])
    shuffled.statistics(HOUR_US)
    assert sorted(shuffled.window().tolist()) == sorted(reference_window(settled).tolist())


@settings(deadline=None)
@given(settled=settlements, data=st.data())
def test_inferred_intervals_do_not_depend_on_the_order_of_arrival(
    settled: dict[int, tuple[float, float]], data: st.DataObject
) -> None:
    """Each follows from the settlements around it, whichever of them came first."""

    def learnt(order: list[int]) -> list[tuple[int, float, Interval]]:
        baseline = Baseline()
        for offset, at in enumerate(order):
            baseline.add(at, settled[at][0], None, IntervalEvidence(), offset)
        return [(s.funding_time, s.rate, s.interval) for s in baseline.settled]

    order = data.draw(st.permutations(sorted(settled)))
    assert learnt(order) == learnt(sorted(settled))


@given(
    rate=rates,
    hours=st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0]), min_size=10),
    value=rates,
)
def test_one_rate_at_many_intervals_is_no_baseline(
    rate: float, hours: list[float], value: float
) -> None:
    """However it was scaled, a constant series never gives a z."""
    baseline = Baseline()
    for offset, interval in enumerate(hours):
        at = HOUR_US - offset * US_PER_HOUR
        baseline.add(at, rate * interval / 8.0, interval, IntervalEvidence(), offset)
    assert baseline.score(value, baseline.statistics(HOUR_US)) == (None, None, None)


@given(settled=settlements, cut=st.integers(0, 120))
def test_a_stored_baseline_holds_what_was_learnt_before_the_cut(
    settled: dict[int, tuple[float, float]], cut: int
) -> None:
    """Exactly the settlements of the records up to the block's offset."""
    order = sorted(settled)
    restored, _ = baseline_codec.unpack(baseline_codec.pack(baseline_of(settled, order)), cut)
    assert [entry.funding_time for entry in restored.settled] == [
        at for at in order[: cut + 1] if at > order[-1] - 34 * US_PER_DAY
    ]


statements = st.lists(
    st.tuples(
        st.sampled_from(["listed", "stated"]),
        st.sampled_from([1.0, 4.0, 8.0]),
        st.integers(-12, 14),
        st.integers(-30, 30),
    ),
    max_size=4,
)


@settings(deadline=None, max_examples=300)
@given(
    steps=st.lists(st.sampled_from([1, 1, 1, 1, 2, 4, 8]), min_size=5, max_size=40),
    said=statements,
    life=st.one_of(st.none(), st.integers(-20, 10)),
    data=st.data(),
)
def test_the_short_way_of_adding_gives_what_the_long_one_gives(
    steps: list[int], said: list[tuple[str, float, int, int]], life: int | None, data: st.DataObject
) -> None:
    """Whatever was listed, and stated for other funding times."""
    evidence = IntervalEvidence()
    for kind, hours, at, minutes in said:
        time_us = HOUR_US + at * US_PER_HOUR
        if kind == "listed":
            evidence.note_listed(hours, time_us + minutes * US_PER_HOUR // 60)
        else:
            evidence.note_stated(hours, time_us, time_us)
    usual = data.draw(st.sampled_from([1, 4, 8]))
    at = HOUR_US - 30 * US_PER_HOUR
    changes = []
    short, long = Baseline(), Baseline()
    for offset, step in enumerate(steps):
        if life is not None and offset == len(steps) // 2:
            for baseline in (short, long):
                baseline.begin_life(HOUR_US + life * US_PER_HOUR)
        at += step * usual * US_PER_HOUR
        changes.append(short.add(at, 0.0001, None, evidence, offset))
        with patch.object(Baseline, "_goes_on", lambda *_: False):
            assert long.add(at, 0.0001, None, evidence, offset) == changes[-1]
    assert short.settled == long.settled
    assert short.superseded == long.superseded


@settings(deadline=None)
@given(settled=settlements, order=st.randoms(use_true_random=False), cut=st.integers(0, 120))
def test_a_whole_baseline_is_read_as_row_by_row(
    settled: dict[int, tuple[float, float]], order: random.Random, cut: int
) -> None:
    """Whether or not the short way of reading can be gone."""
    times = sorted(settled)
    order.shuffle(times)
    packed = baseline_codec.pack(baseline_of(settled, times))
    found, _ = baseline_codec.unpack(packed, cut)
    with patch.object(baseline_codec, "_unpacked_whole", lambda *_: None):
        expected, _ = baseline_codec.unpack(packed, cut)
    assert found.settled == expected.settled
    assert baseline_codec.pack(found) == baseline_codec.pack(expected)
