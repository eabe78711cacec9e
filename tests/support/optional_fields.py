"""The optional fields of a payload, found in the structs that normalisers decode it into."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import msgspec

from stream_app.normalise.payloads import ChannelNormaliser
from tests.fuzz.samples import normaliser_of
from tests.venues.samples import Sample


class OptionalField(NamedTuple):
    """A field that a payload need not have."""

    path: tuple[str, ...]
    """The keys that lead to it; a list on the way has one element."""
    kind: str
    """The name of its annotation: Number, Time, Text, Flag or another."""

    @property
    def name(self) -> str:
        """Its key."""
        return self.path[-1]

    def written(self, row: Any, value: object) -> bytes:
        """Return the payload with the field's value replaced."""
        changed = copy.deepcopy(row)
        self._holder(changed)[self.name] = value
        return json.dumps(changed, ensure_ascii=False).encode()

    def absent(self, row: Any) -> bytes:
        """Return the payload without the field."""
        changed = copy.deepcopy(row)
        self._holder(changed).pop(self.name, None)
        return json.dumps(changed, ensure_ascii=False).encode()

    def _holder(self, row: Any) -> dict[str, Any]:
        """The object that the field stands in."""
        for key in self.path[:-1]:
            row = row[key]
            if isinstance(row, list):
                (row,) = row
        found: dict[str, Any] = row
        return found


def optional_fields(sample: Sample) -> list[OptionalField]:
    """Return the optional fields of a sample's payload, of nested objects too."""
    normalise = normaliser_of(sample.feed)
    assert isinstance(normalise, ChannelNormaliser)
    reader = normalise.reader(sample.purpose, sample.channel)
    assert reader is not None
    return list(_fields_of(reader.row_type, (), sample.row))


def _fields_of(struct: Any, path: tuple[str, ...], row: Any) -> Iterator[OptionalField]:
    """The fields of a struct, and those of the structs in it that the row has."""
    for field in msgspec.structs.fields(struct):
        here = (*path, field.encode_name)
        if not field.required:
            yield OptionalField(here, struct.__annotations__[field.name])
        inner = next((part for part in _parts(field.type) if _is_struct(part)), None)
        value = row.get(field.encode_name)
        if inner is not None and value is not None:
            (nested,) = value if isinstance(value, list) else (value,)
            yield from _fields_of(inner, here, nested)


def _parts(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)
