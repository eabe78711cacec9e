"""The settlements of the 30 days before an hour, of a baseline's columns, and their statistics."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from schemas.rates import REFERENCE_INTERVAL_HOURS
from schemas.times import US_PER_DAY
from stream_app.core.scoring.settlement import DOUBTFUL
from stream_app.core.scoring.statistics import Statistics, statistics_of

WINDOW_US = 30 * US_PER_DAY
Columns: TypeAlias = "tuple[array[int], array[float], array[float], array[int], array[int]]"
"""Funding times, rates, hours, raw offsets, and codes (`code_of`), oldest first."""
Floats: TypeAlias = npt.NDArray[np.float64]


class Computed(NamedTuple):
    """The statistics of an hour, and the settlements that they are of."""

    stats: Statistics
    window: slice
    some_doubtful: bool
    """Some in the window are left out, as their interval is in doubt."""


NOTHING = Computed(Statistics(-1, 0, None, None, None, None), slice(0, 0), some_doubtful=False)
"""Before statistics are asked for."""


def statistics_in(columns: Columns, life_since: int, hour: int) -> Computed:
    """Return the statistics over (hour − 30 d, hour], not before `life_since` (µs)."""
    times = columns[0]
    earliest = max(hour - WINDOW_US + 1, life_since)
    window = slice(bisect_left(times, earliest), bisect_right(times, hour))
    some_doubtful = bool(np.logical_or.reduce(_doubtful(columns, window)))
    rates = _rates_8h(columns, window, some_doubtful=some_doubtful)
    return Computed(statistics_of(rates, hour), window, some_doubtful)


def rates_8h(columns: Columns, computed: Computed) -> Floats:
    """Return the rates per 8 h that statistics are over, oldest first."""
    return _rates_8h(columns, computed.window, some_doubtful=computed.some_doubtful)


def _rates_8h(columns: Columns, window: slice, *, some_doubtful: bool) -> Floats:
    _, rates, hours, _, _ = columns
    # No view may outlive this: an array with an exported buffer cannot grow. As `rate_8h` computes
    # it, so that the two agree to the last bit.
    scaled: Floats = np.frombuffer(rates)[window] * REFERENCE_INTERVAL_HOURS
    scaled /= np.frombuffer(hours)[window]
    return scaled[~_doubtful(columns, window)] if some_doubtful else scaled


def _doubtful(columns: Columns, window: slice) -> npt.NDArray[np.bool_]:
    """Return of each settlement in a window whether its interval is in doubt."""
    codes = np.frombuffer(columns[4], dtype=np.int8)[window]
    doubtful: npt.NDArray[np.bool_] = (codes & DOUBTFUL) != 0
    return doubtful
