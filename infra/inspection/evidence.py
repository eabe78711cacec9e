"""What is known about one z-score: the rows that are stored, and the settlements of its baseline.

Pure. reading.py fetches it, steps.py computes the score again, report.py shows both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from schemas.errors import FundingStreamError
from schemas.rates import rate_8h
from schemas.records import FundingRate, Purpose, Transport, ZScore
from stream_app.core.scoring.statistics import Statistics, statistics_of
from stream_app.core.scoring.window import WINDOW_US, Floats


class Settlement(NamedTuple):
    """A regular settlement in a baseline's window, as it is stored now. Times in UTC µs."""

    funding_time: int
    rate: float
    interval_hours: float
    source: str
    doubtful: bool
    """Its interval is in doubt, so it is in no statistics."""
    generation: int
    received_at: int
    raw_topic: str
    raw_partition: int
    raw_offset: int

    @property
    def rate_8h(self) -> float:
        """The rate per 8 h, a fraction."""
        return rate_8h(self.rate, self.interval_hours)


class Baseline(NamedTuple):
    """What a z-score was scored against, by the settlements as they are stored now."""

    stats: Statistics
    used: Sequence[Settlement]
    """Oldest first."""
    doubtful: int
    """Settlements that are left out because their interval is in doubt."""
    other_generations: int
    """Settlements that are left out because they are of another life of the ticker."""
    later: Sequence[Settlement]
    """Those of all three kinds that were stored or corrected after the z-score was computed."""

    @property
    def begin(self) -> int:
        """The window is (begin, stats.as_of], in UTC µs."""
        return self.stats.as_of - WINDOW_US

    @property
    def window(self) -> Floats:
        """The rates per 8 h, oldest first."""
        return np.array([one.rate_8h for one in self.used], dtype=np.float64)


class RawRecord(NamedTuple):
    """One item of a raw record: what the exchange has sent. `received_at` in UTC µs."""

    transport: Transport
    purpose: Purpose
    channel: str
    received_at: int
    payload: str
    """The first 64 KiB; what is no UTF-8 in it is replaced."""
    size_bytes: int
    is_cut: bool
    """The payload is longer than `payload`."""


class Evidence(NamedTuple):
    """All that is known about one z-score."""

    row: ZScore
    rate_row: FundingRate | None
    """The row of `rates` of the same raw item; None: it is not stored, or no longer."""
    previous: ZScore | None
    """The contract's z-score before this one; None: it is not stored, or no longer."""
    previous_rate: float | None
    """The rate of the contract's update before this one; None: it is not stored, or no longer."""
    baseline: Baseline | None
    """None: the rate was scored against nothing."""
    raw: RawRecord | None
    raw_missing: FundingStreamError | None
    """Why there is no `raw`."""


def baseline_of(row: ZScore, settlements: Sequence[Settlement]) -> Baseline | None:
    """Return the baseline of a z-score, of the regular settlements in its window, oldest first.

    None if the row says that it was scored against none.
    """
    as_of = row["stats_as_of"]
    if as_of is None:
        return None
    own = [one for one in settlements if one.generation == row["generation"]]
    used = [one for one in own if not one.doubtful]
    rates = np.array([one.rate_8h for one in used], dtype=np.float64)
    return Baseline(
        statistics_of(rates, as_of),
        used,
        len(own) - len(used),
        len(settlements) - len(own),
        [one for one in settlements if _is_later(one, row)],
    )


def _is_later(settlement: Settlement, row: ZScore) -> bool:
    """Whether a settlement, as it is stored, was learnt after the z-score's update.

    The worker takes a partition's records in their order, so the offset tells; without a common
    partition the time of receipt does.
    """
    theirs = settlement.raw_topic, settlement.raw_partition
    if theirs == (row["raw_topic"], row["raw_partition"]):
        return settlement.raw_offset > row["raw_offset"]
    return settlement.received_at > row["computed_at"]
