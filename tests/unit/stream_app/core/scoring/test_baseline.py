"""The baseline of a contract: window, duplicates, intervals, statistics
(docs/decisions/baseline-and-z.md).
"""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from schemas.times import US_PER_DAY, US_PER_HOUR
from stream_app.core.scoring.baseline import Baseline
from stream_app.core.scoring.interval_evidence import IntervalEvidence
from stream_app.core.scoring.settled_runs import KEPT_US
from stream_app.core.scoring.settlement import Change, Hole, Settled, Special
from stream_app.core.scoring.statistics import Score, Statistics, confidence_of, statistics_of, z_of
from stream_app.core.scoring.window import WINDOW_US
from tests.support.baselines import HOUR_US, NOTHING, filled, restored


def stats_of(*rates_8h: float) -> Statistics:
    """Statistics over these rates."""
    return statistics_of(np.array(rates_8h, dtype=np.float64), HOUR_US)


def score(value: float, *rates_8h: float) -> Score:
    """A rate against a baseline of these."""
    baseline = filled(list(rates_8h))
    return baseline.score(value, baseline.statistics(HOUR_US))


def window_of(baseline: Baseline, hour: int = HOUR_US) -> list[float]:
    """What the statistics of an hour are over."""
    baseline.statistics(hour)
    window: list[float] = baseline.window().tolist()
    return window


TEN = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 20.0)


@pytest.mark.parametrize(
    ("samples", "grade"),
    [
        *((0, "none"), (9, "none"), (10, "low"), (29, "low"), (30, "medium"), (89, "medium")),
        *((90, "high"), (179, "high"), (180, "very_high"), (10_000, "very_high")),
    ],
)
def test_confidence_grows_with_samples(samples: int, grade: str) -> None:
    """The bounds of docs/decisions/baseline-and-z.md, each from both sides."""
    assert confidence_of(samples) == grade


def test_the_statistics_of_a_known_series() -> None:
    """Worked by hand: mean 6.5, squares 262.5 over n − 1 = 9, median 5.5, MAD 2.5."""
    stats = stats_of(*TEN)
    assert stats.samples == 10
    assert (stats.mean, stats.median, stats.mad) == (6.5, 5.5, 2.5)
    assert stats.std == pytest.approx(math.sqrt(262.5 / 9), rel=1e-15)
    assert (stats.confidence, stats.usable, stats.as_of) == ("low", True, HOUR_US)


def test_a_score_is_z_robust_z_and_percentile() -> None:
    """Each by its formula: (x − mean) / std, 0.67449 × (x − median) / MAD, share ≤ x."""
    z, robust_z, percentile = score(9.0, *TEN)
    assert z == pytest.approx(2.5 / math.sqrt(262.5 / 9), rel=1e-15)
    assert robust_z == pytest.approx(0.67449 * 3.5 / 2.5, rel=1e-15)
    assert percentile == 0.9


@pytest.mark.parametrize(
    ("value", "expected"), [(0.5, 0.0), (1.0, 0.1), (1.5, 0.1), (19.9, 0.9), (20.0, 1.0)]
)
def test_the_percentile_is_the_share_at_or_below(value: float, expected: float) -> None:
    """A value equal to a settlement counts it in."""
    assert score(value, *TEN).percentile == expected


def test_without_deviation_from_the_median_there_is_no_robust_z() -> None:
    """Nine equal rates and another: MAD is 0, and z stands alone."""
    rates = [*[1.0] * 9, 3.0]
    assert stats_of(*rates).mad == 0.0
    z, robust_z, percentile = score(2.0, *rates)
    assert z is not None
    assert (robust_z, percentile) == (None, 0.9)


@pytest.mark.parametrize("samples", [0, 1, 2, 9])
def test_fewer_than_ten_settlements_give_no_z(samples: int) -> None:
    """Mean and deviation may be known; a score is not given."""
    stats = stats_of(*TEN[:samples])
    assert stats.samples == samples
    assert z_of(5.0, stats) is None
    assert score(5.0, *TEN[:samples]) == (None, None, None)


def test_without_a_baseline_there_is_no_z() -> None:
    """A contract that has never settled."""
    assert z_of(5.0, None) is None
    assert Baseline().score(5.0, None) == (None, None, None)
    assert Baseline().score(5.0, Baseline().statistics(HOUR_US)) == (None, None, None)


@pytest.mark.parametrize("rate", [0.0000125, 0.0001, -0.00375, 0.0, 1 / 3])
@pytest.mark.parametrize("samples", [10, 180, 1000])
def test_a_constant_series_never_gives_a_z(rate: float, samples: int) -> None:
    """The mean of equal doubles may miss them by a residue; z must not be a division by it."""
    stats = stats_of(*[rate] * samples)
    assert (stats.mean, stats.std, stats.mad) == (rate, 0.0, 0.0)
    for value in (rate, rate * 1.5 + 1e-9, -1.0):
        assert score(value, *[rate] * min(samples, 90)) == (None, None, None)
        assert z_of(value, stats) is None


