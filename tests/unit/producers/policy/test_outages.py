"""Gaps of connections: one for each socket, from the last data to the first, and what filled it."""

from __future__ import annotations

from producers.policy.outages import Filled, Outages
from schemas.control_items import FeedEvent

S = 1_000_000


def test_a_gap_reaches_from_the_last_data_to_the_first() -> None:
    """And not from the close to the connect; what REST brought meanwhile is counted."""
    outages = Outages("kucoin")
    opened = outages.lost("uta", 100 * S, 130 * S, "no data for 30 s", Filled(7, 700))
    assert opened == FeedEvent(
        "gap_opened", "kucoin", 100 * S, 130 * S, 1, "socket uta: no data for 30 s"
    )
    assert outages.open == 1
    closed = outages.delivers("uta", 142 * S, Filled(10, 2_700))
    assert closed == FeedEvent(
        "gap_closed",
        "kucoin",
        100 * S,
        142 * S,
        1,
        "socket uta: 42.0 s (no data for 30 s); REST filled it with 2000 rates of 3 polls",
    )
    assert outages.open == 0


def test_a_gap_that_nothing_filled_says_so() -> None:
    """It ended before the first poll."""
    outages = Outages("kucoin")
    outages.lost("uta", 5 * S, 6 * S, "closed", Filled(1, 2))
    event = outages.delivers("uta", 7 * S, Filled(1, 2))
    assert event is not None
    assert event.detail == "socket uta: 2.0 s (closed); nothing filled it"


def test_sockets_have_gaps_of_their_own_and_a_gap_begins_once() -> None:
    """Attempts that fail, or end without data, prolong the gap that is open."""
    outages = Outages("hyperliquid")
    assert outages.lost("main", 1 * S, 2 * S, "first", Filled(0, 0)) is not None
    assert outages.lost("main", 3 * S, 4 * S, "second", Filled(5, 5)) is None
    assert outages.lost("hip3", 5 * S, 6 * S, "other", Filled(5, 5)) is not None
    assert outages.open == 2
    first = outages.delivers("main", 9 * S, Filled(6, 60))
    assert first is not None
    assert (first.first_event_time, first.last_event_time) == (1 * S, 9 * S)
    assert "60 rates of 6 polls" in first.detail
    assert outages.delivers("main", 10 * S, Filled(6, 60)) is None
    assert outages.open == 1
