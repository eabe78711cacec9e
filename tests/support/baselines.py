"""Baselines for tests: filled at even times, stored and read again."""

from __future__ import annotations

from schemas.times import US_PER_HOUR
from stream_app.core.scoring import baseline_codec
from stream_app.core.scoring.baseline import Baseline
from stream_app.core.scoring.interval_evidence import IntervalEvidence

HOUR_US = 1_791_273_600_000_000
NOTHING = IntervalEvidence()
assert HOUR_US % US_PER_HOUR == 0


def filled(rates: list[float], interval_hours: float = 8.0, offset: int = 5) -> Baseline:
    """A baseline whose newest settlement is at HOUR_US."""
    baseline = Baseline()
    step = round(interval_hours * US_PER_HOUR)
    for index, rate in enumerate(rates):
        at = HOUR_US - (len(rates) - 1 - index) * step
        assert baseline.add(at, rate, None, NOTHING, offset + index)
    return baseline


def unpacked(data: bytes, up_to_offset: int) -> Baseline:
    """A stored baseline as a restart finds it."""
    return baseline_codec.unpack(data, up_to_offset)[0]


def restored(baseline: Baseline, up_to_offset: int) -> Baseline:
    """A baseline after a restart."""
    return unpacked(baseline_codec.pack(baseline), up_to_offset)