@pytest.mark.parametrize("hours", [1.0, 2.0, 3.0, 4.0, 6.0, 12.0, 24.0])
def test_a_series_is_constant_also_after_scaling(hours: float) -> None:
    """0.00000008 at 8 h and 0.00000003 at 3 h differ in the last bit of rate_8h: still constant."""
    baseline = Baseline()
    for index in range(60):
        interval = hours if index % 2 else 8.0
        at = HOUR_US - (60 - index) * 8 * US_PER_HOUR
        baseline.add(at, float(f"{8e-8 * interval / 8.0:.8f}"), interval, NOTHING, index)
    stats = baseline.statistics(HOUR_US)
    assert stats.samples == 60
    assert z_of(0.0002, stats) is None


def test_the_smallest_real_difference_is_no_residue() -> None:
    """Rates of eight decimals that differ in the last one are a baseline with a z."""
    assert z_of(0.03, stats_of(*[0.02999999, 0.03] * 10)) is not None


def test_the_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    """(H − 30 d, H]: a settlement at H counts, one at H − 30 d does not."""
    baseline = Baseline()
    edges = (HOUR_US - WINDOW_US, HOUR_US - WINDOW_US + 1, HOUR_US, HOUR_US + 1)
    for index, at in enumerate(edges):
        baseline.add(at, float(index), 8.0, NOTHING, index)
    assert window_of(baseline) == [1.0, 2.0]


def test_a_settlement_counts_once() -> None:
    """The same funding time again tells nothing."""
    baseline = filled([0.1, 0.2, 0.3])
    assert baseline.add(HOUR_US - 8 * US_PER_HOUR, 0.2, None, NOTHING, 99) == []
    assert [s.rate for s in baseline.settled] == [0.1, 0.2, 0.3]
    assert len(baseline) == 3


def test_a_history_that_is_restated_counts() -> None:
    """A later answer of the exchange replaces an earlier one; the interval stays."""
    baseline = filled([0.1, 0.2, 0.3])
    known = baseline.settled[1]
    (change,) = baseline.add(known.funding_time, 0.9, None, NOTHING, 99)
    assert change == Change(known._replace(rate=0.9, raw_offset=99), known)
    assert [s.rate for s in baseline.settled] == [0.1, 0.9, 0.3]


def test_settlements_are_ordered_by_funding_time() -> None:
    """History comes in whatever order its pages do."""
    baseline = Baseline()
    for days in (3, 1, 2, 0):
        baseline.add(HOUR_US - days * US_PER_DAY, float(days), 8.0, NOTHING, days)
    assert [s.rate for s in baseline.settled] == [3.0, 2.0, 1.0, 0.0]


def test_what_is_older_than_is_kept_is_forgotten() -> None:
    """Four days beyond the window, counted from the newest; what comes later is refused."""
    baseline = Baseline()
    oldest = HOUR_US - KEPT_US
    for at in (oldest, oldest + 1, HOUR_US - US_PER_DAY):
        baseline.add(at, 0.1, 8.0, NOTHING, 1)
    assert baseline.settled[0].funding_time == oldest
    baseline.add(HOUR_US, 0.1, 8.0, NOTHING, 2)
    assert baseline.settled[0].funding_time == oldest + 1
    assert baseline.add(oldest, 0.1, 8.0, NOTHING, 3) == []
    assert baseline.add(oldest + 2, 0.1, 8.0, NOTHING, 3)


def test_an_interval_of_its_own_wins() -> None:
    """Where the exchange says it with the settlement."""
    baseline = filled([0.1])
    change = baseline.add(HOUR_US + 4 * US_PER_HOUR, 0.1, 2.0, NOTHING, 9)[0]
    assert change.settled.interval == (2.0, "payload", False)


def test_a_change_of_interval_rewrites_nothing() -> None:
    """From 8 h to 1 h: each settlement is scaled by its own interval."""
    baseline = filled([0.0008, 0.0008, 0.0008])
    for hours in (1, 2, 3):
        baseline.add(HOUR_US + hours * US_PER_HOUR, 0.0001, None, NOTHING, 50 + hours)
    assert [s.interval_hours for s in baseline.settled] == [8.0, 8.0, 8.0, 1.0, 1.0, 1.0]
    assert window_of(baseline, HOUR_US + 3 * US_PER_HOUR) == pytest.approx([0.0008] * 6, rel=1e-15)


