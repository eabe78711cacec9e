"""What the encoders of columns share: times as Avro longs in one array, symbols of enum fields.

Encoding: Apache Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import SchemaError
from schemas.serde.avro_writer import write_long, write_string

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Encoded = npt.NDArray[np.uint8]
"""Avro longs of TIME_BYTES each: the last dimension is the bytes."""

TIME_BYTES = 8
_MIN_TIME, _MAX_TIME = 1 << 48, 1 << 55
"""Times (µs) from 1978 to 3111 are longs of eight bytes."""
TIME = ("u1", (TIME_BYTES,))
"""The type of an encoded time in a row of fixed width."""
SOME = 2
"""The tag of the second branch of a union: there is a value."""
_SMALL = 1 << 12
SMALL_LONGS = [write_long(value) for value in range(_SMALL)]


class UpdateTimes(NamedTuple):
    """The times of updates, encoded."""

    next_funding: Encoded
    event: Encoded
    received: Encoded

    def chosen(self, which: Longs) -> UpdateTimes:
        """Return those at some positions."""
        return UpdateTimes(self.next_funding[which], self.event[which], self.received[which])


def encoded_update_times(next_funding: Longs, event: Longs, received: Longs) -> UpdateTimes:
    """Return times (µs) of updates, encoded.

    Raises:
        SchemaError: as `encoded_times`.
    """
    return UpdateTimes(*encoded_times(np.stack((next_funding, event, received))))


def encoded_times(times: Longs) -> Encoded:
    """Return times (µs) as Avro longs.

    Raises:
        SchemaError: one of them does not have TIME_BYTES.
    """
    # As numbers without a sign, times before the first are beyond the last.
    if times.size and (times - _MIN_TIME).view(np.uint64).max() >= _MAX_TIME - _MIN_TIME:
        raise SchemaError("a time that is none of these centuries")
    # Zig-zag of what is not negative is the double. Groups of 28, 14 and 7 bits are moved apart,
    # and each byte but the last gets the bit that says "another byte follows".
    bits = times << 1
    bits = bits & 0x000000000FFFFFFF | (bits & 0x00FFFFFFF0000000) << 4
    bits = bits & 0x00003FFF00003FFF | (bits & 0x0FFFC0000FFFC000) << 2
    bits = bits & 0x007F007F007F007F | (bits & 0x3F803F803F803F80) << 1
    bits |= 0x0080808080808080
    return bits.astype("<i8", copy=False).view(np.uint8).reshape(*times.shape, TIME_BYTES)


def encoded_long(value: int) -> bytes:
    """Return an Avro long."""
    return SMALL_LONGS[value] if 0 <= value < _SMALL else write_long(value)


def place_of(raw_topic: str, raw_partition: int) -> bytes:
    """Return the fields that say which raw log a record is in, encoded."""
    return write_string(raw_topic) + write_long(raw_partition)


def origin_of(place: bytes, raw_offset: int) -> bytes:
    """Return the fields that say where a raw record stands, encoded. `place`: of `place_of`."""
    return place + encoded_long(raw_offset)


def fields_of(record_type_text: str) -> list[dict[str, Any]]:
    """Return the fields of a record's schema."""
    fields: list[dict[str, Any]] = msgspec.json.decode(record_type_text)["fields"]
    return fields


def enum_codes(record_type_text: str, field: str) -> dict[str, int]:
    """Return the symbols of an enum field, each with the byte that encodes it."""
    for entry in fields_of(record_type_text):
        kinds = entry["type"] if isinstance(entry["type"], list) else [entry["type"]]
        for kind in kinds:
            if entry["name"] == field and isinstance(kind, dict) and "symbols" in kind:
                return {symbol: 2 * index for index, symbol in enumerate(kind["symbols"])}
    raise SchemaError(f"the schema has no enum {field}")


def require_fields(record_type_text: str, names: tuple[str, ...]) -> None:
    """Check that a schema has exactly these fields in this order.

    Raises:
        SchemaError: it has others.
    """
    found = tuple(field["name"] for field in fields_of(record_type_text))
    if found != names:
        raise SchemaError(f"the fields of the schema are not those that are written: {found}")
