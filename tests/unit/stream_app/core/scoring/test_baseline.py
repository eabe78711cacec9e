"""The baseline of a contract: window, duplicates, intervals, statistics, storage
(docs/decisions/baseline-and-z.md).
"""

from __future__ import annotations

import math
import sys

import msgspec
import numpy as np
import pytest

from schemas.errors import StateError
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE
from stream_app.core.scoring.baseline import (
    KEPT_US,
    WINDOW_US,
    Baseline,
    Settled,
)
from stream_app.core.scoring.statistics import Score, Statistics, confidence_of, statistics_of, z_of

HOUR_US = 1_791_273_600_000_000
assert HOUR_US % US_PER_HOUR == 0


def filled(rates: list[float], interval_hours: float = 8.0, offset: int = 5) -> Baseline:
    """A baseline whose newest settlement is at HOUR_US."""
    baseline = Baseline()
    step = round(interval_hours * US_PER_HOUR)
    for index, rate in enumerate(rates):
        at = HOUR_US - (len(rates) - 1 - index) * step
        assert baseline.add(at, rate, None, interval_hours, offset + index) != ()
    return baseline


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
        baseline.add(at, float(f"{8e-8 * interval / 8.0:.8f}"), interval, 8.0, index)
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
        baseline.add(at, float(index), 8.0, 8.0, index)
    assert window_of(baseline) == [1.0, 2.0]


def test_a_settlement_counts_once() -> None:
    """The same funding time again is refused, also with another rate or interval."""
    baseline = filled([0.1, 0.2, 0.3])
    for rate in (0.2, 0.9):
        assert baseline.add(HOUR_US - 8 * US_PER_HOUR, rate, 4.0, 8.0, 99) == ()
    assert [s.rate for s in baseline.settled] == [0.1, 0.2, 0.3]
    assert len(baseline) == 3


def test_settlements_are_ordered_by_funding_time() -> None:
    """History comes in whatever order its pages do."""
    baseline = Baseline()
    for days in (3, 1, 2, 0):
        baseline.add(HOUR_US - days * US_PER_DAY, float(days), 8.0, 8.0, days)
    assert [s.rate for s in baseline.settled] == [3.0, 2.0, 1.0, 0.0]


def test_what_is_older_than_is_kept_is_forgotten() -> None:
    """Two days beyond the window, counted from the newest; what comes later is refused."""
    baseline = Baseline()
    oldest = HOUR_US - KEPT_US
    for at in (oldest, oldest + 1, HOUR_US - US_PER_DAY):
        baseline.add(at, 0.1, 8.0, 8.0, 1)
    assert baseline.settled[0].funding_time == oldest
    baseline.add(HOUR_US, 0.1, 8.0, 8.0, 2)
    assert baseline.settled[0].funding_time == oldest + 1
    assert baseline.add(oldest, 0.1, 8.0, 8.0, 3) == ()
    assert baseline.add(oldest + 2, 0.1, 8.0, 8.0, 3) != ()


@pytest.mark.parametrize(
    ("gap_us", "expected_hours"),
    [
        (8 * US_PER_HOUR, 8.0),
        (US_PER_HOUR, 1.0),
        (4 * US_PER_HOUR + US_PER_MINUTE, 4.0),
        (4 * US_PER_HOUR - US_PER_MINUTE, 4.0),
        (24 * US_PER_HOUR, 24.0),
        (24 * US_PER_HOUR + US_PER_MINUTE, 2.0),
        (48 * US_PER_HOUR, 2.0),
        (10 * US_PER_MINUTE, 2.0),
    ],
)
def test_a_settlements_interval_is_the_time_since_the_one_before(
    gap_us: int, expected_hours: float
) -> None:
    """In whole hours up to a day; beyond that, or under half an hour, it is the contract's (2)."""
    baseline = Baseline()
    baseline.add(HOUR_US, 0.1, None, 2.0, 1)
    (entry,) = baseline.add(HOUR_US + gap_us, 0.1, None, 2.0, 2)
    assert entry.interval_hours == expected_hours


