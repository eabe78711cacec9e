"""Avro object container files made of bodies that are already encoded.

The body of a Confluent Avro value is exactly one Avro datum, so a batch becomes a container by
concatenation: nothing is encoded a second time, and ClickHouse reads it as `FORMAT Avro`.
That each body fits the schema is checked before, when tables.py decodes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from schemas.serde.avro_writer import write_long

_MAGIC = b"Obj\x01"
# Any 16 bytes do: one block a container, so no reader ever searches for the marker.
_SYNC = b"fundingstream-01"


def _bytes(data: bytes) -> bytes:
    return write_long(len(data)) + data


def container_header(schema_text: str) -> bytes:
    """Return the header of a container of records with this schema, uncompressed."""
    compact = json.dumps(json.loads(schema_text), separators=(",", ":")).encode()
    return b"".join(
        (
            _MAGIC,
            write_long(2),
            *(_bytes(b"avro.schema"), _bytes(compact)),
            *(_bytes(b"avro.codec"), _bytes(b"null")),
            write_long(0),
            _SYNC,
        )
    )


def container(header: bytes, bodies: Sequence[bytes]) -> bytes:
    """Return a whole container: the header and one block with every body."""
    data = b"".join(bodies)
    return b"".join((header, write_long(len(bodies)), write_long(len(data)), data, _SYNC))
