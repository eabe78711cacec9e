"""A rule that fires: what is to be told, before it is decided whether, when and to whom."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Severity
from stream_app.notifier.rules.model import Rule


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert of one rule."""

    rule: Rule
    alert_id: str
    """Follows from the rule, the subject and the event that began it, or is our own alert's."""
    subject: str
    kind: str
    severity: Severity
    value: float | None
    title: str
    message: str
    event_time: int
    contract_id: str = ""
    """The contract whose page shows it; empty: none."""


def rule_alert_id(rule: str, subject: str, began_us: int) -> str:
    """Return the id of an alert that a rule makes of an excursion."""
    return f"rule/{rule}/{subject}/{began_us}"
