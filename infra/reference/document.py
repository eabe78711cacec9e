"""Renders the reference from schemas, topics and the columns of a database. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.reference.meanings import (
    COLUMNS,
    COMMON,
    DEAD_LETTER_KEY,
    KEYS,
    SOURCES,
    UNITS,
)
from schemas.errors import ConfigurationError
from schemas.records import RECORD_TYPES, RecordType
from schemas.topics import RAW_PREFIX, TopicSpec
from stream_app.sink.tables import DATABASE, TABLES

_HEAD = """\
# Reference

Every topic, Avro record, table and view, field by field. `make reference` prints this page from the
schemas, the definitions of the topics and a database that the migrations have made; a test keeps
them the same. How to use it all is in [consumers.md](consumers.md).

On Kafka a time is an Avro `timestamp-micros`: microseconds since 1970 in UTC, which most libraries
turn into a date and time. In ClickHouse it is a `DateTime64(6, 'UTC')`. What may be null says so in
its type.
"""
_MS_PER_DAY = 86_400_000
_TTL = re.compile(r"TTL .*toIntervalDay\((\d+)\)")
_NUMERIC = re.compile(r"(?:Nullable\()?(?:U?Int\d+|Float\d+|Decimal)")
_NUMERIC_AVRO = {"int", "long", "float", "double"}


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view as the database describes it. `key` and `engine` are empty for a view."""

    name: str
    comment: str
    key: str
    engine: str
    columns: tuple[tuple[str, str], ...]
    """Name and type of each."""

    @property
    def is_table(self) -> bool:
        """Whether it holds rows of its own."""
        return bool(self.key)


def page_of(topics: Sequence[TopicSpec], relations: Sequence[Relation]) -> str:
    """Return the whole page, as Markdown.

    Raises:
        ConfigurationError: meanings.py lacks an entry, or has one for what does not exist.
    """
    _require_complete(relations)
    parts = [_HEAD, _topics_section(topics), "## Records\n"]
    parts += [_record_section(record) for record in RECORD_TYPES]
    parts += ["## Tables\n", *(_relation_section(r) for r in relations if r.is_table)]
    parts += ["## Views\n", *(_relation_section(r) for r in relations if not r.is_table)]
    return "\n".join(parts)


def _topics_section(topics: Iterable[TopicSpec]) -> str:
    tables = {table.topic.name: table.name for table in TABLES}
    rows = []
    for topic in topics:
        record = topic.record_type
        table = tables.get(topic.name)
        rows.append(
            (
                f"`{topic.name}`",
                KEYS[record.name] if record else DEAD_LETTER_KEY,
                str(topic.partitions),
                kept(topic),
                f"[{record.name}](#{record.name.lower()})" if record else "the original bytes",
                f"`{DATABASE}.{table}`" if table else "–",
            )
        )
    head = ("Topic", "Key", "Partitions", "Kept", "Value", "Table")
    note = (
        "The subject of a topic's schema in the registry is `<topic>-value`. "
        f"There is one `{RAW_PREFIX}<feed>` for each feed.\n"
    )
    return "\n".join(["## Topics\n", note, _table(head, rows)])


def kept(topic: TopicSpec) -> str:
    """Return in words how long a topic keeps a record."""
    policies = topic.config.get("cleanup.policy", "delete").split(",")
    words = ["compacted: the newest of each key"] if "compact" in policies else []
    if "retention.ms" in topic.config:
        words.append(f"{int(topic.config['retention.ms']) // _MS_PER_DAY} days")
    return ", ".join(words)


def _record_section(record: RecordType) -> str:
    document = json.loads(record.text)
    head = ("Field", "Type", "Unit", "Meaning")
    rows = [_field_row(record.name, field, "") for field in document["fields"]]
    for field in document["fields"]:
        nested = _nested(field["type"])
        if nested is not None:
            rows += [_field_row(nested["name"], f, f"{field['name']}[].") for f in nested["fields"]]
    return "\n".join([f"### {record.name}\n", f"{document['doc']}.\n", _table(head, rows)])


def _field_row(record: str, field: dict[str, Any], prefix: str) -> tuple[str, ...]:
    name = field["name"]
    unit = _unit(record, name) if _is_numeric(field["type"]) else ""
    return f"`{prefix}{name}`", avro_type(field["type"]), unit, field["doc"]


