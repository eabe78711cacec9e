"""Counts audit events that are frequent: one entry for each subject, kind and minute of receipt.

The minute is one of `received_at`, not of a clock, so a replay counts the same. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

import msgspec

from schemas.audit_facts import NO_FACTS, AuditFacts, fact_fields
from schemas.audit_kinds import AuditKind
from schemas.records import AuditEvent
from schemas.symbols import clip
from schemas.times import US_PER_MINUTE, hour_floor

MAX_DETAIL_BYTES = 200
MAX_ENTRIES = 2_048
"""Of one block, which has at most 256 contracts: a minute's decisions, and those of the minute
before that are not yet published. What exceeds it is counted in one entry of the kind `other`."""
_BY_HOUR = frozenset(
    {AuditKind.SETTLED_MATCHED, AuditKind.SETTLED_DIFFERS, AuditKind.SETTLEMENT_DIFFERS}
)
"""Counted by the hour of their funding time as well: the history after an outage brings several
hours within one minute."""


_Key = tuple[str, str, int, int]


def _key(subject: str, kind: str, minute: int, since: int) -> _Key:
    return subject, kind, minute, hour_floor(since) if kind in _BY_HOUR else 0


class AuditCount(msgspec.Struct, array_like=True, gc=False):
    """How often something was decided about a subject within a minute."""

    subject: str
    kind: str
    """An AuditKind, or a kind that another version has stored."""
    minute: int
    """Start of the minute, of received_at."""
    count: int
    first_event_time: int
    last_event_time: int
    detail: str
    raw_offset: int
    raw_item: int
    facts: AuditFacts = NO_FACTS
    """Of the newest decision; state of versions before these fields has none."""

    @property
    def due_at(self) -> int:
        """The end of the minute: when it is published."""
        return self.minute + US_PER_MINUTE

    @property
    def key(self) -> _Key:
        """What it is counted by."""
        return _key(self.subject, self.kind, self.minute, self.first_event_time)


class Noted(msgspec.Struct, frozen=True, gc=False):
    """Decisions of one item: their kind, subject, event time and time of receipt."""

    subject: str
    kind: AuditKind
    event_time: int
    received_at: int
    raw_offset: int
    raw_item: int
    detail: str = ""
    count: int = 1
    since: int | None = None
    """Where the decision is about a time span: its beginning; `event_time` is its end."""
    facts: AuditFacts = NO_FACTS


class AuditBook:
    """The decisions that are counted and not yet published."""

    def __init__(self, feed: str, entries: Iterable[AuditCount] = ()) -> None:
        """`feed`: the subject of the decisions that exceed MAX_ENTRIES."""
        self._feed = feed
        self._entries = {entry.key: entry for entry in entries}
        self._before: list[dict[_Key, AuditCount | None]] = []
        """For each `begin`: the entries that were changed since, as they were; None: not there."""

    def begin(self) -> None:
        """Remember from now on what changes, until `keep` or `restore`; several may be open."""
        self._before.append({})

    def keep(self) -> None:
        """End the newest `begin`: what has changed since stands."""
        changed = self._before.pop()
        if self._before:
            outer = self._before[-1]
            for key, entry in changed.items():
                outer.setdefault(key, entry)

    def restore(self) -> None:
        """End the newest `begin`: what has changed since is undone."""
        for key, entry in self._before.pop().items():
            if entry is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = entry

    def _remember(self, key: _Key) -> None:
        if self._before and key not in self._before[-1]:
            self._before[-1][key] = copy(self._entries.get(key))

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def room(self) -> int:
        """How many entries there may be more, before MAX_ENTRIES are exceeded."""
        return MAX_ENTRIES - len(self._entries)

    def note(self, noted: Noted) -> None:
        """Count a decision by subject, kind and minute; detail and facts are the newest one's.

        What is about settlements is counted by their hour as well.
        """
        minute = noted.received_at - noted.received_at % US_PER_MINUTE
        since = noted.event_time if noted.since is None else noted.since
        key = _key(noted.subject, noted.kind, minute, since)
        subject, kind = noted.subject, noted.kind
        detail, facts = noted.detail, noted.facts
        entry = self._entries.get(key)
        if entry is None and len(self._entries) >= MAX_ENTRIES:
            entry = self._other()
            detail = f"{kind} of {subject}: {detail}"
            subject, kind, facts = self._feed, AuditKind.OTHER, NO_FACTS
        if entry is None:
            entry = AuditCount(
                subject,
                kind,
                minute,
                0,
                since,
                noted.event_time,
                "",
                noted.raw_offset,
                noted.raw_item,
            )
            self._remember(entry.key)
            self._entries[entry.key] = entry
        self._remember(entry.key)
        entry.count += noted.count
        entry.first_event_time = min(entry.first_event_time, since)
        entry.last_event_time = max(entry.last_event_time, noted.event_time)
        entry.detail = clip(detail, MAX_DETAIL_BYTES)
        entry.facts = facts
        entry.raw_offset, entry.raw_item = noted.raw_offset, noted.raw_item

    def _other(self) -> AuditCount | None:
        """Return the one entry of what exceeds the bound, if there is one already."""
        return next(
            (e for e in reversed(self._entries.values()) if e.kind == AuditKind.OTHER), None
        )

    def take_due(self, boundary: int) -> list[AuditCount]:
        """Take out and return the entries whose minute ended at or before `boundary`."""
        due = [entry for entry in self._entries.values() if entry.due_at <= boundary]
        for entry in due:
            del self._entries[entry.key]
        return due

    def entries(self) -> list[AuditCount]:
        """Return what is not yet published, to be stored."""
        return list(self._entries.values())


def audit_event(entry: AuditCount, raw_topic: str, raw_partition: int) -> AuditEvent:
    """Return the record of an entry."""
    return {
        "subject": entry.subject,
        "kind": entry.kind,
        "count": entry.count,
        "first_event_time": entry.first_event_time,
        "last_event_time": entry.last_event_time,
        "detail": entry.detail,
        "raw_topic": raw_topic,
        "raw_partition": raw_partition,
        "raw_offset": entry.raw_offset,
        "raw_item": entry.raw_item,
        **fact_fields(entry.facts),
    }
