"""The Avro schemas as a contract: what the types say, what may change, what may not."""

from __future__ import annotations

import json
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from schemas.records import RECORD_TYPES, RecordType

PLAIN = {"string": str, "bytes": bytes, "int": int, "long": int, "double": float, "boolean": bool}
TIMES = ("_at", "_time", "_time_raw", "hour", "since", "stats_as_of")
by_name = pytest.mark.parametrize("record_type", RECORD_TYPES, ids=lambda r: r.name)


def document_of(record_type: RecordType) -> dict[str, Any]:
    """The schema as JSON."""
    document: dict[str, Any] = json.loads(record_type.text)
    return document


def reads(reader: dict[str, Any], writer: dict[str, Any]) -> bool:
    """Whether the `avro` package finds that `reader` reads what `writer` wrote."""
    result = ReaderWriterCompatibilityChecker().get_compatibility(
        parse(json.dumps(reader)), parse(json.dumps(writer))
    )
    return bool(result.compatibility is SchemaCompatibilityType.compatible)


def assert_same_type(hint: Any, node: Any, where: str) -> None:
    """Compare a Python type with a schema node: optional-ness, enum symbols, nested records."""
    if get_origin(hint) in (Union, types.UnionType):
        assert isinstance(node, list), f"{where}: optional in Python alone"
        assert node[0] == "null", f"{where}: null must come first, for its default"
        assert len(node) == 2, where
        (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
        assert_same_type(inner, node[1], where)
    elif get_origin(hint) is Literal:
        assert sorted(get_args(hint)) == sorted(node["symbols"]), where
    elif get_origin(hint) is list:
        assert node["type"] == "array", where
        assert_same_type(get_args(hint)[0], node["items"], where)
    elif isinstance(node, dict) and node["type"] == "record":
        assert_same_fields(hint, node, where)
    else:
        assert not isinstance(node, list), f"{where}: optional in the schema alone"
        plain = node if isinstance(node, str) else node["type"]
        assert PLAIN[plain] is hint, where


def assert_same_fields(python_type: Any, document: dict[str, Any], where: str) -> None:
    """Compare a TypedDict with a record schema, field by field."""
    hints = get_type_hints(python_type)
    fields = {field["name"]: field["type"] for field in document["fields"]}
    assert set(hints) == set(fields), where
    assert python_type.__total__, where
    for name, hint in hints.items():
        assert_same_type(hint, fields[name], f"{where}.{name}")


@by_name
def test_the_python_type_has_the_schemas_fields(record_type: RecordType) -> None:
    """Names, types, enum symbols and what may be null are the same on both sides."""
    assert_same_fields(record_type.python_type, document_of(record_type), record_type.name)


@by_name
def test_a_type_is_named_as_its_file_and_record(record_type: RecordType) -> None:
    """The record's full name is io.fundingstream and the name of its Python type."""
    document = document_of(record_type)
    assert document["namespace"] == "io.fundingstream"
    assert document["name"] == record_type.name == record_type.python_type.__name__
    assert record_type.fields == tuple(field["name"] for field in document["fields"])


@by_name
def test_a_nullable_field_defaults_to_null(record_type: RecordType) -> None:
    """So it can be added, removed and left out."""
    for field in document_of(record_type)["fields"]:
        if isinstance(field["type"], list):
            assert field["default"] is None, field["name"]


@by_name
def test_every_record_and_field_is_documented(record_type: RecordType) -> None:
    """The schema is what a consumer in another company reads."""
    document = document_of(record_type)
    assert document["doc"]
    assert [f["name"] for f in document["fields"] if not f.get("doc")] == []


@by_name
def test_every_time_is_timestamp_micros(record_type: RecordType) -> None:
    """A consumer's deserialiser gives datetimes, in one unit."""
    for field in document_of(record_type)["fields"]:
        node = field["type"][1] if isinstance(field["type"], list) else field["type"]
        is_time = isinstance(node, dict) and node.get("logicalType") == "timestamp-micros"
        assert is_time == field["name"].endswith(TIMES), field["name"]


@by_name
def test_a_schema_reads_itself(record_type: RecordType) -> None:
    """The checker used here and in the registry accepts each schema against itself."""
    assert reads(document_of(record_type), document_of(record_type))


@by_name
def test_a_schema_reads_its_version_before_a_defaulted_field(record_type: RecordType) -> None:
    """Adding a field with a default is BACKWARD compatible, for every type."""
    reader, before = document_of(record_type), document_of(record_type)
    reader["fields"].append({"name": "added", "type": ["null", "double"], "default": None})
    defaulted = [f["name"] for f in before["fields"] if "default" in f]
    before["fields"] = [f for f in before["fields"] if f["name"] not in defaulted[-1:]]
    assert reads(reader, before)


@by_name
def test_a_new_field_without_a_default_is_refused(record_type: RecordType) -> None:
    """What was written before cannot fill it."""
    reader = document_of(record_type)
    reader["fields"].append({"name": "added", "type": "double"})
    assert not reads(reader, document_of(record_type))


@by_name
def test_a_changed_type_is_refused(record_type: RecordType) -> None:
    """No text becomes a number."""
    reader = document_of(record_type)
    reader["fields"] = [
        {**f, "type": "double"} if f["type"] == "string" else f for f in reader["fields"]
    ]
    assert not reads(reader, document_of(record_type))


def test_a_removed_enum_symbol_is_refused() -> None:
    """What was written with it could not be read any more."""
    (zscore,) = (r for r in RECORD_TYPES if r.name == "ZScore")
    reader = document_of(zscore)
    (zone,) = (f for f in reader["fields"] if f["name"] == "zone")
    zone["type"]["symbols"].remove("unrated")
    assert not reads(reader, document_of(zscore))
