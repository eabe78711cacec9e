"""The baseline of a contract: its settlements of 30 days, and the form in which they are stored.

See docs/decisions/baseline-and-z.md.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import StateError
from schemas.rates import REFERENCE_INTERVAL_HOURS
from schemas.records import SettlementSource
from schemas.times import US_PER_DAY, US_PER_HOUR
from stream_app.core.scoring.statistics import (
    UNRATED,
    Score,
    Statistics,
    robust_z_of,
    statistics_of,
    z_of,
)

WINDOW_US = 30 * US_PER_DAY
KEPT_US = 32 * US_PER_DAY
"""Longer than the window, so that a settlement that is delivered again is still recognised, and a
replay after a crash may reach back over the edge of the window."""
MAX_INTERVAL_US = 24 * US_PER_HOUR
_SOURCES: tuple[SettlementSource, ...] = ("history", "stream", "derived")
"""Most trusted first. State stores their position, so new ones may only be appended."""
_INFERRED = 64
"""Bit beside the stored source: the interval was inferred, not stated by the exchange."""
OBSERVED_GAPS = 3
"""How many of the newest gaps an observed interval is the shortest of, so that one missed
settlement does not double it."""
PLAUSIBLE_HOURS = frozenset({1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0})


class Settled(NamedTuple):
    """One settlement of a baseline. `raw_offset` tells from which raw record it was learnt."""

    funding_time: int
    rate: float
    interval_hours: float
    raw_offset: int
    source: SettlementSource = "history"
    inferred: bool = False
    """The interval follows from the settlement before, or from the contract's."""


class _Versioned(msgspec.Struct, array_like=True):
    version: int


class _PackedV1(msgspec.Struct, array_like=True):
    """Version 1: one row a settlement."""

    version: int
    settled: list[tuple[int, float, float, int]]


class _Packed(msgspec.Struct, array_like=True):
    """Version 2: one column a field, as the arrays' bytes (little-endian)."""

    version: int
    times: bytes
    rates: bytes
    hours: bytes
    offsets: bytes
    sources: bytes
    superseded: Sequence[tuple[int, float, float, int, SettlementSource, bool]]


