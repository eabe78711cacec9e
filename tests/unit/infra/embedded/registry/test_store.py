"""The schema registry's store and log, without HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.embedded.registry.log import RegistryLog
from infra.embedded.registry.store import RegistryError, RegistryStore
from schemas.errors import StateError

ID = {"name": "id", "type": "long"}
NOTE = {"name": "note", "type": ["null", "string"], "default": None}
MUST = {"name": "must", "type": "string"}


def body(*fields: dict[str, Any]) -> dict[str, Any]:
    """A request's body with a record schema."""
    return {"schema": json.dumps({"type": "record", "name": "R", "fields": fields})}


def register(store: RegistryStore, subject: str, *fields: dict[str, Any]) -> int:
    """Registers and gives the id."""
    schema = store.read_schema(body(*fields))
    record = store.plan_register(subject, schema)
    if record is not None:
        store.apply(json.loads(json.dumps(record)))  # as it comes back from the log
    version = store.find(subject, schema)
    assert version is not None
    return version.schema_id


@pytest.mark.parametrize(
    ("level", "adds_default", "adds_required", "drops_required"),
    [
        ("BACKWARD", True, False, True),
        ("FORWARD", True, True, False),
        ("FULL", True, False, False),
        ("NONE", True, True, True),
    ],
)
def test_levels_mean_what_confluents_mean(
    level: str, adds_default: bool, adds_required: bool, drops_required: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """BACKWARD: the new reads the old; FORWARD: the old reads the new; FULL: both."""
    store = RegistryStore()
    register(store, "s", ID, MUST)
    store.apply(store.plan_level("s", level))
    other = {"name": "other", "type": "string"}
    for fields, allowed in (
        ((ID, MUST, NOTE), adds_default),
        ((ID, MUST, other), adds_required),
        ((ID,), drops_required),
    ):
        problems = store.problems("s", store.read_schema(body(*fields)))
        assert (problems == []) is allowed, (fields, problems)


def test_transitive_levels_look_at_all_versions() -> None:
    """A change that fits the last version but not the first."""
    store = RegistryStore()
    typed = {"name": "x", "type": "string", "default": ""}
    other = {"name": "x", "type": "long", "default": 0}
    register(store, "s", ID, typed)
    register(store, "s", ID)
    store.apply(store.plan_level("s", "BACKWARD_TRANSITIVE"))
    with pytest.raises(RegistryError) as refused:
        register(store, "s", ID, other)
    assert refused.value.status == 409
    store.apply(store.plan_level("s", "BACKWARD"))
    register(store, "s", ID, other)


def test_deleting_takes_two_steps_and_ids_keep_their_meaning() -> None:
    """First out of sight, then gone; the schema stays readable by its id; numbers go on."""
    store = RegistryStore()
    schema_id = register(store, "s", ID)
    with pytest.raises(RegistryError, match="not deleted first"):
        store.plan_delete("s", None, permanent=True)
    store.apply(store.plan_delete("s", None, permanent=False))
    assert store.subjects() == []
    assert store.subjects(deleted=True) == ["s"]
    with pytest.raises(RegistryError):
        store.versions("s")
    assert register(store, "s", ID) == schema_id
    assert [v.number for v in store.versions("s", deleted=True)] == [1, 2]
    store.apply(store.plan_delete("s", None, permanent=False))
    store.apply(store.plan_delete("s", None, permanent=True))
    assert store.subjects(deleted=True) == []
    assert store.schema(schema_id).text


def test_a_read_only_subject_takes_nothing_new() -> None:
    """What is registered already is still answered."""
    store = RegistryStore()
    schema_id = register(store, "s", ID)
    store.apply(store.plan_mode("s", "READONLY"))
    assert register(store, "s", ID) == schema_id
    with pytest.raises(RegistryError, match="read-only"):
        register(store, "s", ID, NOTE)


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"schema": ""},
        {"schema": 1},
        {"schema": "{"},
        {"schema": '{"type":"record"}'},
        {"schema": '"string"', "schemaType": "PROTOBUF"},
        {"schema": '"string"', "references": [{"name": "x"}]},
    ],
)
def test_bad_schemas_are_422(bad: dict[str, Any]) -> None:
    """Whatever the avro package raises."""
    with pytest.raises(RegistryError) as refused:
        RegistryStore().read_schema(bad)
    assert (refused.value.status, refused.value.code) == (422, 42201)


def test_the_log_is_the_state(tmp_path: Path) -> None:
    """Reopened at any byte of its last record, it holds exactly the whole records before it."""
    path = tmp_path / "log"
    store = RegistryStore()
    log = RegistryLog(path, store)
    for fields in ((ID,), (ID, NOTE)):
        record = store.plan_register("s", store.read_schema(body(*fields)))
        assert record is not None
        log.commit(record)
    log.close()
    whole = path.read_bytes()
    first_end = whole.index(b"\n") + 1
    for end in range(first_end, len(whole)):
        path.write_bytes(whole[:end])
        again = RegistryStore()
        RegistryLog(path, again).close()
        assert [v.number for v in again.versions("s")] == [1]
        assert path.read_bytes() == whole[:first_end]
    path.write_bytes(whole)
    again = RegistryStore()
    RegistryLog(path, again).close()
    assert [v.number for v in again.versions("s")] == [1, 2]


@pytest.mark.parametrize("line", ["{}", "[]", "nonsense", '{"op":"x","subject":"s"}', ""])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    """Damage before the end is never skipped: ids would change their meaning."""
    path = tmp_path / "log"
    path.write_text(f"{line}\n")
    with pytest.raises(StateError, match="line 1 of"):
        RegistryLog(path, RegistryStore())
