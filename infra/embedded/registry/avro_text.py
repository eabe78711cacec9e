"""Avro schemas as the registry sees them: text, identity, references, compatibility. Pure.

The package `avro` decides what is a valid schema and what is compatible.
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
        """Return it in the form of requests, answers and the log."""
        return {"name": self.name, "subject": self.subject, "version": self.version}


@dataclass(frozen=True, slots=True)
class AvroText:
    """A schema's JSON text without white space, and what makes two schemas the same."""

    text: str
    references: tuple[Reference, ...]
    identity: str

    @classmethod
    def normalised(cls, text: str, references: tuple[Reference, ...]) -> AvroText:
        """Return a JSON text normalised; key order and white space do not change its identity."""
        value = json.loads(text)
        identity = json.dumps(
            [value, [r.as_json() for r in references]], sort_keys=True, separators=(",", ":")
        )
        return cls(json.dumps(value, separators=(",", ":")), references, identity)


def parse_avro(
    schema: AvroText, referenced: Callable[[Reference], AvroText], names: Any = None, depth: int = 0
) -> Schema:
    """Return the schema with its references resolved; raises what the package `avro` raises."""
    if depth > _MAX_REFERENCE_DEPTH:
        raise ValueError(f"references nest deeper than {_MAX_REFERENCE_DEPTH}")
    names = names if names is not None else Names()
    for reference in schema.references:
        # A type that two references lead to is parsed once.
        if reference.name not in names.names:
            parse_avro(referenced(reference), referenced, names, depth + 1)
    return make_avsc_object(json.loads(schema.text), names)


def incompatibilities(*, reader: Schema, writer: Schema) -> list[str]:
    """Return why data of `writer` cannot be read as `reader`; empty where it can."""
    result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    return [
        f"{kind.name}: {message} at {location}"
        for kind, message, location in zip(
            result.incompatibilities, result.messages, result.locations, strict=False
        )
    ] or ["incompatible"]