class Baseline:
    """The settlements of one contract, ordered by funding time, at most KEPT_US back.

    Held in columns: 33 bytes a settlement, where 1,900 contracts have up to 768 each.
    """

    VERSION = 2
    __slots__ = (
        "_hours",
        "_offsets",
        "_rates",
        "_sources",
        "_stats",
        "_superseded",
        "_times",
        "_window",
    )

    def __init__(self, settled: Iterable[Settled] = ()) -> None:
        ordered = sorted(settled)
        self._times = array("q", [s.funding_time for s in ordered])
        self._rates = array("d", [s.rate for s in ordered])
        self._hours = array("d", [s.interval_hours for s in ordered])
        self._offsets = array("q", [s.raw_offset for s in ordered])
        self._sources = array("b", [_source_code(s) for s in ordered])
        self._superseded: list[Settled] = []
        """Settlements that were replaced by a better version since the last `pack`."""
        self._stats: Statistics | None = None
        self._window = slice(0, 0)

    def __len__(self) -> int:
        return len(self._times)

    @property
    def settled(self) -> list[Settled]:
        """All settlements, oldest first."""
        return [self._at(index) for index in range(len(self))]

    def _at(self, index: int) -> Settled:
        return Settled(
            self._times[index],
            self._rates[index],
            self._hours[index],
            self._offsets[index],
            *_source_of(self._sources[index]),
        )

    def known(self, funding_time: int) -> Settled | None:
        """Return the settlement of a funding time."""
        at = bisect_left(self._times, funding_time)
        return self._at(at) if at < len(self) and self._times[at] == funding_time else None

    def add(
        self,
        funding_time: int,
        rate: float,
        interval_hours: float | None,
        contract_interval_hours: float,
        raw_offset: int,
        source: SettlementSource = "history",
    ) -> Sequence[Settled]:
        """Add a settlement; return what is new by it, nothing if its funding time is too old.

        Without an `interval_hours` of its own, it is the time since the settlement before (whole
        hours), else the contract's; a settlement that comes to stand before one whose interval
        was inferred so gives that one another interval, and then both are returned. Of two for
        the same time the more trusted source counts: history, then stream, then derived. What
        changes no number and no trust is not returned.
        """
        times = self._times
        if times and funding_time <= times[-1] - KEPT_US:
            return ()
        at = bisect_left(times, funding_time)
        before = self._at(at) if at < len(times) and times[at] == funding_time else None
        if before is not None and _SOURCES.index(source) >= _SOURCES.index(before.source):
            return ()
        inferred = interval_hours is None
        if interval_hours is None:
            interval_hours = contract_interval_hours
            if at and (whole := _whole_hours(funding_time - times[at - 1])):
                interval_hours = whole
        entry = Settled(funding_time, rate, interval_hours, raw_offset, source, inferred)
        if before is not None:
            self._replace(at, entry)
            confirmed = before.source == "stream" and before.rate == rate
            return () if confirmed and before.interval_hours == interval_hours else (entry,)
        self._insert(at, entry)
        new = [entry]
        if at + 1 < len(times) and self._sources[at + 1] & _INFERRED:
            following = self._at(at + 1)
            whole = _whole_hours(following.funding_time - funding_time)
            if whole is not None and whole != following.interval_hours:
                # Learnt from the record at hand: without that, a restart must not know it.
                repaired = following._replace(interval_hours=whole, raw_offset=raw_offset)
                self._replace(at + 1, repaired)
                new.append(repaired)
        self._delete(slice(0, bisect_right(times, times[-1] - KEPT_US)))
        return new

    def _insert(self, at: int, entry: Settled) -> None:
        self._times.insert(at, entry.funding_time)
        self._rates.insert(at, entry.rate)
        self._hours.insert(at, entry.interval_hours)
        self._offsets.insert(at, entry.raw_offset)
        self._sources.insert(at, _source_code(entry))
        self._stats = None

    def _replace(self, at: int, entry: Settled) -> None:
        self._superseded.append(self._at(at))
        self._delete(slice(at, at + 1))
        self._insert(at, entry)

    def _delete(self, which: slice) -> None:
        for column in (self._times, self._rates, self._hours, self._offsets, self._sources):
            del column[which]

    def statistics(self, hour: int) -> Statistics:
        """Return the statistics over (hour − 30 d, hour], cached until a settlement arrives."""
        stats = self._stats
        if stats is None or stats.as_of != hour:
            low = bisect_right(self._times, hour - WINDOW_US)
            self._window = slice(low, bisect_right(self._times, hour))
            self._stats = stats = statistics_of(self.window(), hour)
        return stats

    def window(self) -> npt.NDArray[np.float64]:
        """Return the rate_8h that the newest statistics are over, oldest first."""
        # No view may outlive this: an array with an exported buffer cannot grow.
        rates = np.frombuffer(self._rates)[self._window]
        # As `rate_8h` computes it, so that the two agree to the last bit.
        scaled: npt.NDArray[np.float64] = rates * REFERENCE_INTERVAL_HOURS
        scaled /= np.frombuffer(self._hours)[self._window]
        return scaled

    def score(self, value: float, stats: Statistics | None) -> Score:
        """Return z, robust z and percentile of a rate_8h against this baseline's `stats`.

        All None without a usable baseline.
        """
        z = z_of(value, stats)
        if z is None or stats is None:
            return UNRATED
        at_most = int(np.count_nonzero(self.window() <= value))
        return Score(z, robust_z_of(value, stats), at_most / stats.samples)

    def observed_interval_hours(self) -> float | None:
        """Return the shortest of the newest times between settlements, if it is plausible."""
        newest = self._times[-OBSERVED_GAPS - 1 :]
        gaps = [_whole_hours(b - a) for a, b in pairwise(newest)]
        shortest = min((gap for gap in gaps if gap is not None), default=None)
        return shortest if shortest in PLAUSIBLE_HOURS else None

    def pack(self) -> bytes:
        """Return the bytes that `unpack` reads.

        A pack is made durable, and the contract's block after it, before the next pack. So it is
        enough that each pack has what was superseded since the one before.
        """
        superseded, self._superseded = self._superseded, []
        return msgspec.msgpack.encode(
            _Packed(
                self.VERSION,
                self._times.tobytes(),
                self._rates.tobytes(),
                self._hours.tobytes(),
                self._offsets.tobytes(),
                self._sources.tobytes(),
                superseded,
            )
        )

    @classmethod
    def unpack(cls, data: bytes, up_to_offset: int) -> Baseline:
        """Read what `pack` wrote, without what was learnt after raw offset `up_to_offset`.

        A baseline is stored before the block of its contract; after a crash between the two, the
        later settlements come again from the log, and the z-scores before them must not see them.

        Raises:
            StateError: the bytes are damaged or of a newer version.
        """
        try:
            version = msgspec.msgpack.decode(data, type=_Versioned).version
            if version > cls.VERSION:
                raise StateError(
                    f"a stored baseline has version {version}, this program reads up to "
                    f"{cls.VERSION}: run the newer fundingstream that wrote it"
                )
            settled = _settled_v1(data) if version == 1 else _settled(data)
        except (msgspec.DecodeError, ValueError, IndexError) as error:
            raise StateError(f"a stored baseline is damaged: {error}") from error
        # Later ones overwrite what they superseded.
        known = {s.funding_time: s for s in settled if s.raw_offset <= up_to_offset}
        return cls(known.values())


def _source_code(entry: Settled) -> int:
    return _SOURCES.index(entry.source) | (_INFERRED if entry.inferred else 0)


def _source_of(code: int) -> tuple[SettlementSource, bool]:
    return _SOURCES[code & ~_INFERRED], bool(code & _INFERRED)


def _settled(data: bytes) -> list[Settled]:
    """Return superseded ones before those that superseded them."""
    packed = msgspec.msgpack.decode(data, type=_Packed)
    current = [
        Settled(time, rate, hours, offset, *_source_of(code))
        for time, rate, hours, offset, code in zip(
            array("q", packed.times),
            array("d", packed.rates),
            array("d", packed.hours),
            array("q", packed.offsets),
            packed.sources,
            strict=True,
        )
    ]
    return [*(Settled(*row) for row in packed.superseded), *current]


def _settled_v1(data: bytes) -> list[Settled]:
    packed = msgspec.msgpack.decode(data, type=_PackedV1)
    return [Settled(*row) for row in packed.settled]


def _whole_hours(duration_us: int) -> float | None:
    if not 0 < duration_us <= MAX_INTERVAL_US:
        return None
    hours = round(duration_us / US_PER_HOUR)
    return float(hours) if hours else None
