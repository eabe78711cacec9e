"""Compiles a writer of flat Avro records from their schema; it takes a tenth of fastavro's time.

The worker encodes every update at least once, so this is its hottest path. A writer is one Python
function made with `exec`, as `dataclasses` makes its methods. Strings and integers that recur (ids,
the times of one frame) come from caches, and neighbouring doubles are packed by one `struct` call.
Records with nested fields are written with fastavro (codec.py). Tests compare the bytes with those
of both Avro libraries.

Encoding: Apache Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

_CACHED_STRINGS = 1 << 17
_CACHED_LONGS = 1 << 14
_MIN_LONG, _MAX_LONG = -(1 << 63), (1 << 63) - 1
_PRIMITIVES = frozenset({"string", "double", "long", "int", "boolean"})


@lru_cache(maxsize=_CACHED_LONGS, typed=True)
def write_long(value: int) -> bytes:
    """Return an Avro long: zig-zag, then 7 bits a byte, lowest first.

    Raises:
        TypeError: the value is not an int.
        OverflowError: it does not fit 64 bits.
    """
    # The cache is typed: otherwise 1.0 and True would find the entry of 1.
    if type(value) is not int:
        raise TypeError(f"not an integer: {value!r}")
    if not _MIN_LONG <= value <= _MAX_LONG:
        raise OverflowError(f"{value} does not fit 64 bits")
    rest = value << 1 if value >= 0 else (~value << 1) | 1
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


@lru_cache(maxsize=_CACHED_STRINGS)
def write_string(value: str) -> bytes:
    """Return an Avro string: the length of its UTF-8 in bytes, then the bytes."""
    data = value.encode()
    return write_long(len(data)) + data


def _type_of(schema: Any) -> Any:
    """Return a field's type; a primitive one without the dict that may stand around it."""
    if isinstance(schema, dict) and schema["type"] in _PRIMITIVES:
        return schema["type"]
    return schema


class _Source:
    """The source of one writer: expressions, each for a field or more, and the names they use."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"write_long": write_long, "write_string": write_string}
        self.parts: list[str] = []
        self._doubles: list[str] = []
        self._enums: dict[str, str] = {}

    def add(self, field: str, schema: Any) -> bool:
        """Add the expression of a field; return False where its type cannot be compiled."""
        kind = _type_of(schema)
        value = f"record[{field!r}]"
        if kind == "double":
            self._doubles.append(value)
            return True
        self.end_doubles()
        expression = self._expression(kind, value)
        if expression is None:
            return False
        self.parts.append(expression)
        return True

    def end_doubles(self) -> None:
        """Add one expression that packs all doubles since the last other field."""
        if self._doubles:
            count = len(self._doubles)
            self.names[f"_pack{count}"] = struct.Struct(f"<{count}d").pack
            self.parts.append(f"_pack{count}({', '.join(self._doubles)})")
            self._doubles = []

    def _expression(self, kind: Any, value: str) -> str | None:
        simple = {"string": "write_string", "long": "write_long", "int": "write_long"}
        if isinstance(kind, str) and kind in simple:
            return f"{simple[kind]}({value})"
        if kind == "boolean":
            self.names["_bool"] = {True: b"\x01", False: b"\x00"}
            return f"_bool[{value}]"
        if kind == "double":
            self.names["_pack1"] = struct.Struct("<d").pack
            return f"_pack1({value})"
        if isinstance(kind, list):
            return self._optional(kind, value)
        return self._enum(kind, value)

    def _enum(self, kind: Any, value: str) -> str | None:
        if not isinstance(kind, str):
            if kind["type"] != "enum":
                return None
            name = f"_enum{len(self._enums)}"
            self._enums[kind["name"]] = name
            self.names[name] = {s: write_long(i) for i, s in enumerate(kind["symbols"])}
        found = self._enums.get(kind if isinstance(kind, str) else kind["name"])
        return None if found is None else f"{found}[{value}]"

    def _optional(self, kinds: list[Any], value: str) -> str | None:
        if len(kinds) != 2 or kinds[0] != "null":
            return None
        inner = self._expression(_type_of(kinds[1]), "value")
        if inner is None:
            return None
        return f'(b"\\x00" if (value := {value}) is None else b"\\x02" + {inner})'


def compile_writer(
    schema: Mapping[str, Any], header: bytes
) -> Callable[[Mapping[str, Any]], bytes] | None:
    """Return a function from a record to `header` and its Avro body.

    Return None if a field is neither a primitive nor an enum nor an optional one of these. The
    function raises KeyError, TypeError, AttributeError, OverflowError or struct.error for a record
    that does not fit.
    """
    source = _Source()
    source.names["_header"] = header
    for field in schema["fields"]:
        if not source.add(field["name"], field["type"]):
            return None
    source.end_doubles()
    text = f"def write(record):\n return b''.join((_header, {', '.join(source.parts)}))\n"
    namespace: dict[str, Any] = source.names
    exec(compile(text, f"<writer of {schema['name']}>", "exec"), namespace)  # noqa: S102 - from our
    # own schema files, whose field names become quoted literals
    writer: Callable[[Mapping[str, Any]], bytes] = namespace["write"]
    return writer
