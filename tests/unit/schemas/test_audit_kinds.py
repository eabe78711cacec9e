"""The kinds of audit events and alerts: enumerated once, and the pages show all of them."""

from __future__ import annotations

import json

import msgspec
import pytest

from schemas.alert_kinds import AlertKind
from schemas.audit_facts import NO_FACTS, AuditCause, AuditFacts, fact_fields
from schemas.audit_kinds import AuditKind
from schemas.records import AUDIT_EVENT
from tests.support.audit_kinds import FIELDS, table_of
from tests.support.paths import ROOT

AUDIT_PAGE = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
ALERT_PAGE = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")


def listed(names: tuple[str, ...]) -> str:
    """Names as a cell of a table shows them."""
    return ", ".join(f"`{name}`" for name in names)


def test_the_page_shows_every_kind_of_audit_event_and_no_other() -> None:
    """With what it is about, how it is counted, what it means and which fields it carries."""
    assert table_of(AUDIT_PAGE, "Kinds") == [
        (
            f"`{kind}`",
            kind.subject,
            "by minute" if kind.counted else "at once",
            kind.meaning,
            listed(kind.fields),
        )
        for kind in AuditKind
    ]


def test_the_page_shows_every_field() -> None:
    """In the words of the Avro schema, which outside consumers read."""
    docs = {field["name"]: field["doc"] for field in json.loads(AUDIT_EVENT.text)["fields"]}
    assert [(row[0], row[2]) for row in table_of(AUDIT_PAGE, "Fields")] == [
        (f"`{field}`", docs[field]) for field in FIELDS
    ]


def test_the_page_shows_every_cause() -> None:
    """Each once, in the order of the enumeration."""
    assert [row[0] for row in table_of(AUDIT_PAGE, "Causes")] == [f"`{c}`" for c in AuditCause]


def test_the_page_shows_every_kind_of_alert_and_no_other() -> None:
    """With its severities and what it means."""
    assert table_of(ALERT_PAGE, "Kinds") == [
        (f"`{kind}`", ", ".join(kind.severities), kind.meaning) for kind in AlertKind
    ]


@pytest.mark.parametrize("kind", AuditKind)
def test_a_kind_says_what_it_means_and_names_fields_that_exist(kind: AuditKind) -> None:
    """One sentence; fields of AuditFacts."""
    assert kind.meaning.endswith(".")
    assert set(kind.fields) <= set(FIELDS)
    assert AuditKind(str(kind)) is kind


def test_every_field_is_carried_by_some_kind() -> None:
    """One that no kind carries would be dead."""
    assert {field for kind in AuditKind for field in kind.fields} == set(FIELDS)


def test_the_fields_are_those_of_the_record() -> None:
    """The same names in the facts, in the Avro record and, by a test of the sink, in the table."""
    assert tuple(field.name for field in msgspec.structs.fields(AuditFacts)) == FIELDS
    assert AUDIT_EVENT.fields[-len(FIELDS) :] == FIELDS
    assert set(fact_fields(NO_FACTS).values()) == {None}


def test_a_kind_is_its_value_wherever_it_is_written() -> None:
    """In text, JSON and as a key: records, tables and metrics hold the value alone."""
    assert (f"{AuditKind.LATE}", str(AlertKind.Z_CROSS)) == ("late", "z_cross")
    assert msgspec.json.encode([AuditKind.LATE, AlertKind.Z_CROSS]) == b'["late","z_cross"]'
    assert {AuditKind.LATE: 1} == {"late": 1}
