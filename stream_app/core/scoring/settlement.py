"""One settlement, what may become of it, and how a baseline stores where it was learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.records import IntervalSource, SettlementSource
from stream_app.core.scoring.settled_intervals import Interval

SOURCES: Sequence[SettlementSource] = ("history", "stream", "derived")
"""Most trusted first. State stores their position, so new ones may only be appended."""
INTERVAL_SOURCES: Sequence[IntervalSource] = ("payload", "exchange_info", "observed", "assumed")
"""State stores their position, so new ones may only be appended."""
FROM_HISTORY = SOURCES.index("history")
SOURCE_BITS = 0b11
"""Of a code: the position of the source."""
_INTERVAL_SHIFT = 2
DOUBTFUL = 1 << 5
OBSERVED_IN_HISTORY = INTERVAL_SOURCES.index("observed") << _INTERVAL_SHIFT


class Settled(NamedTuple):
    """One settlement. `raw_offset` tells from which raw record it was learnt."""

    funding_time: int
    rate: float
    interval_hours: float
    raw_offset: int
    source: SettlementSource = "history"
    interval_source: IntervalSource = "payload"
    doubtful: bool = False
    """The evidence about the interval is contradictory or missing."""

    @property
    def interval(self) -> Interval:
        """The interval with what is known of it."""
        return Interval(self.interval_hours, self.interval_source, self.doubtful)


class Special(NamedTuple):
    """A special settlement: known by the exchange's stamp, published under its funding time; µs."""

    stamp: int
    funding_time: int
    rate: float
    raw_offset: int


class Change(NamedTuple):
    """A settlement that is new, or known better than before. `before` None: it is new."""

    settled: Settled
    before: Settled | None = None


class Hole(NamedTuple):
    """A time between two neighbouring settlements in which `missing` others were due; µs."""

    since: int
    until: int
    missing: int


def code_of(entry: Settled) -> int:
    """Return the small integer that holds source, interval source and doubt of a settlement."""
    code = SOURCES.index(entry.source)
    code |= INTERVAL_SOURCES.index(entry.interval_source) << _INTERVAL_SHIFT
    return code | (DOUBTFUL if entry.doubtful else 0)


def decoded(code: int) -> tuple[SettlementSource, IntervalSource, bool]:
    """Return what a code holds. Raises IndexError if it is none."""
    interval_code = (code & ~DOUBTFUL) >> _INTERVAL_SHIFT
    return SOURCES[code & SOURCE_BITS], INTERVAL_SOURCES[interval_code], bool(code & DOUBTFUL)


CODES = frozenset(
    code_of(Settled(0, 0.0, 1.0, 0, source, interval_source, doubtful))
    for source in SOURCES
    for interval_source in INTERVAL_SOURCES
    for doubtful in (False, True)
)
"""All codes that there are."""
