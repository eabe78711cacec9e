"""The baseline of a contract: its settlements of 30 days, and the statistics over them.

Design §5.3. Pure. Not responsible for: when a refresh happens (partition.py), storage format of
other state (blocks.py).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import StateError
from schemas.rates import rate_8h
from schemas.records import Confidence
from schemas.times import US_PER_DAY, US_PER_HOUR

WINDOW_US = 30 * US_PER_DAY
# Kept beyond the window, so that a settlement that comes again is still recognised and a crash
# can be replayed over the edge of the window.
KEPT_US = 32 * US_PER_DAY
MAX_INTERVAL_US = 24 * US_PER_HOUR
ROUNDING = 1e-12
"""Relative spread up to which rates are equal: scaling from 3, 6 or 24 h to 8 leaves a residue."""
MIN_SAMPLES = 10
_CONFIDENCE: tuple[tuple[int, Confidence], ...] = (
    (MIN_SAMPLES, "none"),
    (30, "low"),
    (90, "medium"),
    (180, "high"),
)
MAD_TO_SIGMA = 0.67449
"""The normal distribution's third quartile: makes robust_z comparable to z (Iglewicz & Hoaglin)."""


def confidence_of(samples: int) -> Confidence:
    """Grade a baseline by its number of settlements."""
    for below, grade in _CONFIDENCE:
        if samples < below:
            return grade
    return "very_high"


class Statistics(msgspec.Struct, frozen=True):
    """Statistics of a baseline at hour `as_of` (µs); all of rate_8h, fractions.

    `usable` is False where z must be null: too few samples, or all of them equal (a division by a
    rounding residue would give a huge z).
    """

    as_of: int
    samples: int
    confidence: Confidence
    usable: bool
    mean: float | None
    std: float | None
    median: float | None
    mad: float | None
    ordered: npt.NDArray[np.float64]


class Score(NamedTuple):
    """One rate against a baseline."""

    z: float | None
    robust_z: float | None
    percentile: float | None


def statistics_of(rates_8h: npt.NDArray[np.float64], as_of: int) -> Statistics:
    """Compute the statistics of settled rates (rate_8h, any order): two-pass, float64, n − 1."""
    samples = int(rates_8h.size)
    ordered = np.sort(rates_8h)
    if samples == 0:
        return Statistics(as_of, 0, "none", False, None, None, None, None, ordered)
    if ordered[-1] - ordered[0] <= ROUNDING * max(abs(ordered[0]), abs(ordered[-1])):
        value = float(ordered[0])
        std = 0.0 if samples > 1 else None
        return Statistics(
            as_of, samples, confidence_of(samples), False, value, std, value, 0.0, ordered
        )
    mean = float(rates_8h.mean())
    median = float(np.median(ordered))
    return Statistics(
        as_of,
        samples,
        confidence_of(samples),
        samples >= MIN_SAMPLES,
        mean,
        float(np.sqrt(np.square(rates_8h - mean).sum() / (samples - 1))),
        median,
        float(np.median(np.abs(ordered - median))),
        ordered,
    )


def z_of(value: float, stats: Statistics | None) -> float | None:
    """Return z of a rate_8h, or None without a usable baseline."""
    if stats is None or not stats.usable or stats.mean is None or not stats.std:
        return None
    return (value - stats.mean) / stats.std


def score(value: float, stats: Statistics | None) -> Score:
    """Return z, robust z and percentile of a rate_8h. All None without a usable baseline."""
    z = z_of(value, stats)
    if z is None or stats is None or stats.median is None:
        return Score(None, None, None)
    robust = MAD_TO_SIGMA * (value - stats.median) / stats.mad if stats.mad else None
    at_most = int(np.searchsorted(stats.ordered, value, side="right"))
    return Score(z, robust, at_most / stats.samples)


class Settled(NamedTuple):
    """One settlement of a baseline. `raw_offset` tells from which raw record it was learnt."""

    funding_time: int
    rate: float
    interval_hours: float
    raw_offset: int


class _Packed(msgspec.Struct, array_like=True):
    version: int
    settled: list[Settled]


class Baseline:
    """The settlements of one contract, ordered by funding time, at most KEPT_US back."""

    VERSION = 1

    def __init__(self, settled: Iterable[Settled] = ()) -> None:
        self.settled: list[Settled] = sorted(settled)
        self._stats: Statistics | None = None

    def __len__(self) -> int:
        return len(self.settled)

    def add(
        self,
        funding_time: int,
        rate: float,
        interval_hours: float | None,
        contract_interval_hours: float,
        raw_offset: int,
    ) -> Settled | None:
        """Add a settlement and return it; None if its funding time is known or too old.

        Without an `interval_hours` of its own, it is the time since the settlement before (whole
        hours), else the contract's.
        """
        settled = self.settled
        if settled and funding_time <= settled[-1].funding_time - KEPT_US:
            return None
        at = bisect_left(settled, (funding_time,))
        if at < len(settled) and settled[at].funding_time == funding_time:
            return None
        if interval_hours is None:
            interval_hours = contract_interval_hours
            if at and (whole := _whole_hours(funding_time - settled[at - 1].funding_time)):
                interval_hours = whole
        entry = Settled(funding_time, rate, interval_hours, raw_offset)
        insort(settled, entry)
        oldest = settled[-1].funding_time - KEPT_US
        if settled[0].funding_time <= oldest:
            del settled[: bisect_left(settled, (oldest + 1,))]
        self._stats = None
        return entry

    def statistics(self, hour: int) -> Statistics:
        """Return the statistics over (hour − 30 d, hour], cached until a settlement arrives."""
        stats = self._stats
        if stats is None or stats.as_of != hour:
            low = bisect_left(self.settled, (hour - WINDOW_US + 1,))
            high = bisect_left(self.settled, (hour + 1,))
            window = np.array(
                [rate_8h(s.rate, s.interval_hours) for s in self.settled[low:high]],
                dtype=np.float64,
            )
            self._stats = stats = statistics_of(window, hour)
        return stats

    def observed_interval_hours(self) -> float | None:
        """Return the time between the two newest settlements, if it is a plausible interval."""
        if len(self.settled) < 2:
            return None
        return _whole_hours(self.settled[-1].funding_time - self.settled[-2].funding_time)

    def pack(self) -> bytes:
        """Return the bytes that `unpack` reads."""
        return msgspec.msgpack.encode(_Packed(self.VERSION, self.settled))

    @classmethod
    def unpack(cls, data: bytes, up_to_offset: int) -> Baseline:
        """Read what `pack` wrote, without what was learnt after raw offset `up_to_offset`.

        A baseline is stored before the block of its contract; after a crash between the two, the
        later settlements come again from the log, and the z-scores before them must not see them.

        Raises:
            StateError: the bytes are damaged or of a newer version.
        """
        try:
            packed = msgspec.msgpack.decode(data, type=_Packed)
        except msgspec.DecodeError as error:
            raise StateError(f"a stored baseline is damaged: {error}") from error
        if packed.version > cls.VERSION:
            raise StateError(
                f"a stored baseline has version {packed.version}, this program reads up to "
                f"{cls.VERSION}: run the newer fundingstream that wrote it"
            )
        return cls(entry for entry in packed.settled if entry.raw_offset <= up_to_offset)


def _whole_hours(duration_us: int) -> float | None:
    if not 0 < duration_us <= MAX_INTERVAL_US:
        return None
    hours = round(duration_us / US_PER_HOUR)
    return float(hours) if hours else None
