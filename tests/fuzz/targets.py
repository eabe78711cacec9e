"""What the fuzzers run, without a fuzzer: one input, read or refused, and what must hold then."""

from __future__ import annotations

import math
from collections.abc import Sequence

from schemas.errors import MalformedInputError
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Unreadable,
    Update,
)
from tests.fuzz.samples import SAMPLES, normaliser_of
from tests.venues.samples import RECEIVED_AT_US, Sample


def read_or_refuse(sample: Sample, payload: bytes, received_at_us: int) -> Sequence[Update]:
    """Read a payload in the place of a sample's; whatever is read is usable by the core."""
    try:
        readings = normaliser_of(sample.feed)(
            sample.purpose, sample.channel, sample.symbol, payload, received_at_us
        )
    except MalformedInputError:
        return ()
    for reading in readings:
        check(reading, sample)
    return readings


def check(reading: Update, sample: Sample) -> None:
    """What the core relies on."""
    assert reading.symbol == sample.symbol
    if isinstance(reading, NoRate | Unreadable):
        assert reading.reason
        return
    hours = reading.interval_hours
    assert hours is None or 0 < hours <= 24
    if isinstance(reading, InstrumentUpdate):
        for bound in (reading.rate_cap, reading.rate_floor, reading.multiplier):
            assert bound is None or math.isfinite(bound)
        return
    assert math.isfinite(reading.rate)
    assert math.copysign(1.0, reading.rate) == 1.0 or reading.rate < 0.0
    if isinstance(reading, SettlementUpdate):
        _check_time(reading.funding_time_raw)
        return
    assert isinstance(reading, RateUpdate)
    if reading.event_time is not None:
        _check_time(reading.event_time)
    for quoted in (reading.mark_price, reading.index_price):
        assert quoted is None or (math.isfinite(quoted) and quoted != 0.0)


def _check_time(at_us: int) -> None:
    """Microseconds, as plain integers."""
    assert type(at_us) is int
    assert 0 < at_us < 2**63


def normalise_input(data: bytes) -> None:
    """Read an input whose first byte chooses the sample that the rest stands in for."""
    if data:
        sample = SAMPLES[data[0] % len(SAMPLES)]
        read_or_refuse(sample, data[1:], RECEIVED_AT_US)


def normalise_seeds() -> list[bytes]:
    """One valid input for each sample."""
    return [bytes([index]) + sample.payload for index, sample in enumerate(SAMPLES)]