def test_the_first_settlement_has_the_contracts_interval() -> None:
    """Nothing stands before it."""
    (entry,) = Baseline().add(HOUR_US, 0.1, None, 4.0, 1)
    assert entry == Settled(HOUR_US, 0.1, 4.0, 1, inferred=True)


def test_an_interval_of_its_own_wins() -> None:
    """Where the exchange says it with the settlement."""
    baseline = filled([0.1])
    (entry,) = baseline.add(HOUR_US + 4 * US_PER_HOUR, 0.1, 2.0, 8.0, 9)
    assert entry.interval_hours == 2.0


def test_a_change_of_interval_rewrites_nothing() -> None:
    """From 8 h to 1 h: each settlement is scaled by its own interval."""
    baseline = filled([0.0008, 0.0008])
    for hours in (1, 2, 3):
        baseline.add(HOUR_US + hours * US_PER_HOUR, 0.0001, None, 8.0, 50 + hours)
    assert [s.interval_hours for s in baseline.settled] == [8.0, 8.0, 1.0, 1.0, 1.0]
    assert window_of(baseline, HOUR_US + 3 * US_PER_HOUR) == pytest.approx([0.0008] * 5, rel=1e-15)


def test_the_observed_interval_is_the_shortest_of_the_newest() -> None:
    """None while there is one, and none from a gap of days; a missed settlement doubles nothing."""
    assert Baseline().observed_interval_hours() is None
    assert filled([0.1]).observed_interval_hours() is None
    assert filled([0.1, 0.2], 4.0).observed_interval_hours() == 4.0
    gap = filled([0.1])
    gap.add(HOUR_US + 3 * US_PER_DAY, 0.1, None, 8.0, 9)
    assert gap.observed_interval_hours() is None
    hole = filled([0.1, 0.2, 0.3])
    hole.add(HOUR_US + 16 * US_PER_HOUR, 0.1, None, 8.0, 9)
    assert hole.observed_interval_hours() == 8.0
    hole.add(HOUR_US + 20 * US_PER_HOUR, 0.1, None, 8.0, 9)
    assert hole.observed_interval_hours() == 4.0
    odd = filled([0.1])
    odd.add(HOUR_US + 16 * US_PER_HOUR, 0.1, None, 8.0, 9)
    assert odd.observed_interval_hours() is None


def test_a_settlement_that_comes_late_repairs_the_interval_behind_it() -> None:
    """The history may come newest first; both are told, and a crash before it restores the old."""
    baseline = Baseline()
    baseline.add(HOUR_US, 0.1, None, 8.0, 1)
    new = baseline.add(HOUR_US - US_PER_HOUR, 0.2, None, 8.0, 2)
    assert new == [
        Settled(HOUR_US - US_PER_HOUR, 0.2, 8.0, 2, inferred=True),
        Settled(HOUR_US, 0.1, 1.0, 2, inferred=True),
    ]
    assert baseline.settled == list(new)
    assert Baseline.unpack(baseline.pack(), 1).settled == [
        Settled(HOUR_US, 0.1, 8.0, 1, inferred=True)
    ]


def test_an_interval_that_the_exchange_says_is_not_repaired() -> None:
    """Nor one that is right already."""
    baseline = Baseline()
    baseline.add(HOUR_US, 0.1, 4.0, 8.0, 1)
    assert len(baseline.add(HOUR_US - US_PER_HOUR, 0.2, None, 8.0, 2)) == 1
    assert [s.interval_hours for s in baseline.settled] == [8.0, 4.0]


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_history_counts_more_than_the_stream(rate: float) -> None:
    """The same rate is confirmed without a word, another one is told."""
    baseline = Baseline()
    baseline.add(HOUR_US, 0.1, 8.0, 8.0, 5, "stream")
    new = baseline.add(HOUR_US, rate, 8.0, 8.0, 6, "history")
    assert new == (() if rate == 0.1 else (Settled(HOUR_US, rate, 8.0, 6),))
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
    baseline.add(HOUR_US, 0.9, 8.0, 8.0, 50)
    assert baseline.statistics(HOUR_US) is before
    baseline.add(HOUR_US - US_PER_HOUR, 0.9, 8.0, 8.0, 51)
    assert baseline.statistics(HOUR_US).samples == 4