def test_a_settlement_of_a_doubtful_interval_is_in_no_statistics() -> None:
    """Until what comes after it settles the doubt: the clock has moved, the interval has not."""
    baseline = filled([0.1] * 5)
    at = HOUR_US + 4 * US_PER_HOUR
    (change,) = baseline.add(at, 0.2, None, NOTHING, 50)
    assert change.settled.doubtful
    assert window_of(baseline, at) == [0.1] * 5
    new, corrected = baseline.add(at + 8 * US_PER_HOUR, 0.2, None, NOTHING, 51)
    assert new.before is None
    assert corrected.settled == Settled(at, 0.2, 8.0, 51, "history", "observed")
    assert window_of(baseline, at) == [0.1] * 5 + [0.2]


def test_holes_are_told_until_they_are_filled() -> None:
    """How many settlements are missing; a move of the clock by less than the interval is none."""
    baseline = filled([0.1, 0.1])
    later = HOUR_US + 24 * US_PER_HOUR
    baseline.add(later, 0.1, None, NOTHING, 8)
    assert baseline.holes_around(later) == [Hole(HOUR_US, later, 2)]
    filling = HOUR_US + 8 * US_PER_HOUR
    assert baseline.hole_over(filling) == Hole(HOUR_US, later, 2)
    baseline.add(filling, 0.1, None, NOTHING, 9)
    assert baseline.holes_around(filling) == [Hole(filling, later, 1)]
    assert baseline.hole_over(filling) is None
    baseline.add(later + 4 * US_PER_HOUR, 0.1, 8.0, NOTHING, 10)
    assert baseline.holes_around(later + 4 * US_PER_HOUR) == []


def test_special_settlements_stand_beside_the_baseline() -> None:
    """At the same time as a regular one; once, in no statistics, and stored."""
    baseline = filled([0.1] * 9 + [0.2])
    before = baseline.statistics(HOUR_US)
    stamp = HOUR_US + 9_000
    special = Special(stamp, HOUR_US, -0.2, 70)
    assert baseline.add_special(stamp, HOUR_US, -0.2, 70) == special
    assert baseline.add_special(stamp, HOUR_US, -0.2, 71) is None
    assert baseline.statistics(HOUR_US) == before
    assert restored(baseline, 70).specials == [special]
    assert restored(baseline, 69).specials == []


def test_two_special_settlements_of_one_minute_are_two() -> None:
    """Each keeps its place, however often they come."""
    baseline = filled([0.1])
    first = baseline.add_special(HOUR_US + 2_000, HOUR_US, -0.001, 70)
    second = baseline.add_special(HOUR_US + 9_000, HOUR_US, -0.002, 71)
    assert first is not None
    assert second is not None
    assert (first.funding_time, second.funding_time) == (HOUR_US, HOUR_US + 9_000)
    assert baseline.add_special(HOUR_US + 2_000, HOUR_US, -0.001, 72) is None
    assert baseline.add_special(HOUR_US + 9_000, HOUR_US, -0.002, 72) is None
    restated = baseline.add_special(HOUR_US + 2_000, HOUR_US, -0.003, 73)
    assert restated == Special(HOUR_US + 2_000, HOUR_US, -0.003, 73)


def test_a_copy_that_states_the_interval_counts_for_that() -> None:
    """Also where its rate does not: the history was there before the stream."""
    baseline = filled([0.1, 0.1])
    at = HOUR_US + 4 * US_PER_HOUR
    baseline.add(at, 0.1, None, NOTHING, 9)
    (change,) = baseline.add(at, 0.1, 8.0, NOTHING, 10, "stream")
    assert change.settled.interval == (8.0, "payload", False)
    assert baseline.add(at, 0.1, 8.0, NOTHING, 11, "stream") == []


def test_a_new_life_counts_its_own_settlements_alone() -> None:
    """Those of the earlier contract with that ticker are kept, and in no statistics."""
    baseline = filled([0.1] * 9 + [0.2])
    baseline.begin_life(HOUR_US)
    assert window_of(baseline) == [0.2]
    assert len(baseline) == 10


def test_the_newest_interval_is_that_of_the_newest_settlement() -> None:
    """With its doubt; none of an earlier contract with that ticker."""
    assert Baseline().newest_interval() is None
    baseline = filled([0.1, 0.2], 4.0)
    assert baseline.newest_interval() == (4.0, "observed", False)
    baseline.add(HOUR_US + 2 * US_PER_HOUR, 0.1, None, NOTHING, 9)
    newest = baseline.newest_interval()
    assert newest is not None
    assert newest.doubtful
    baseline.begin_life(HOUR_US + 3 * US_PER_HOUR)
    assert baseline.newest_interval() is None


