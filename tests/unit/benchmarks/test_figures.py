"""Medians with their spread, histograms, and how both are shown."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.figures import BUCKETS_MS, histogram, quantile, shown, spread


def test_a_spread_is_the_median_with_the_least_and_the_greatest() -> None:
    """Of runs in any order; of none there is none."""
    assert spread([3.26, 1.04, 9.0]) == {"median": 3.3, "min": 1.0, "max": 9.0, "runs": 3}
    assert spread([]) is None


def test_a_quantile_is_a_value_that_was_measured() -> None:
    """The last one at most."""
    values = [float(n) for n in range(100, 0, -1)]
    assert quantile(values, 0.5) == 51
    assert quantile(values, 0.99) == 100
    assert quantile([7.0], 0.99) == 7


def test_a_histogram_counts_each_value_in_the_bucket_that_it_does_not_exceed() -> None:
    """A bound belongs to its bucket; what is above all bounds has one of its own."""
    found = histogram([0.5, 2.0, 2.1, 40.0, BUCKETS_MS[-1] + 1.0])
    expected = [0] * (len(BUCKETS_MS) + 1)
    for bound, count in ((2, 2), (5, 1), (40, 1)):
        expected[BUCKETS_MS.index(bound)] = count
    expected[-1] = 1
    assert found["counts"] == expected
    assert (found["n"], found["p50"], found["max"]) == (5, 2.1, BUCKETS_MS[-1] + 1.0)
    assert histogram([])["p99"] is None


@pytest.mark.parametrize(
    ("found", "digits", "text"),
    [
        (None, None, "-"),
        (12.34, None, "12.3"),
        (1234.5, None, "1,234"),
        (1.234, 2, "1.23"),
        ({"median": 5.0, "min": 4.0, "max": 6.5, "runs": 3}, 1, "5.0 (4.0-6.5)"),
        ({"median": 5.0, "min": 5.0, "max": 5.0, "runs": 1}, 0, "5"),
    ],
)
def test_figures_are_shown_with_their_spread(found: Any, digits: int | None, text: str) -> None:
    """A single run has none."""
    assert shown(found, digits) == text
