"""Gaps of connections: one for each socket, from the last data to the first, and what filled it."""

from __future__ import annotations

from producers.policy.outages import Ended, Filled, Outages
from schemas.audit_facts import AuditCause, AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.control_items import FeedEvent

S = 1_000_000


def ended(socket: str, reason: str, cause: AuditCause = AuditCause.CLOSED) -> Ended:
    """The end of a socket's first connection."""
    return Ended(socket, f"feed/{socket}/1", cause, reason)


def test_a_gap_reaches_from_the_last_data_to_the_first() -> None:
    """And not from the close to the connect; what REST brought meanwhile is counted."""
    outages = Outages("kucoin")
    opened = outages.lost(
        ended("uta", "no data for 30 s", AuditCause.SILENT), 100 * S, 130 * S, Filled(7, 700)
    )
    assert opened == FeedEvent(
        AuditKind.GAP_OPENED,
        "kucoin",
        100 * S,
        130 * S,
        1,
        "socket uta: no data for 30 s",
        AuditFacts(cause=AuditCause.SILENT, socket="uta", connection_id="feed/uta/1"),
    )
    assert outages.open == 1
    closed = outages.delivers("uta", "feed/uta/2", 142 * S, Filled(10, 2_700))
    assert closed == FeedEvent(
        AuditKind.GAP_CLOSED,
        "kucoin",
        100 * S,
        142 * S,
        1,
        "socket uta: 42.0 s (no data for 30 s); REST filled it with 2000 rates of 3 polls",
        AuditFacts(
            cause=AuditCause.SILENT,
            socket="uta",
            connection_id="feed/uta/2",
            rest_polls=3,
            rest_updates=2_000,
        ),
    )
    assert outages.open == 0


def test_a_gap_that_nothing_filled_says_so() -> None:
    """It ended before the first poll."""
    outages = Outages("kucoin")
    outages.lost(ended("uta", "closed"), 5 * S, 6 * S, Filled(1, 2))
    event = outages.delivers("uta", "feed/uta/2", 7 * S, Filled(1, 2))
    assert event is not None
    assert event.detail == "socket uta: 2.0 s (closed); nothing filled it"
    assert (event.facts.rest_polls, event.facts.rest_updates) == (0, 0)


def test_sockets_have_gaps_of_their_own_and_a_gap_begins_once() -> None:
    """Attempts that fail, or end without data, prolong the gap that is open."""
    outages = Outages("hyperliquid")
    assert outages.lost(ended("main", "first"), 1 * S, 2 * S, Filled(0, 0)) is not None
    assert outages.lost(ended("main", "second"), 3 * S, 4 * S, Filled(5, 5)) is None
    assert outages.lost(ended("hip3", "other"), 5 * S, 6 * S, Filled(5, 5)) is not None
    assert outages.open == 2
    first = outages.delivers("main", "feed/main/2", 9 * S, Filled(6, 60))
    assert first is not None
    assert (first.first_event_time, first.last_event_time) == (1 * S, 9 * S)
    assert "60 rates of 6 polls" in first.detail
    assert outages.delivers("main", "feed/main/2", 10 * S, Filled(6, 60)) is None
    assert outages.open == 1