def test_a_settlement_that_comes_late_corrects_its_neighbours() -> None:
    """The history may come newest first; both are told, and a crash before it restores the old."""
    baseline = Baseline()
    (first,) = baseline.add(HOUR_US, 0.1, None, NOTHING, 1)
    assert first.settled.interval == (8.0, "assumed", True)
    new = baseline.add(HOUR_US - US_PER_HOUR, 0.2, None, NOTHING, 2)
    assert [change.settled for change in new] == [
        Settled(HOUR_US - US_PER_HOUR, 0.2, 1.0, 2, "history", "observed"),
        Settled(HOUR_US, 0.1, 1.0, 2, "history", "observed"),
    ]
    assert baseline.settled == [change.settled for change in new]
    assert restored(baseline, 1).settled == [first.settled]


def test_an_interval_that_the_exchange_says_is_not_corrected() -> None:
    """Whatever stands before it."""
    baseline = Baseline()
    baseline.add(HOUR_US, 0.1, 4.0, NOTHING, 1)
    assert len(baseline.add(HOUR_US - US_PER_HOUR, 0.2, None, NOTHING, 2)) == 1
    assert baseline.settled[1].interval_hours == 4.0


def test_what_is_listed_later_for_an_earlier_time_corrects() -> None:
    """Facts that come after the settlements that they are about."""
    baseline, evidence = filled([0.1] * 4, 1.0), IntervalEvidence()
    baseline.add(HOUR_US + US_PER_HOUR, 0.1, None, NOTHING, 50)
    evidence.note_listed(8.0, HOUR_US + 1)
    # The coming settlement is on the grid of 8 h only if it is at 00:00, 08:00 or 16:00.
    assert HOUR_US % (8 * US_PER_HOUR) == 0
    assert baseline.revise(evidence, HOUR_US + 1, 60)
    assert baseline.settled[-1].doubtful


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_history_counts_more_than_the_stream(rate: float) -> None:
    """The same rate is confirmed without a word, another one is told."""
    baseline = Baseline()
    baseline.add(HOUR_US, 0.1, 8.0, NOTHING, 5, "stream")
    new = baseline.add(HOUR_US, rate, 8.0, NOTHING, 6, "history")
    assert [c.settled for c in new] == ([] if rate == 0.1 else [Settled(HOUR_US, rate, 8.0, 6)])
    assert baseline.settled == [Settled(HOUR_US, rate, 8.0, 6)]


def test_statistics_are_cached_within_an_hour() -> None:
    """The same object, until the hour or the settlements change."""
    baseline = filled([0.1] * 9 + [0.2])
    first = baseline.statistics(HOUR_US)
    assert baseline.statistics(HOUR_US) is first


def test_statistics_are_refreshed_on_the_hour() -> None:
    """The oldest settlement leaves the window as the hour advances."""
    baseline = filled([float(i) for i in range(90)])
    assert baseline.statistics(HOUR_US).samples == 90
    later = baseline.statistics(HOUR_US + 8 * US_PER_HOUR)
    assert (later.samples, later.as_of) == (89, HOUR_US + 8 * US_PER_HOUR)
    assert baseline.window()[0] == 1.0


def test_statistics_are_refreshed_by_a_settlement() -> None:
    """Within the hour; one that is known already changes nothing."""
    baseline = filled([0.1, 0.2, 0.3])
    before = baseline.statistics(HOUR_US)
    baseline.add(HOUR_US, 0.3, None, NOTHING, 50)
    assert baseline.statistics(HOUR_US) is before
    baseline.add(HOUR_US - US_PER_DAY, 0.9, 8.0, NOTHING, 51)
    assert baseline.statistics(HOUR_US).samples == 4


def test_a_derived_settlement_gives_way() -> None:
    """What the exchange says of the same time replaces it, once; never the other way round."""
    baseline = Baseline()
    assert baseline.add(HOUR_US, 0.1, 1.0, NOTHING, 5, "derived")
    assert baseline.add(HOUR_US, 0.3, 1.0, NOTHING, 6, "derived") == []
    (change,) = baseline.add(HOUR_US, 0.2, 1.0, NOTHING, 7, "history")
    assert change.settled == Settled(HOUR_US, 0.2, 1.0, 7)
    assert baseline.add(HOUR_US, 0.1, 1.0, NOTHING, 8, "derived") == []
    assert baseline.add(HOUR_US, 0.4, 1.0, NOTHING, 9, "stream") == []
    assert [s.rate for s in baseline.settled] == [0.2]


def test_the_cached_statistics_of_1260_contracts_fit_200_kib() -> None:
    """The object and its numbers; whole numbers below 256 and the hour are shared."""
    stats = stats_of(*(index / 7 for index in range(90)))
    own = [stats, stats.mean, stats.std, stats.median, stats.mad]
    assert 1_260 * sum(map(sys.getsizeof, own)) <= 200 * 1024
