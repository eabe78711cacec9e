"""The schema registry's state as a value: records go in, answers come out. Pure: no I/O, no clock.

Every change is a record (a JSON object) that a `plan_…` method returns and `apply` performs, so
that the log of records is the state. Avro only; the package `avro` judges compatibility.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.embedded.registry.avro_text import AvroText, Reference, incompatibilities, parse_avro

Record = dict[str, Any]

LEVELS = (
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
    "NONE",
)
MODES = ("READWRITE", "READONLY")
MAX_SCHEMAS = 10_000
_LATEST = ("latest", "-1")
_DEFAULT_LEVEL = "BACKWARD"


class RegistryError(Exception):
    """An error answer: HTTP status, Confluent's error code, message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(slots=True)
class Version:
    """One version of a subject. Deleted ones are kept, so that an id never changes its meaning."""

    number: int
    schema_id: int
    deleted: bool = False


class RegistryStore:
    """Subjects, their versions, schemas by id, compatibility levels and modes."""

    def __init__(self) -> None:
        self._subjects: dict[str, list[Version]] = {}
        self._schemas: dict[int, AvroText] = {}
        self._id_of: dict[str, int] = {}
        self._levels: dict[str | None, str] = {None: _DEFAULT_LEVEL}
        self._modes: dict[str | None, str] = {None: "READWRITE"}

    @property
    def max_id(self) -> int:
        """The highest schema id given so far, 0 when there is none."""
        return max(self._schemas, default=0)

    def subjects(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        """Return the names of the subjects that have a version."""
        return [
            name
            for name, versions in self._subjects.items()
            if name.startswith(prefix) and any(deleted or not v.deleted for v in versions)
        ]

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """Return a subject's versions, oldest first. Raises RegistryError: there is none."""
        found = [v for v in self._subjects.get(subject, []) if deleted or not v.deleted]
        if not found:
            raise RegistryError(404, 40401, f"Subject '{subject}' not found.")
        return found

    def version(self, subject: str, number: str, *, deleted: bool = False) -> Version:
        """Return a version by its number or "latest". Raises RegistryError: there is none."""
        versions = self.versions(subject, deleted=deleted)
        if number in _LATEST:
            return versions[-1]
        if not number.isdecimal() or int(number) < 1:
            raise RegistryError(
                422, 42202, f"The specified version '{number}' is not a valid version id."
            )
        for version in versions:
            if version.number == int(number):
                return version
        raise RegistryError(404, 40402, f"Version {number} not found.")

    def schema(self, schema_id: int) -> AvroText:
        """Return a schema by its id. Raises RegistryError: there is none."""
        if schema_id not in self._schemas:
            raise RegistryError(404, 40403, f"Schema {schema_id} not found")
        return self._schemas[schema_id]

    def uses(self, schema_id: int) -> list[tuple[str, int]]:
        """Return the (subject, version) pairs that have a schema id."""
        self.schema(schema_id)
        return [(s, v.number) for s, v in self._live() if v.schema_id == schema_id]

    def referenced_by(self, subject: str, number: str) -> list[int]:
        """Return the ids of the schemas that refer to a version."""
        target = self.version(subject, number).number
        return [
            schema_id
            for schema_id, schema in self._schemas.items()
            if any(r.subject == subject and r.version == target for r in schema.references)
        ]

    def find(self, subject: str, schema: AvroText, *, deleted: bool = False) -> Version | None:
        """Return the subject's newest version with this schema; None: it has none."""
        schema_id = self._id_of.get(schema.identity)
        versions = reversed(self._subjects.get(subject, []))
        return next(
            (v for v in versions if v.schema_id == schema_id and (deleted or not v.deleted)), None
        )

    def level(self, subject: str | None) -> str:
        """Return the compatibility level of a subject, or the global one."""
        return self._levels.get(subject, self._levels[None])

    def has_level(self, subject: str) -> bool:
        """Whether the subject has a level of its own."""
        return subject in self._levels

    def mode(self, subject: str | None) -> str:
        """Return the mode of a subject, or the global one."""
        return self._modes.get(subject, self._modes[None])

    def has_mode(self, subject: str) -> bool:
        """Whether the subject has a mode of its own."""
        return subject in self._modes

    def read_schema(self, body: Mapping[str, Any]) -> AvroText:
        """Return the schema of a request body. Raises RegistryError: it is not valid."""
        kind = body.get("schemaType") or "AVRO"
        text = body.get("schema")
        if kind != "AVRO":
            raise RegistryError(422, 42201, f"This registry keeps Avro schemas only, not {kind}")
        if not isinstance(text, str) or not text:
            raise RegistryError(422, 42201, "Empty schema")
        try:
            references = tuple(
                Reference(str(r["name"]), str(r["subject"]), int(r["version"]))
                for r in body.get("references") or ()
            )
        except (TypeError, KeyError, ValueError) as error:
            raise RegistryError(422, 42201, f"Invalid references: {error!r}") from error
        try:
            schema = AvroText.normalised(text, references)
            parse_avro(schema, self._referenced)
        except RegistryError:
            raise
        except Exception as error:  # the avro package raises many kinds
            raise RegistryError(422, 42201, f"Invalid schema {text[:200]}: {error}") from error
        return schema

    def problems(self, subject: str, schema: AvroText, number: str | None = None) -> list[str]:
        """Return why the schema may not follow the subject's versions, or that of `number`."""
        level = self.level(subject)
        live = [v for v in self._subjects.get(subject, []) if not v.deleted]
        if number is not None:
            live = [self.version(subject, number)]
        elif not level.endswith("_TRANSITIVE"):
            live = live[-1:]
        if level == "NONE":
            return []
        new = parse_avro(schema, self._referenced)
        found: list[str] = []
        for version in live:
            old = parse_avro(self._schemas[version.schema_id], self._referenced)
            if level.startswith(("BACKWARD", "FULL")):
                found += [
                    f"{p} (new schema reads version {version.number})"
                    for p in incompatibilities(reader=new, writer=old)
                ]
            if level.startswith(("FORWARD", "FULL")):
                found += [
                    f"{p} (version {version.number} reads new schema)"
                    for p in incompatibilities(reader=old, writer=new)
                ]
        return found

    def plan_register(self, subject: str, schema: AvroText) -> Record | None:
        """Return the record that adds a version; None where the subject has the schema already.

        Raises:
            RegistryError: the subject is read-only, the schema incompatible, or there is no room.
        """
        if self.find(subject, schema) is not None:
            return None
        if self.mode(subject) == "READONLY":
            raise RegistryError(422, 42205, f"Subject {subject} is in read-only mode")
        if problems := self.problems(subject, schema):
            raise RegistryError(
                409,
                409,
                "Schema being registered is incompatible with an earlier schema for subject"
                f' "{subject}", details: {problems}',
            )
        known_id = self._id_of.get(schema.identity)
        if known_id is None and len(self._schemas) >= MAX_SCHEMAS:
            raise RegistryError(422, 42201, f"This registry is full ({MAX_SCHEMAS} schemas)")
        versions = self._subjects.get(subject, [])
        return {
            "op": "register",
            "subject": subject,
            "version": max((v.number for v in versions), default=0) + 1,
            "id": known_id or self.max_id + 1,
            "schema": schema.text,
            "references": [r.as_json() for r in schema.references],
        }

    def plan_delete(self, subject: str, number: str | None, *, permanent: bool) -> Record:
        """Return the record that deletes a version or, without a number, all.

        Only a version that is deleted already can be deleted permanently.
        """
        versions = self.versions(subject, deleted=permanent)
        if number is not None:
            versions = [self.version(subject, number, deleted=permanent)]
        if permanent and any(not v.deleted for v in versions):
            what = "Subject" if number is None else "Version"
            raise RegistryError(
                404,
                40405 if number is None else 40407,
                f"{what} of '{subject}' was not deleted first before being permanently deleted",
            )
        return {
            "op": "purge" if permanent else "delete",
            "subject": subject,
            "versions": [v.number for v in versions],
        }

    def plan_level(self, subject: str | None, level: Any) -> Record:
        """Return the record that sets a compatibility level."""
        if level not in LEVELS:
            raise RegistryError(
                422, 42203, f"Invalid compatibility level. Valid values are {', '.join(LEVELS)}"
            )
        return {"op": "level", "subject": subject, "level": level}

    def plan_mode(self, subject: str | None, mode: Any) -> Record:
        """Return the record that sets a mode."""
        if mode not in MODES:
            raise RegistryError(422, 42204, f"Invalid mode. Valid values are {', '.join(MODES)}")
        return {"op": "mode", "subject": subject, "mode": mode}

    def apply(self, record: Record) -> None:
        """Perform a record. Raises KeyError, TypeError or ValueError: it is not a valid one."""
        subject = record["subject"]
        match record["op"]:
            case "register":
                references = tuple(Reference(**r) for r in record["references"])
                schema = AvroText.normalised(record["schema"], references)
                schema_id = int(record["id"])
                self._schemas[schema_id] = schema
                self._id_of[schema.identity] = schema_id
                version = Version(int(record["version"]), schema_id)
                self._subjects.setdefault(subject, []).append(version)
            case "delete":
                for version in self._subjects.get(subject, []):
                    version.deleted = version.deleted or version.number in record["versions"]
            case "purge":
                self._purge(subject, record["versions"])
            case "level":
                self._set(self._levels, subject, record["level"])
            case "mode":
                self._set(self._modes, subject, record["mode"])
            case other:
                raise ValueError(f"unknown operation {other!r}")

    def _purge(self, subject: str, numbers: Sequence[int]) -> None:
        kept = [v for v in self._subjects.get(subject, []) if v.number not in numbers]
        if kept:
            self._subjects[subject] = kept
        else:
            self._subjects.pop(subject, None)

    @staticmethod
    def _set(table: dict[str | None, str], subject: str | None, value: str | None) -> None:
        """Set a subject's own value; None removes it."""
        if value is None:
            table.pop(subject, None)
        else:
            table[subject] = value

    def _live(self) -> Iterator[tuple[str, Version]]:
        for subject, versions in self._subjects.items():
            for version in versions:
                if not version.deleted:
                    yield subject, version

    def _referenced(self, reference: Reference) -> AvroText:
        version = self.version(reference.subject, str(reference.version), deleted=True)
        return self._schemas[version.schema_id]


def dump_record(record: Record) -> str:
    """Return a record as one line of JSON."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=True) + "\n"
