"""Statistics of a baseline, and the scores of a rate against them.

The formulas and their reasons are in docs/decisions/baseline-and-z.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.records import Confidence

ROUNDING = 1e-12
"""Relative spread below which rates count as equal: scaling them to 8 h rounds the last digits."""
MIN_SAMPLES = 10
_CONFIDENCE: tuple[tuple[int, Confidence], ...] = (
    (MIN_SAMPLES, "none"),
    (30, "low"),
    (90, "medium"),
    (180, "high"),
)
MAD_TO_SIGMA = 0.67449
"""Third quartile of the normal distribution, by which robust_z is comparable to z (Iglewicz and
Hoaglin, 1993)."""


def confidence_of(samples: int) -> Confidence:
    """Grade a baseline by its number of settlements."""
    for below, grade in _CONFIDENCE:
        if samples < below:
            return grade
    return "very_high"


class Statistics(msgspec.Struct, frozen=True, gc=False):
    """Statistics of a baseline at hour `as_of` (µs), of rates per 8 h as fractions.

    One is kept for every contract, so it is small: 160 bytes with its numbers. A constant baseline
    has a `std` of exactly 0, however its rates are rounded.
    """

    as_of: int
    samples: int
    mean: float | None
    std: float | None
    median: float | None
    mad: float | None

    @property
    def confidence(self) -> Confidence:
        """How far the statistics can be trusted, by the number of samples."""
        return confidence_of(self.samples)

    @property
    def usable(self) -> bool:
        """False where z must be null: too few samples, or all of them equal.

        A division by a rounding residue would give a huge z.
        """
        return self.samples >= MIN_SAMPLES and bool(self.std)


class Score(NamedTuple):
    """The scores of one rate against a baseline."""

    z: float | None
    robust_z: float | None
    percentile: float | None


UNRATED = Score(None, None, None)


def statistics_of(rates_8h: npt.NDArray[np.float64], as_of: int) -> Statistics:
    """Compute the statistics of settled rates (rate_8h, any order): two-pass, float64, n − 1."""
    samples = int(rates_8h.size)
    if samples == 0:
        return Statistics(as_of, 0, None, None, None, None)
    ordered = np.sort(rates_8h)
    low, high = ordered.item(0), ordered.item(samples - 1)
    if high - low <= ROUNDING * max(abs(low), abs(high)):
        return Statistics(as_of, samples, low, 0.0 if samples > 1 else None, low, 0.0)
    # The ufuncs themselves, as numpy.mean, .sum and .sqrt call them: the same numbers for half the
    # time, which every contract takes at each full hour.
    mean = float(np.add.reduce(rates_8h)) / samples
    median = _median(ordered, samples)
    deviations = ordered - median
    np.absolute(deviations, out=deviations)
    deviations.sort()
    squares = rates_8h - mean
    np.multiply(squares, squares, out=squares)
    return Statistics(
        as_of,
        samples,
        mean,
        sqrt(float(np.add.reduce(squares)) / (samples - 1)),
        median,
        _median(deviations, samples),
    )


def _median(ordered: npt.NDArray[np.float64], samples: int) -> float:
    """Return the median of sorted values, as numpy.median computes it."""
    middle = samples // 2
    if samples % 2:
        return ordered.item(middle)
    return (ordered.item(middle - 1) + ordered.item(middle)) / 2.0


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value below which a share of ascending values lies; None if there is none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def z_of(value: float, stats: Statistics | None) -> float | None:
    """Return z of a rate_8h, or None without a usable baseline."""
    if stats is None or stats.mean is None or not stats.std or stats.samples < MIN_SAMPLES:
        return None
    return (value - stats.mean) / stats.std


def robust_z_of(value: float, stats: Statistics | None) -> float | None:
    """Return robust z of a rate_8h; None without a usable baseline, or where MAD is 0."""
    if stats is None or not stats.usable or stats.median is None or not stats.mad:
        return None
    return MAD_TO_SIGMA * (value - stats.median) / stats.mad


def percentile_of(value: float, window: npt.NDArray[np.float64]) -> float:
    """Return the share of the settled rates, at least one, that are at most `value` (rate_8h)."""
    return int(np.count_nonzero(window <= value)) / int(window.size)
