"""The bytes in which a baseline is stored: written in the newest version, read in all. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from schemas.errors import StateError
from schemas.records import IntervalSource, SettlementSource
from stream_app.core.scoring.baseline import Baseline
from stream_app.core.scoring.settlement import CODES, SOURCES, Settled, Special, decoded

VERSION = 3
_INFERRED_V2 = 64
"""Version 2: the bit beside the stored source of a settlement whose interval was inferred from the
settlement before."""


class _Versioned(msgspec.Struct, array_like=True):
    version: int


class _PackedV1(msgspec.Struct, array_like=True):
    """Version 1: one row a settlement."""

    version: int
    settled: list[tuple[int, float, float, int]]


_RowV2 = tuple[int, float, float, int, SettlementSource, bool]
"""Funding time, rate, hours, raw offset, source, and whether the hours had been inferred."""


class _PackedV2(msgspec.Struct, array_like=True):
    """Version 2: one column a field, as the arrays' bytes (little-endian)."""

    version: int
    times: bytes
    rates: bytes
    hours: bytes
    offsets: bytes
    codes: bytes
    superseded: Sequence[_RowV2]


class _Packed(msgspec.Struct, array_like=True):
    """Version 3: where each interval was learnt, and the special settlements."""

    version: int
    times: bytes
    rates: bytes
    hours: bytes
    offsets: bytes
    codes: bytes
    superseded: Sequence[tuple[int, float, float, int, SettlementSource, IntervalSource, bool]]
    specials: Sequence[tuple[int, int, float, int]]
    """As in Special."""


def pack(baseline: Baseline) -> bytes:
    """Return the bytes that `unpack` reads.

    A pack is made durable, and the contract's block after it, before the next pack. So it is enough
    that each pack has what was superseded since the one before.
    """
    superseded, baseline.superseded = baseline.superseded, []
    times, rates, hours, offsets, codes = baseline.columns
    return msgspec.msgpack.encode(
        _Packed(
            VERSION,
            times.tobytes(),
            rates.tobytes(),
            hours.tobytes(),
            offsets.tobytes(),
            codes.tobytes(),
            superseded,
            baseline.specials,
        )
    )


def unpack(data: bytes, up_to_offset: int) -> tuple[Baseline, bool]:
    """Read what `pack` wrote, without what was learnt after raw offset `up_to_offset`.

    A baseline is stored before the block of its contract; after a crash between the two, the later
    settlements come again from the log, and the z-scores before them must not see them.

    Returns the baseline, and whether a version wrote it that inferred intervals otherwise: they are
    to be judged anew (`Baseline.revise`).

    Raises:
        StateError: the bytes are damaged or of a newer version.
    """
    try:
        version = msgspec.msgpack.decode(data, type=_Versioned).version
        if version > VERSION:
            raise StateError(
                f"a stored baseline has version {version}, this program reads up to {VERSION}: "
                "run the newer fundingstream that wrote it"
            )
        if version == VERSION:
            whole = _unpacked_whole(data, up_to_offset)
            if whole is not None:
                return whole, False
        settled, specials = _READERS[version](data)
    except (msgspec.DecodeError, ValueError, IndexError, KeyError) as error:
        raise StateError(f"a stored baseline is damaged: {error}") from error
    # Later ones overwrite what they superseded.
    known = {s.funding_time: s for s in settled if s.raw_offset <= up_to_offset}
    extra = [special for special in specials if special.raw_offset <= up_to_offset]
    return Baseline(known.values(), extra), version < VERSION


def _unpacked_whole(data: bytes, up_to_offset: int) -> Baseline | None:
    """Read a baseline of which nothing is left out, at a fraction of the time; None: it is not so.

    That is so unless the worker was killed between the baseline and the block of its contract.
    """
    packed = msgspec.msgpack.decode(data, type=_Packed)
    times, rates, hours = (
        array("q", packed.times),
        array("d", packed.rates),
        array("d", packed.hours),
    )
    offsets, codes = array("q", packed.offsets), array("b", packed.codes)
    columns = (times, rates, hours, offsets, codes)
    if packed.superseded or len({len(column) for column in columns}) != 1 or not times:
        return None
    is_ascending = bool((np.diff(np.frombuffer(times, dtype=np.int64)) > 0).all())
    if not is_ascending or max(offsets) > up_to_offset or not set(codes) <= CODES:
        return None
    specials = [Special(*row) for row in packed.specials if row[3] <= up_to_offset]
    return Baseline.of_columns(columns, specials)


_Read = tuple[list[Settled], list[Special]]
"""Regular settlements, superseded ones before those that superseded them; and special ones."""


def _rows(packed: _Packed | _PackedV2) -> Iterator[tuple[int, float, float, int, int]]:
    """Return funding time, rate, hours, raw offset and code of each settlement."""
    return zip(
        array("q", packed.times),
        array("d", packed.rates),
        array("d", packed.hours),
        array("q", packed.offsets),
        packed.codes,
        strict=True,
    )


def _read(data: bytes) -> _Read:
    packed = msgspec.msgpack.decode(data, type=_Packed)
    current = [
        Settled(time, rate, hours, offset, *decoded(code))
        for time, rate, hours, offset, code in _rows(packed)
    ]
    specials = [Special(*row) for row in packed.specials]
    return [*(Settled(*row) for row in packed.superseded), *current], specials


def _judged_anew(
    time: int, rate: float, hours: float, offset: int, source: SettlementSource
) -> Settled:
    """Return a settlement of a version whose intervals are not believed.

    Neither where one was not inferred: an estimate's may have been a guess, and one feed's was a
    constant.
    """
    return Settled(time, rate, hours, offset, source, "observed")


def _read_v2(data: bytes) -> _Read:
    packed = msgspec.msgpack.decode(data, type=_PackedV2)
    current = [
        _judged_anew(time, rate, hours, offset, SOURCES[code & ~_INFERRED_V2])
        for time, rate, hours, offset, code in _rows(packed)
    ]
    return [*(_judged_anew(*row[:5]) for row in packed.superseded), *current], []


def _read_v1(data: bytes) -> _Read:
    packed = msgspec.msgpack.decode(data, type=_PackedV1)
    return [_judged_anew(*row, "history") for row in packed.settled], []


_READERS = {1: _read_v1, 2: _read_v2, VERSION: _read}
