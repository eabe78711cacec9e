"""Avro schemas as the registry sees them: text, identity, references, compatibility. Pure.

Not responsible for subjects and versions (registry_store.py). The `avro` package decides what is a
schema and what is compatible; the hot path's fastavro has no say here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.name import Names
from avro.schema import Schema, make_avsc_object

_MAX_REFERENCE_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Reference:
    """A named type that lives in a version of another subject."""

    name: str
    subject: str
    version: int

    def as_json(self) -> dict[str, Any]:
        """As it stands in requests, answers and the log."""
        return {"name": self.name, "subject": self.subject, "version": self.version}


@dataclass(frozen=True, slots=True)
class AvroText:
    """A schema's JSON text without white space, and what makes two schemas the same."""

    text: str
    references: tuple[Reference, ...]
    identity: str

    @classmethod
    def normalised(cls, text: str, references: tuple[Reference, ...]) -> AvroText:
        """From any JSON text; the order of keys and white space do not count for the identity."""
        value = json.loads(text)
        identity = json.dumps(
            [value, [r.as_json() for r in references]], sort_keys=True, separators=(",", ":")
        )
        return cls(json.dumps(value, separators=(",", ":")), references, identity)


def parse_avro(
    schema: AvroText, referenced: Callable[[Reference], AvroText], names: Any = None, depth: int = 0
) -> Schema:
    """The schema with its references resolved; raises whatever the avro package finds wrong."""
    if depth > _MAX_REFERENCE_DEPTH:
        raise ValueError(f"references nest deeper than {_MAX_REFERENCE_DEPTH}")
    names = names if names is not None else Names()
    for reference in schema.references:
        # Two paths may lead to one type; it is parsed the first time.
        if reference.name not in names.names:
            parse_avro(referenced(reference), referenced, names, depth + 1)
    return make_avsc_object(json.loads(schema.text), names)


def incompatibilities(*, reader: Schema, writer: Schema) -> list[str]:
    """Why data of `writer` cannot be read as `reader`; empty when it can."""
    result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    return [
        f"{kind.name}: {message} at {location}"
        for kind, message, location in zip(
            result.incompatibilities, result.messages, result.locations, strict=False
        )
    ] or ["incompatible"]
