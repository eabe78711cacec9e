"""Audit events are counted per subject, kind and minute of receipt."""

from __future__ import annotations

import msgspec

from schemas.audit_facts import NO_FACTS, AuditCause, AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.times import US_PER_HOUR, US_PER_MINUTE
from stream_app.core.state.audit_counts import (
    MAX_DETAIL_BYTES,
    MAX_ENTRIES,
    AuditBook,
    AuditCount,
    Noted,
    audit_event,
)

MINUTE = 29_850_000 * US_PER_MINUTE


def noted(kind: AuditKind, second: int, subject: str = "f:A") -> Noted:
    """A decision `second` seconds into MINUTE about an event a second older."""
    at = MINUTE + second * 1_000_000
    return Noted(subject, kind, at - 1_000_000, at, second, 7, f"detail {second}")


def test_a_minute_of_one_kind_is_one_event() -> None:
    """With the first and last event time and the newest detail."""
    book = AuditBook("f")
    for second in (3, 5, 9):
        book.note(noted(AuditKind.LATE, second))
    (entry,) = book.take_due(MINUTE + US_PER_MINUTE)
    event = audit_event(entry, "funding.raw.f", 4)
    assert (event["count"], event["detail"], event["raw_offset"]) == (3, "detail 9", 9)
    assert event["first_event_time"] == MINUTE + 2_000_000
    assert event["last_event_time"] == MINUTE + 8_000_000


def test_a_decision_may_count_more_than_once_and_be_about_a_span() -> None:
    """What was missed: how many ticks, from the one before them to the one after."""
    book = AuditBook("f")
    book.note(Noted("f:A", AuditKind.MISSED, MINUTE + 5, MINUTE + 6, 1, 2, "", 3, MINUTE - 4))
    book.note(Noted("f:A", AuditKind.MISSED, MINUTE + 9, MINUTE + 9, 1, 2, "", 4, MINUTE + 7))
    (entry,) = book.take_due(MINUTE + US_PER_MINUTE)
    assert (entry.count, entry.first_event_time, entry.last_event_time) == (
        7,
        MINUTE - 4,
        MINUTE + 9,
    )


def test_kinds_subjects_and_minutes_are_apart() -> None:
    """Each has its own event."""
    book = AuditBook("f")
    for one in (
        noted(AuditKind.LATE, 1),
        noted(AuditKind.DUPLICATE, 1),
        noted(AuditKind.LATE, 1, "f:B"),
        noted(AuditKind.LATE, 61),
    ):
        book.note(one)
    assert len(book.take_due(MINUTE + 2 * US_PER_MINUTE)) == 4


def test_a_minute_is_published_when_it_has_ended_and_once() -> None:
    """Not while it may still grow."""
    book = AuditBook("f")
    book.note(noted(AuditKind.LATE, 1))
    assert book.take_due(MINUTE + US_PER_MINUTE - 1) == []
    assert len(book.take_due(MINUTE + US_PER_MINUTE)) == 1
    assert book.take_due(MINUTE + 9 * US_PER_MINUTE) == []


def test_what_is_stored_goes_on_counting() -> None:
    """A restart in mid-minute loses no count."""
    book = AuditBook("f")
    book.note(noted(AuditKind.LATE, 1))
    again = AuditBook("f", book.entries())
    again.note(noted(AuditKind.LATE, 2))
    assert [entry.count for entry in again.take_due(MINUTE + US_PER_MINUTE)] == [2]


def test_settlements_of_several_hours_are_several_events() -> None:
    """The history after an outage brings them within one minute; a restart keeps them apart."""
    book = AuditBook("f")
    hours = [MINUTE - number * US_PER_HOUR for number in (3, 2, 1)]
    for number, hour in enumerate((*hours, hours[0])):
        book.note(
            Noted(
                "f:A", AuditKind.SETTLED_DIFFERS, hour, MINUTE + number, number, 7, f"at {number}"
            )
        )
    again = AuditBook("f", book.entries())
    again.note(Noted("f:A", AuditKind.SETTLED_DIFFERS, hours[1], MINUTE + 9, 9, 7, "at 9"))
    found = again.take_due(MINUTE + US_PER_MINUTE)
    assert [(entry.first_event_time, entry.count, entry.detail) for entry in found] == [
        (hours[0], 2, "at 3"),
        (hours[1], 2, "at 9"),
        (hours[2], 1, "at 2"),
    ]
    assert not again


