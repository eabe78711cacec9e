"""Encodes many FundingRate records together, from columns of values.

What recurs is given as bytes: what identifies a contract (`RateEncoder.identity`), and where a raw
record stands (`columns.origin_of`). All between is one numpy array of fixed width. A test holds
that the bytes are those that codec.Encoder writes record by record.

Encoding: Apache Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.rates import HOURS_A_YEAR, REFERENCE_INTERVAL_HOURS
from schemas.records import FUNDING_RATE
from schemas.serde.avro_writer import write_string
from schemas.serde.columns import (
    SMALL_LONGS,
    SOME,
    TIME,
    Floats,
    UpdateTimes,
    encoded_long,
    enum_codes,
    require_fields,
)

_IDENTITY = ("contract_id", "feed", "symbol", "base", "quote", "multiplier")
_FIXED = (
    "rate",
    "interval_hours",
    "interval_source",
    "rate_8h",
    "apr",
    "mark_price",
    "index_price",
    "next_funding_time",
    "event_time",
    "event_time_source",
    "received_at",
    "transport",
    "late",
)
_REST = (
    "raw_topic",
    "raw_partition",
    "raw_offset",
    "raw_item",
    "out_of_range",
    "interval_doubtful",
    "rate_kind",
)
_FALSE_FALSE = b"\x00\x00"
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
    ("next_funding_time", *TIME),
    ("event_time", *TIME),
    ("event_time_source", "u1"),
    ("received_at", *TIME),
    ("transport", "u1"),
    ("late", "u1"),
])  # fmt: skip


class RateColumns(NamedTuple):
    """Accepted updates of a stream, a column for each field.

    Only updates that are neither late, out of range nor of a doubtful interval, that name their
    event time and lack no optional value.
    """

    identities: Sequence[bytes]
    """As `RateEncoder.identity` gives them."""
    rates: Floats
    interval_hours: Floats
    interval_sources: npt.NDArray[np.uint8]
    """As `RateEncoder.source_codes` has them."""
    mark_prices: Floats
    index_prices: Floats
    times: UpdateTimes
    origins: Sequence[bytes]
    """As `columns.origin_of` gives them."""
    items: Sequence[int]
    rate_kind: str


class RateEncoder:
    """Encodes RateColumns under the id that the registry gave FundingRate."""

    def __init__(self, header: bytes) -> None:
        """Raise SchemaError if the schema's fields are not those that are written here."""
        require_fields(FUNDING_RATE.text, (*_IDENTITY, *_FIXED, *_REST))
        self._header = header
        self.source_codes = enum_codes(FUNDING_RATE.text, "interval_source")
        self._from_exchange = enum_codes(FUNDING_RATE.text, "event_time_source")["exchange"]
        self._ws = enum_codes(FUNDING_RATE.text, "transport")["ws"]
        self._ends: dict[str, list[bytes]] = {}

    def identity(
        self, contract_id: str, feed: str, symbol: str, base: str, quote: str, multiplier: float
    ) -> bytes:
        """Return what all records of a contract begin with."""
        strings = (contract_id, feed, symbol, base, quote)
        packed = struct.pack("<d", multiplier)
        return b"".join((self._header, *map(write_string, strings), packed))

    def encode(self, columns: RateColumns) -> list[bytes]:
        """Return header and body of each record."""
        rates, hours = columns.rates, columns.interval_hours
        rows = np.empty(len(rates), dtype=_ROW)
        rows["rate"] = rates
        rows["interval_hours"] = hours
        rows["interval_source"] = columns.interval_sources
        rows["rate_8h"] = rates * REFERENCE_INTERVAL_HOURS / hours
        rows["apr"] = rates * HOURS_A_YEAR / hours
        rows["has_mark"] = rows["has_index"] = rows["has_next"] = SOME
        rows["mark_price"] = columns.mark_prices
        rows["index_price"] = columns.index_prices
        rows["next_funding_time"] = columns.times.next_funding
        rows["event_time"] = columns.times.event
        rows["event_time_source"] = self._from_exchange
        rows["received_at"] = columns.times.received
        rows["transport"] = self._ws
        rows["late"] = 0
        fixed, width = rows.tobytes(), _ROW.itemsize
        items, known = columns.items, self._ends_of(columns.rate_kind)
        if max(items) < len(known):
            ends = [known[item] for item in items]
        else:
            last = _FALSE_FALSE + write_string(columns.rate_kind)
            ends = [encoded_long(item) + last for item in items]
        return [
            identity + fixed[at : at + width] + origin + end
            for identity, at, origin, end in zip(
                columns.identities, range(0, len(fixed), width), columns.origins, ends, strict=True
            )
        ]

    def _ends_of(self, rate_kind: str) -> list[bytes]:
        """Return the last fields of records of a feed, by the number of the item."""
        ends = self._ends.get(rate_kind)
        if ends is None:
            last = _FALSE_FALSE + write_string(rate_kind)
            ends = self._ends[rate_kind] = [item + last for item in SMALL_LONGS]
        return ends
