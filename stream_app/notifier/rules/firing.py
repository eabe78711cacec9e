"""A rule that fires: what is to be told, before it is decided whether, when and to whom."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.rates import apr
from schemas.records import Severity, ZScore
from stream_app.notifier.rules import messages
from stream_app.notifier.rules.model import Rule
from stream_app.notifier.rules.spreads import Gap


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


def severity_of(rule: Rule) -> Severity:
    """Return the severity of what a rule fires by a condition of its own."""
    return rule.severity or "warning"


def contract_firing(
    rule: Rule, record: ZScore, began: int, kind: str, value: float | None, what: str
) -> Firing:
    """Return the alert of a contract's rate. `what` is the title behind the contract's name."""
    at, subject = record["event_time"], record["contract_id"]
    title, message = messages.score_words(record, at - began, what)
    return Firing(
        rule,
        rule_alert_id(rule.name, subject, began),
        subject,
        kind,
        severity_of(rule),
        value,
        title,
        message,
        at,
        subject,
    )


def spread_firing(rule: Rule, base: str, gap: Gap, began: int, at: int) -> Firing:
    """Return the alert of a spread between two feeds."""
    title, message = messages.spread_words(base, gap, at - began)
    return Firing(
        rule,
        rule_alert_id(rule.name, base, began),
        base,
        "spread",
        severity_of(rule),
        apr(*gap.high.rate) - apr(*gap.low.rate),
        title,
        message,
        at,
        gap.high.contract_id,
    )
