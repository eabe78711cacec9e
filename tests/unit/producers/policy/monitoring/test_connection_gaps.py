"""Gaps of sockets: from the last data of a connection to the first of the next one."""

from __future__ import annotations

from producers.policy.monitoring.connection_gaps import ConnectionGaps, socket_of
from producers.policy.monitoring.events import SettlementsMissed
from producers.policy.outages import Filled
from schemas.control_items import FeedEvent
from schemas.times import US_PER_HOUR, US_PER_S

FEED = "kucoin"
HOUR = 497_000 * US_PER_HOUR
NOTHING = Filled(0, 0)
ONE, TWO, SPARE = "kucoin/uta/1", "kucoin/uta/2", "kucoin/uta-spare-1/3"


def closed(gaps: ConnectionGaps, identity: str, at: int, *, silences: bool = True) -> list[str]:
    """End a connection whose last data was a second ago; return the kinds of events."""
    socket = socket_of(identity)
    events = gaps.closed(identity, socket, "closed", at - US_PER_S, at, silences=silences)
    return [event.kind for event in events]


def test_a_gap_lasts_from_the_last_data_to_the_first_of_the_next_connection() -> None:
    """And says what REST has filled it with."""
    gaps = ConnectionGaps(FEED)
    assert gaps.data(ONE, HOUR, NOTHING) == ()
    assert gaps.data(ONE, HOUR, Filled(1, 10)) == ()
    assert closed(gaps, ONE, HOUR + 2 * US_PER_S) == ["gap_opened"]
    (end,) = gaps.data(TWO, HOUR + 5 * US_PER_S, Filled(4, 40))
    assert isinstance(end, FeedEvent)
    assert (end.kind, end.first_event_time) == ("gap_closed", HOUR + US_PER_S)
    assert "30 rates of 3 polls" in end.detail


def test_a_connection_without_data_leaves_no_gap() -> None:
    """Attempts that fail one after the other are one gap."""
    gaps = ConnectionGaps(FEED)
    assert closed(gaps, ONE, HOUR) == []
    gaps.data(ONE, HOUR, NOTHING)
    assert closed(gaps, ONE, HOUR) == ["gap_opened"]
    assert closed(gaps, TWO, HOUR) == []


def test_a_connection_that_was_replaced_leaves_no_gap() -> None:
    """Whether it was handed over, or closed while the next one delivers."""
    gaps = ConnectionGaps(FEED)
    gaps.data(ONE, HOUR, NOTHING)
    gaps.handed_over(ONE)
    assert gaps.data(TWO, HOUR, NOTHING) == ()
    gaps.data(ONE, HOUR, NOTHING)
    assert closed(gaps, TWO, HOUR) == []


def test_a_full_hour_in_a_gap_is_missed_where_contracts_were_silent() -> None:
    """A gap within the hour misses nothing, nor does one whose contracts another socket brought."""
    gaps = ConnectionGaps(FEED)
    for begin, end, silences, missed in (
        (HOUR - US_PER_S, HOUR + US_PER_S, True, True),
        (HOUR + 2 * US_PER_S, HOUR + 9 * US_PER_S, True, False),
        (HOUR - US_PER_S, HOUR + US_PER_S, False, False),
    ):
        gaps.data(SPARE, begin, NOTHING)
        closed(gaps, SPARE, begin, silences=silences)
        events = gaps.data(SPARE, end, NOTHING)
        assert (SettlementsMissed("uta-spare-1") in events) == missed


def test_the_socket_stands_in_the_id_of_a_connection() -> None:
    """Between the feed and the time."""
    assert [socket_of(identity) for identity in (ONE, SPARE)] == ["uta", "uta-spare-1"]
