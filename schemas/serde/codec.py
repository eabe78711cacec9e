"""Avro records in Confluent's wire format: magic byte 0, schema id (4 bytes, big endian), body.

fastavro reads and writes, except that flat records are written by avro_writer.py. Logical types are
removed from the schemas that we give it, so that times stay integers (µs) in both directions; the
bytes are the same. Schema ids and the schemas of other writers come from registry.py.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

import fastavro

from schemas.errors import MalformedInputError, SchemaError
from schemas.records import RecordType
from schemas.serde.avro_writer import compile_writer

_HEADER = struct.Struct(">bI")
HEADER_BYTES = _HEADER.size
_MAGIC = 0
_ERROR_CHARS = 200
"""Some errors quote the whole input."""


def wire_header(schema_id: int) -> bytes:
    """Return the five bytes that precede the body: the magic byte and the schema id."""
    return _HEADER.pack(_MAGIC, schema_id)


def schema_id_of(value: bytes) -> int:
    """Read the schema id of a record value.

    Raises:
        MalformedInputError: the value is not in Confluent's wire format.
    """
    if len(value) < HEADER_BYTES or value[0] != _MAGIC:
        raise MalformedInputError(
            f"not a Confluent Avro value: {len(value)} bytes that start with {value[:8]!r}; "
            "expected a 0 byte, a 4-byte schema id and the body"
        )
    schema_id: int = _HEADER.unpack_from(value)[1]
    return schema_id


def parse_schema(text: str) -> Any:
    """Parse schema text for fastavro, with logical types as their plain types."""
    return fastavro.parse_schema(_without_logical_types(json.loads(text)))


@cache
def _own_schema(record_type: RecordType) -> Any:
    return parse_schema(record_type.text)


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        if set(node) <= {"type", "logicalType"} and "logicalType" in node:
            return node["type"]
        return {key: _without_logical_types(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    return node


class Encoder:
    """Encodes the records of one type under the id that the registry gave its schema."""

    def __init__(self, record_type: RecordType, schema_id: int) -> None:
        self.record_type = record_type
        self.header = wire_header(schema_id)
        self._schema = _own_schema(record_type)
        plain = _without_logical_types(json.loads(record_type.text))
        self._write = compile_writer(plain, self.header) or self._write_generic

    def encode(self, record: Any) -> bytes:
        """Return header and body of `record`, a mapping with the fields of the record type.

        Raises:
            SchemaError: a field is missing or of a wrong type.
        """
        try:
            return self._write(record)
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            OverflowError,
            struct.error,
        ) as error:
            raise SchemaError(
                f"a {self.record_type.name} does not fit its schema: {error!r}"
            ) from error

    def _write_generic(self, record: Any) -> bytes:
        buffer = BytesIO()
        buffer.write(self.header)
        fastavro.schemaless_writer(buffer, self._schema, record)
        return buffer.getvalue()


class Decoder:
    """Decodes the records of one type, whichever version of the schema they were written with."""

    def __init__(self, record_type: RecordType, schema_text_by_id: Callable[[int], str]) -> None:
        """`schema_text_by_id` is asked once for each schema id; it may block."""
        self.record_type = record_type
        self._reader = _own_schema(record_type)
        self._schema_text_by_id = schema_text_by_id
        self._writers: dict[int, Any] = {}

    def decode(self, value: bytes) -> Any:
        """Return the record in `value` as a dict of the record type's fields.

        Raises:
            MalformedInputError: the bytes are not such a record, or bytes are left over, or the
                registry does not know the schema that they name.
        """
        writer = self._writer(schema_id_of(value))
        buffer = BytesIO(value)
        buffer.seek(HEADER_BYTES)
        try:
            record = fastavro.schemaless_reader(
                buffer, writer, None if writer is self._reader else self._reader
            )
        except Exception as error:  # fastavro raises what its C code meets: EOFError, struct, …
            raise MalformedInputError(
                f"not a {self.record_type.name}: {error!r:.{_ERROR_CHARS}}"
            ) from error
        if buffer.tell() != len(value):
            raise MalformedInputError(
                f"not a {self.record_type.name}: {len(value) - buffer.tell()} bytes left over"
            )
        return record

    def _writer(self, schema_id: int) -> Any:
        writer = self._writers.get(schema_id)
        if writer is None:
            writer = self._parsed(schema_id)
            if writer == self._reader:
                writer = self._reader
            self._writers[schema_id] = writer
        return writer

    def _parsed(self, schema_id: int) -> Any:
        try:
            text = self._schema_text_by_id(schema_id)
        except SchemaError as error:
            raise MalformedInputError(f"written with an unknown schema: {error}") from error
        try:
            return parse_schema(text)
        except Exception as error:  # whatever a foreign text leads fastavro to
            raise MalformedInputError(
                f"written with schema {schema_id}, which is no Avro schema: "
                f"{error!r:.{_ERROR_CHARS}}"
            ) from error
