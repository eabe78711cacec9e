"""Encodes the FundingRate records of one frame together, from columns of values.

A frame brings hundreds of updates that differ in their numbers alone. The fixed-width part of all
records is one numpy array, and bytes that recur (ids, times) come from caches. A test holds that
the bytes are those that codec.Encoder writes record by record.

Encoding: Apache Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import SchemaError
from schemas.records import FUNDING_RATE, IntervalSource, Transport
from schemas.serde.avro_writer import write_long, write_string

_CACHED_IDENTITIES = 1 << 15
_IDENTITY = ("contract_id", "feed", "symbol", "base", "quote", "multiplier")
_FIXED = (
    "rate",
    "interval_hours",
    "interval_source",
    "rate_8h",
    "apr",
    "mark_price",
    "index_price",
)
_REST = (
    "next_funding_time",
    "event_time",
    "event_time_source",
    "received_at",
    "transport",
    "late",
    "raw_topic",
    "raw_partition",
    "raw_offset",
    "raw_item",
    "out_of_range",
    "interval_doubtful",
)
_FALSE = b"\x00"
_FALSE_FALSE = 2 * _FALSE
_SOME = 2
"""The tag of the second branch of a union: there is a value."""
_ROW = np.dtype([
    ("rate", "<f8"),
    ("interval_hours", "<f8"),
    ("interval_source", "u1"),
    ("rate_8h", "<f8"),
    ("apr", "<f8"),
    ("has_mark", "u1"),
    ("mark_price", "<f8"),
    ("has_index", "u1"),
    ("index_price", "<f8"),
    ("has_next", "u1"),
])  # fmt: skip

Floats = npt.NDArray[np.float64]


class Identity(NamedTuple):
    """The fields that have the same values in all records of a contract."""

    contract_id: str
    feed: str
    symbol: str
    base: str
    quote: str
    multiplier: float


class Origin(NamedTuple):
    """The fields that have the same values in all records of a frame."""

    transport: Transport
    raw_topic: str
    raw_partition: int
    raw_offset: int


class RateColumns(NamedTuple):
    """The updates of one frame: a column for each field, all in the order of the frame.

    Only updates that are neither late, out of range nor of a doubtful interval, and that lack no
    optional value. Times are µs.
    """

    identities: Sequence[Identity]
    rates: Floats
    interval_hours: Floats
    interval_sources: Sequence[IntervalSource]
    rates_8h: Floats
    aprs: Floats
    mark_prices: Floats
    index_prices: Floats
    next_funding_times: Sequence[int]
    event_times: Sequence[int]
    received_at: Sequence[int]
    items: Sequence[int]


@lru_cache(maxsize=_CACHED_IDENTITIES)
def _identity(identity: Identity) -> bytes:
    *strings, multiplier = identity
    return b"".join((*map(write_string, strings), struct.pack("<d", multiplier)))


def _symbols(field: str) -> dict[str, int]:
    """Return the symbols of an enum field, each with the byte that encodes it."""
    for entry in msgspec.json.decode(FUNDING_RATE.text)["fields"]:
        if entry["name"] == field:
            return {symbol: 2 * index for index, symbol in enumerate(entry["type"]["symbols"])}
    raise SchemaError(f"FundingRate has no {field}")


class RateColumnsEncoder:
    """Encodes RateColumns under the id that the registry gave FundingRate."""

    def __init__(self, header: bytes) -> None:
        """Raise SchemaError if the schema's fields are not those that are written here."""
        names = tuple(f["name"] for f in msgspec.json.decode(FUNDING_RATE.text)["fields"])
        if names != (*_IDENTITY, *_FIXED, *_REST):
            raise SchemaError(f"the fields of FundingRate are not those that are written: {names}")
        self._header = header
        self._interval_sources = _symbols("interval_source")
        self._from_exchange = bytes([_symbols("event_time_source")["exchange"]])
        self._transports = {name: bytes([code]) for name, code in _symbols("transport").items()}

    def encode(self, columns: RateColumns, origin: Origin) -> list[bytes]:
        """Return header and body of each record.

        Raises:
            SchemaError: a value does not fit its field.
        """
        try:
            return self._encode(columns, origin)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise SchemaError(f"a FundingRate does not fit its schema: {error!r}") from error

    def _encode(self, columns: RateColumns, origin: Origin) -> list[bytes]:
        rows = np.empty(len(columns.items), dtype=_ROW)
        rows["rate"] = columns.rates
        rows["interval_hours"] = columns.interval_hours
        rows["interval_source"] = [self._interval_sources[s] for s in columns.interval_sources]
        rows["rate_8h"] = columns.rates_8h
        rows["apr"] = columns.aprs
        rows["has_mark"] = rows["has_index"] = rows["has_next"] = _SOME
        rows["mark_price"] = columns.mark_prices
        rows["index_price"] = columns.index_prices
        fixed, width = rows.tobytes(), _ROW.itemsize
        header, from_exchange = self._header, self._from_exchange
        tail = b"".join((
            self._transports[origin.transport],
            _FALSE,
            write_string(origin.raw_topic),
            write_long(origin.raw_partition),
            write_long(origin.raw_offset),
        ))  # fmt: skip
        return [
            b"".join((
                header,
                _identity(identity),
                fixed[at : at + width],
                write_long(next_funding_time),
                write_long(event_time),
                from_exchange,
                write_long(received_at),
                tail,
                write_long(item),
                _FALSE_FALSE,
            ))
            for at, identity, next_funding_time, event_time, received_at, item in zip(
                range(0, len(fixed), width),
                columns.identities,
                columns.next_funding_times,
                columns.event_times,
                columns.received_at,
                columns.items,
                strict=True,
            )
        ]  # fmt: skip
