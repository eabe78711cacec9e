"""Writes runs of settlements (settled_runs.py) to baselines: all that are at hand, or none."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from stream_app.core.scoring.baseline import Baseline
from stream_app.core.scoring.settled_runs import KEPT_US, Run
from stream_app.core.scoring.settlement import OBSERVED_IN_HISTORY


class Addition(NamedTuple):
    """Settlements that are to be added to a baseline."""

    baseline: Baseline
    known: Sequence[array[Any]]
    """The columns of the baseline."""
    at: int
    """The position of the first of them."""
    columns: Sequence[Sequence[Any]]
    """As in `Baseline.columns`."""
    forgotten: int
    """How many of the oldest are too old then."""


def addition(
    baseline: Baseline, run: Run, times: Sequence[int], rates: Sequence[float], raw_offset: int
) -> Addition:
    """Return how settlements of the history are added together, as `new_run` has found."""
    known, count = baseline.columns, run.settlements
    oldest = max(known[0][-1], times[-1]) - KEPT_US
    if times[0] <= oldest:
        first = bisect_right(times, oldest)
        times, rates, count = times[first:], rates[first:], count - first
    forgotten = bisect_right(known[0], oldest) if known[0][0] <= oldest else 0
    hours, offsets, codes = [run.interval_hours], [raw_offset], [OBSERVED_IN_HISTORY]
    new = (times, rates, hours * count, offsets * count, codes * count)
    return Addition(baseline, known, run.at, new, forgotten)


def add_all(additions: Sequence[Addition]) -> None:
    """Add settlements to different baselines. This cannot fail by itself."""
    for each in additions:
        each.baseline.settlements_changed()
    for _, known, at, columns, forgotten in additions:
        for column, new in zip(known, columns, strict=True):
            if len(new) == 1:
                column.insert(at, new[0])
            else:
                column[at:at] = array(column.typecode, new)
            if forgotten:
                del column[:forgotten]