def test_more_than_the_bound_is_one_entry() -> None:
    """Of the feed, with what the newest one was; it is published like the others."""
    book = AuditBook("f")
    for index in range(MAX_ENTRIES + 1_000):
        book.note(noted(AuditKind.LATE, 1, f"f:C{index}"))
    book.note(noted(AuditKind.LATE, 2, "f:C3"))
    assert len(book.entries()) == MAX_ENTRIES + 1
    (other,) = [entry for entry in book.entries() if entry.kind == AuditKind.OTHER]
    newest = f"late of f:C{MAX_ENTRIES + 999}: detail 1"
    assert (other.subject, other.count, other.detail) == ("f", 1_000, newest)
    again = AuditBook("f", book.entries())
    again.note(noted(AuditKind.LATE, 130, "f:NEW"))
    assert len(again.entries()) == MAX_ENTRIES + 1
    due = again.take_due(MINUTE + US_PER_MINUTE)
    assert sum(entry.count for entry in due) == MAX_ENTRIES + 1_000 + 2
    assert again.entries() == []


def test_details_are_bounded_in_bytes() -> None:
    """Whatever script a symbol or a message brings in."""
    book = AuditBook("f")
    book.note(Noted("f:A", AuditKind.LATE, 1, MINUTE, 1, 0, "币" * 1_000))
    (entry,) = book.entries()
    assert entry.detail == "币" * (MAX_DETAIL_BYTES // 3)


def test_the_facts_are_those_of_the_newest_decision() -> None:
    """As its detail is; a record has each field, None where the decision has none."""
    book = AuditBook("f")
    for rate in (0.25, None):
        facts = AuditFacts(rate=rate, cause=AuditCause.SETTLING)
        book.note(Noted("f:A", AuditKind.LATE, 1, MINUTE, 1, 0, facts=facts))
    (entry,) = AuditBook("f", book.entries()).take_due(MINUTE + US_PER_MINUTE)
    event = audit_event(entry, "funding.raw.f", 4)
    assert (event["cause"], event["rate"], event["socket"]) == ("settling", None, None)


def test_what_exceeds_the_bound_has_no_facts() -> None:
    """They would be of some other contract and kind than the entry says."""
    book = AuditBook("f")
    for index in range(MAX_ENTRIES + 1):
        facts = AuditFacts(rate=0.5)
        book.note(Noted(f"f:C{index}", AuditKind.LATE, 1, MINUTE, 1, 0, facts=facts))
    assert [e.facts for e in book.entries() if e.kind == AuditKind.OTHER] == [NO_FACTS]


def test_an_entry_of_a_version_before_the_facts_is_read() -> None:
    """State on the changelog outlives an upgrade: nine values, without facts."""
    old = ["f:A", "late", MINUTE, 3, 1, 2, "rate 0.1", 7, 0]
    entry = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=AuditCount)
    assert (entry.kind, entry.count, entry.facts) == ("late", 3, NO_FACTS)


def test_an_entry_of_a_later_version_is_read() -> None:
    """Its kind stays as it is, its cause becomes `other`, and facts that are not known go."""
    facts = {"cause": "tide", "height_m": 2.5, "rate": 0.5}
    later = ["f:A", "moon_phase", MINUTE, 3, 1, 2, "full", 7, 0, facts]
    entry = msgspec.msgpack.decode(msgspec.msgpack.encode(later), type=AuditCount)
    assert (entry.kind, entry.facts) == (
        "moon_phase",
        AuditFacts(cause=AuditCause.OTHER, rate=0.5),
    )