def avro_type(node: Any) -> str:
    """Return an Avro type in words: `double or null`, `enum: ws, rest`."""
    if isinstance(node, list):
        return f"{avro_type(node[1])}, or null"
    if isinstance(node, str):
        return node
    match node["type"]:
        case "enum":
            return "enum: " + ", ".join(f"`{symbol}`" for symbol in node["symbols"])
        case "array":
            return f"array of {avro_type(node['items'])}"
        case "record":
            return str(node["name"])
        case plain:
            return str(node.get("logicalType", plain))


def _nested(node: Any) -> dict[str, Any] | None:
    if isinstance(node, dict) and node["type"] == "array" and isinstance(node["items"], dict):
        items: dict[str, Any] = node["items"]
        return items
    return None


def _is_numeric(node: Any) -> bool:
    plain = node[1] if isinstance(node, list) else node
    return isinstance(plain, str) and plain in _NUMERIC_AVRO


def _relation_section(relation: Relation) -> str:
    lines = [f"### {DATABASE}.{relation.name}\n", f"{relation.comment}.\n"]
    if relation.is_table:
        days = _TTL.search(relation.engine)
        kept_for = f"{days[1]} days" if days else "without limit"
        columns = ", ".join(f"`{column}`" for column in relation.key.split(", "))
        stored = next((t.record_type.name for t in TABLES if t.name == relation.name), None)
        source = f"Stores [{stored}](#{stored.lower()}). " if stored else ""
        lines.append(f"{source}One row for each {columns}. Kept {kept_for}.\n")
    rows = [
        (
            f"`{name}`",
            type_,
            _unit(relation.name, name) if _NUMERIC.match(type_) else "",
            _meaning(relation.name, name) or "",
        )
        for name, type_ in relation.columns
    ]
    if not rows:
        return "\n".join(lines)
    return "\n".join([*lines, _table(("Column", "Type", "Unit", "Meaning"), rows)])


def _record_of(relation: str) -> str | None:
    sink = {table.name: table.record_type.name for table in TABLES}
    return sink.get(relation) or SOURCES.get(relation)


def _unit(owner: str, field: str) -> str:
    """Return the unit of a numeric field of a record or relation, or "" where none is known."""
    names = (owner, _record_of(owner) or owner)
    exact = (UNITS[f"{name}.{field}"] for name in names if f"{name}.{field}" in UNITS)
    return next(exact, UNITS.get(field, ""))


def _meaning(relation: str, column: str) -> str | None:
    own = COLUMNS.get(relation, {}).get(column)
    return own or _docs(_record_of(relation)).get(column) or COMMON.get(column)


def _docs(record: str | None) -> dict[str, str]:
    texts = (r.text for r in RECORD_TYPES if r.name == record)
    return {f["name"]: f["doc"] for text in texts for f in json.loads(text)["fields"]}


def _numeric_names(columns: Mapping[tuple[str, str], str]) -> set[str]:
    """Return the names of all numeric columns and of all numeric fields of records."""
    names = {name for (_, name), type_ in columns.items() if _NUMERIC.match(type_)}
    for record in RECORD_TYPES:
        fields = json.loads(record.text)["fields"]
        nested = [item for f in fields for item in (_nested(f["type"]) or {}).get("fields", ())]
        names |= {f["name"] for f in (*fields, *nested) if _is_numeric(f["type"])}
    return names


def _require_complete(relations: Sequence[Relation]) -> None:
    columns = {(r.name, name): type_ for r in relations for name, type_ in r.columns}
    faults = [f"{r}.{c} has no meaning" for r, c in columns if _meaning(r, c) is None]
    faults += [
        f"{r}.{c} has no unit"
        for (r, c), type_ in columns.items()
        if _NUMERIC.match(type_) and not _unit(r, c)
    ]
    for record in RECORD_TYPES:
        fields = json.loads(record.text)["fields"]
        faults += [
            f"{record.name}.{field['name']} has no unit"
            for field in fields
            if _is_numeric(field["type"]) and not _unit(record.name, field["name"])
        ]
    known = {name.split(".")[-1] for name in UNITS} - _numeric_names(columns)
    faults += [f"{name} has a unit and does not exist" for name in sorted(known)]
    faults += [
        f"{relation}.{column} has a meaning and does not exist"
        for relation, meanings in COLUMNS.items()
        for column in meanings
        if (relation, column) not in columns
    ]
    if faults:
        raise ConfigurationError("infra/reference/meanings.py: " + "; ".join(faults))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows]
    lines = [" | ".join(head), *(" | ".join(row) for row in cells)]
    lines.insert(1, " | ".join("---" for _ in head))
    return "".join(f"| {line} |\n" for line in lines)
