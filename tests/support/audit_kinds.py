"""Whether audit events are what their kind says, and the enumerations as tables of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.audit_facts import NO_FACTS, fact_fields
from schemas.audit_kinds import AuditKind

FIELDS = tuple(fact_fields(NO_FACTS))


def check_audit(record: Mapping[str, Any]) -> None:
    """Hold that the kind is enumerated, carries these fields and may be about the subject."""
    kind = AuditKind(record["kind"])
    carried = {field for field in FIELDS if record[field] is not None}
    assert carried <= set(kind.fields), (kind, carried)
    subject = "contract" if ":" in record["subject"] else "feed"
    assert subject in kind.subject, record


def table_of(page: str, title: str) -> list[tuple[str, ...]]:
    """Return the rows of the table under a heading of a Markdown page, without the table's head."""
    _, _, section = page.partition(f"\n## {title}\n")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]
