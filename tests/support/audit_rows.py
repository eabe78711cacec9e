"""Rows of audit events and of reports about feeds, for tests of views."""

from __future__ import annotations

from typing import Any

from schemas.audit_facts import NO_FACTS, fact_fields
from schemas.audit_kinds import AuditKind
from schemas.clock import now_us
from schemas.times import US_PER_DAY, US_PER_S

DAY_US = (now_us() // US_PER_DAY - 2) * US_PER_DAY
"""The day before yesterday."""


def audit(subject: str, kind: str, first: int, last: int, **changes: Any) -> dict[str, Any]:
    """An audit event, from one time to another."""
    return {
        **fact_fields(NO_FACTS), "subject": subject, "kind": AuditKind(kind), "count": 1,
        "first_event_time": first, "last_event_time": last, "detail": "",
        "raw_topic": "funding.raw.x", "raw_partition": 3, "raw_offset": last // US_PER_S,
        "raw_item": 0,
    } | changes  # fmt: skip


def report(feed: str, at: int, state: str = "live") -> dict[str, Any]:
    """What a producer reports at a time."""
    counts = (
        *("contracts_expected", "contracts_live", "connections", "connects", "frames", "updates"),
        *("rest_calls", "backfill_done", "contracts_by_rest", "connect_attempts"),
        *("rest_failures", "repeated", "contracts_quiet"),
    )
    return {
        "feed": feed, "state": state, "transport": None, "since": at, "reported_at": at,
        "last_data_at": None, "detail": "", "mode": "stream", "simulated": False,
        "limit_used": None, **dict.fromkeys(counts, 0),
    }  # fmt: skip