def test_a_stored_baseline_comes_back() -> None:
    """Entry for entry, with their offsets."""
    baseline = filled([0.1, -0.0002, 1 / 3])
    settled = baseline.settled
    assert Baseline.unpack(baseline.pack(), 10**9).settled == settled


def test_what_was_learnt_after_the_blocks_offset_is_dropped() -> None:
    """It will come again from the log; scores before it must not see it."""
    stored = filled([0.1, 0.2, 0.3, 0.4], offset=5).pack()
    assert [s.rate for s in Baseline.unpack(stored, 6).settled] == [0.1, 0.2]
    assert len(Baseline.unpack(stored, 4)) == 0


def test_a_newer_version_is_refused() -> None:
    """An older program must not read newer state as garbage."""
    stored = msgspec.msgpack.encode([Baseline.VERSION + 1, [], {"what": "ever"}])
    with pytest.raises(StateError, match="newer fundingstream"):
        Baseline.unpack(stored, 1)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x93\x01", b"\x91\x01", b"\x92\x01\x91\x01", b"\x97\x02\xc4\x01a"]
)
def test_a_damaged_baseline_is_refused(data: bytes) -> None:
    """It is not taken for an empty one."""
    with pytest.raises(StateError, match="damaged"):
        Baseline.unpack(data, 1)


def test_a_derived_settlement_gives_way() -> None:
    """What the exchange says of the same time replaces it, once; never the other way round."""
    baseline = Baseline()
    assert baseline.add(HOUR_US, 0.1, 1.0, 8.0, 5, "derived") != ()
    assert baseline.add(HOUR_US, 0.3, 1.0, 8.0, 6, "derived") == ()
    assert baseline.add(HOUR_US, 0.2, 1.0, 8.0, 7, "history") == (Settled(HOUR_US, 0.2, 1.0, 7),)
    assert baseline.add(HOUR_US, 0.1, 1.0, 8.0, 8, "derived") == ()
    assert baseline.add(HOUR_US, 0.4, 1.0, 8.0, 9, "stream") == ()
    assert [s.rate for s in baseline.settled] == [0.2]


def test_a_crash_before_the_truth_restores_the_derived_one() -> None:
    """The record that replaced it comes again; until then z must see what it saw."""
    baseline = Baseline()
    baseline.add(HOUR_US, 0.1, 1.0, 8.0, 5, "derived")
    baseline.add(HOUR_US, 0.2, 1.0, 8.0, 7, "history")
    stored = baseline.pack()
    assert Baseline.unpack(stored, 6).settled == [Settled(HOUR_US, 0.1, 1.0, 5, "derived")]
    assert Baseline.unpack(stored, 7).settled == [Settled(HOUR_US, 0.2, 1.0, 7)]
    assert Baseline.unpack(stored, 4).settled == []


def test_state_of_version_1_is_read() -> None:
    """Rows instead of columns, and all of them from history."""
    rows = [(HOUR_US - US_PER_HOUR, 0.1, 8.0, 3), (HOUR_US, -0.2, 1.0, 4)]
    stored = msgspec.msgpack.encode([1, rows])
    assert Baseline.unpack(stored, 9).settled == [Settled(*row) for row in rows]
    assert Baseline.unpack(stored, 3).settled == [Settled(*rows[0])]


def test_the_cached_statistics_of_1260_contracts_fit_200_kib() -> None:
    """The object and its numbers; whole numbers below 256 and the hour are shared."""
    stats = stats_of(*(index / 7 for index in range(90)))
    own = [stats, stats.mean, stats.std, stats.median, stats.mad]
    assert 1_260 * sum(map(sys.getsizeof, own)) <= 200 * 1024
