"""Encodes regular settlements of one raw record together, from columns of values.

A page of history brings hundreds of settlements that differ in a rate and two times alone. What
does not change is encoded once: what a contract's records begin with (`identity`), and where the
raw record stands (`columns.origin_of`). All between is one numpy array of fixed width. A test
holds that the bytes are those that codec.Encoder writes record by record.

Encoding: Apache Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from schemas.rates import REFERENCE_INTERVAL_HOURS
from schemas.records import SETTLEMENT
from schemas.serde.avro_writer import write_string
from schemas.serde.columns import (
    SOME,
    TIME,
    Floats,
    Longs,
    encoded_long,
    encoded_times,
    enum_codes,
    require_fields,
)

_IDENTITY = ("contract_id", "feed", "symbol")
_FIXED = (
    "funding_time",
    "funding_time_raw",
    "rate",
    "interval_hours",
    "rate_8h",
    "source",
    "received_at",
)
_REST = (
    "raw_topic",
    "raw_partition",
    "raw_offset",
    "raw_item",
    "kind",
    "interval_source",
    "interval_doubtful",
    "generation",
)
_FALSE = b"\x00"
_ROW = np.dtype([
    ("funding_time", *TIME),
    ("funding_time_raw", *TIME),
    ("rate", "<f8"),
    ("has_hours", "u1"),
    ("interval_hours", "<f8"),
    ("has_rate_8h", "u1"),
    ("rate_8h", "<f8"),
    ("source", "u1"),
    ("received_at", *TIME),
])  # fmt: skip


class SettlementColumns(NamedTuple):
    """Regular settlements of the history, of one raw record: a column for each field.

    Only those whose interval was observed and is not in doubt. Times are µs.
    """

    identities: Sequence[bytes]
    """As `SettlementEncoder.identity` gives them."""
    funding_times: Longs
    funding_times_raw: Longs
    rates: Floats
    interval_hours: Floats
    received_at: Longs
    items: Sequence[int]
    generations: Sequence[int]


class SettlementEncoder:
    """Encodes SettlementColumns under the id that the registry gave Settlement."""

    def __init__(self, header: bytes) -> None:
        """Raise SchemaError if the schema's fields are not those that are written here."""
        require_fields(SETTLEMENT.text, (*_IDENTITY, *_FIXED, *_REST))
        self._header = header
        self._from_history = enum_codes(SETTLEMENT.text, "source")["history"]
        regular = enum_codes(SETTLEMENT.text, "kind")["regular"]
        observed = enum_codes(SETTLEMENT.text, "interval_source")["observed"]
        self._kind = bytes((regular, SOME, observed)) + _FALSE

    def identity(self, contract_id: str, feed: str, symbol: str) -> bytes:
        """Return what all records of a contract begin with."""
        return self._header + b"".join(map(write_string, (contract_id, feed, symbol)))

    def encode(self, columns: SettlementColumns, origin: bytes) -> list[bytes]:
        """Return header and body of each record. `origin`: as `origin_of` gives it.

        Raises:
            SchemaError: a time does not fit its field.
        """
        rates, hours = columns.rates, columns.interval_hours
        rows = np.empty(len(rates), dtype=_ROW)
        rows["funding_time"] = encoded_times(columns.funding_times)
        rows["funding_time_raw"] = encoded_times(columns.funding_times_raw)
        rows["rate"] = rates
        rows["has_hours"] = rows["has_rate_8h"] = SOME
        rows["interval_hours"] = hours
        # As `schemas.rates.rate_8h` computes it, so that the two agree to the last bit.
        rows["rate_8h"] = rates * REFERENCE_INTERVAL_HOURS / hours
        rows["source"] = self._from_history
        rows["received_at"] = encoded_times(columns.received_at)
        fixed, width = rows.tobytes(), _ROW.itemsize
        tails = {g: self._kind + encoded_long(g) for g in set(columns.generations)}
        return [
            b"".join((identity, fixed[at : at + width], origin, encoded_long(item), tails[g]))
            for identity, at, item, g in zip(
                columns.identities,
                range(0, len(fixed), width),
                columns.items,
                columns.generations,
                strict=True,
            )
        ]
