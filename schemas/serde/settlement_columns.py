"""Encodes the regular settlements of one raw record together, from columns of values.

A page of history brings hundreds of settlements that differ in a rate and two times alone. All that
has a fixed width is one numpy array, in which times are fixed too: in Avro, a time in µs between
1978 and 3111 always takes eight bytes. A test holds that the bytes are those that codec.Encoder
writes record by record.

Encoding: Apache Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import SchemaError
from schemas.rates import REFERENCE_INTERVAL_HOURS
from schemas.records import SETTLEMENT, IntervalSource, SettlementSource
from schemas.serde.avro_writer import write_long, write_string

_CACHED_IDENTITIES = 1 << 15
_FIELDS = (
    "contract_id",
    "feed",
    "symbol",
    "funding_time",
    "funding_time_raw",
    "rate",
    "interval_hours",
    "rate_8h",
    "source",
    "received_at",
    "raw_topic",
    "raw_partition",
    "raw_offset",
    "raw_item",
    "kind",
    "interval_source",
    "interval_doubtful",
    "generation",
)
_TIME_BYTES = 8
_MIN_TIME, _MAX_TIME = 1 << 48, (1 << 55) - 1
"""The integers whose Avro form has _TIME_BYTES bytes; µs since the epoch."""
_SHIFTS = np.arange(_TIME_BYTES, dtype=np.uint64) * np.uint64(7)
_GOES_ON = np.array([0x80] * (_TIME_BYTES - 1) + [0], dtype=np.uint64)
"""The bit that is set in every byte but the last."""
_SOME = 2
"""The tag of the second branch of a union: there is a value."""
_FALSE = b"\x00"
_ROW = np.dtype([
    ("funding_time", "u1", _TIME_BYTES),
    ("funding_time_raw", "u1", _TIME_BYTES),
    ("rate", "<f8"),
    ("has_hours", "u1"),
    ("interval_hours", "<f8"),
    ("has_rate_8h", "u1"),
    ("rate_8h", "<f8"),
    ("source", "u1"),
    ("received_at", "u1", _TIME_BYTES),
])  # fmt: skip


class SettlementIdentity(NamedTuple):
    """The fields that have the same values in all settlements of a contract."""

    contract_id: str
    feed: str
    symbol: str


class SettlementOrigin(NamedTuple):
    """The fields that have the same values in all settlements of a raw record."""

    raw_topic: str
    raw_partition: int
    raw_offset: int
    source: SettlementSource
    interval_source: IntervalSource


class SettlementColumns(NamedTuple):
    """Regular settlements whose interval is not in doubt: a column for each field. Times are µs."""

    identities: Sequence[SettlementIdentity]
    funding_times: Sequence[int]
    funding_times_raw: Sequence[int]
    rates: Sequence[float]
    interval_hours: Sequence[float]
    received_at: Sequence[int]
    items: Sequence[int]
    generations: Sequence[int]


@lru_cache(maxsize=_CACHED_IDENTITIES)
def _identity(identity: SettlementIdentity) -> bytes:
    return b"".join(map(write_string, identity))


def _schema_fields() -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = msgspec.json.decode(SETTLEMENT.text)["fields"]
    return fields


def _enum(field: str) -> dict[str, int]:
    """Return the symbols of an enum field, which may be null, each with the byte that encodes it."""
    kind = next(entry["type"] for entry in _schema_fields() if entry["name"] == field)
    enum = kind[1] if isinstance(kind, list) else kind
    return {symbol: 2 * index for index, symbol in enumerate(enum["symbols"])}


def _time_bytes(times: Sequence[int]) -> npt.NDArray[np.uint64]:
    """Return the Avro bytes of times, a row each.

    Raises:
        ValueError: one of them takes more or fewer than _TIME_BYTES bytes.
    """
    column = np.array(times, dtype=np.int64)
    if column.min() < _MIN_TIME or column.max() > _MAX_TIME:
        raise ValueError(f"a time is not within {_MIN_TIME} and {_MAX_TIME} us")
    zigzag = column.astype(np.uint64) << np.uint64(1)
    found: npt.NDArray[np.uint64] = (zigzag[:, None] >> _SHIFTS) & np.uint64(0x7F) | _GOES_ON
    return found


class SettlementColumnsEncoder:
    """Encodes SettlementColumns under the id that the registry gave Settlement."""

    def __init__(self, header: bytes) -> None:
        """Raise SchemaError if the schema's fields are not those that are written here."""
        names = tuple(entry["name"] for entry in _schema_fields())
        if names != _FIELDS:
            raise SchemaError(f"the fields of Settlement are not those that are written: {names}")
        self._header = header
        self._sources = _enum("source")
        self._regular = _enum("kind")["regular"]
        self._interval_sources = _enum("interval_source")

    def encode(self, columns: SettlementColumns, origin: SettlementOrigin) -> list[bytes]:
        """Return header and body of each record.

        Raises:
            SchemaError: a value does not fit its field, or a time is not of our era.
        """
        try:
            return self._encode(columns, origin)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise SchemaError(f"a Settlement does not fit its schema: {error!r}") from error

    def _encode(self, columns: SettlementColumns, origin: SettlementOrigin) -> list[bytes]:
        rows = np.empty(len(columns.rates), dtype=_ROW)
        rows["funding_time"] = _time_bytes(columns.funding_times)
        rows["funding_time_raw"] = _time_bytes(columns.funding_times_raw)
        rows["received_at"] = _time_bytes(columns.received_at)
        rows["rate"] = columns.rates
        rows["has_hours"] = rows["has_rate_8h"] = _SOME
        rows["interval_hours"] = columns.interval_hours
        # As `schemas.rates.rate_8h` computes it, so that the two agree to the last bit.
        rows["rate_8h"] = rows["rate"] * REFERENCE_INTERVAL_HOURS / rows["interval_hours"]
        rows["source"] = self._sources[origin.source]
        fixed, width = rows.tobytes(), _ROW.itemsize
        header = self._header
        place = b"".join((
            write_string(origin.raw_topic),
            write_long(origin.raw_partition),
            write_long(origin.raw_offset),
        ))  # fmt: skip
        interval_source = self._interval_sources[origin.interval_source]
        kind = bytes((self._regular, _SOME, interval_source)) + _FALSE
        return [
            b"".join((
                header,
                _identity(identity),
                fixed[at : at + width],
                place,
                write_long(item),
                kind,
                write_long(generation),
            ))
            for at, identity, item, generation in zip(
                range(0, len(fixed), width),
                columns.identities,
                columns.items,
                columns.generations,
                strict=True,
            )
        ]  # fmt: skip
