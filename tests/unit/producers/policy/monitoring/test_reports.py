"""Small reports of a feed: clocks that differ, counts by the minute, listings."""

from __future__ import annotations

from producers.policy.instruments import Change
from producers.policy.monitoring.clock_skew import ClockSkew
from producers.policy.monitoring.event_counts import EVERY_S, EventCounts
from producers.policy.monitoring.listing_report import SURPLUS_EVERY_S, ListingReport
from schemas.control_items import FeedEvent
from schemas.times import US_PER_S

FEED, AT = "kucoin", 1_790_000_000_000_000


def test_clocks_that_differ_are_reported_at_begin_and_end() -> None:
    """Not with every look, and not while they agree."""
    skew = ClockSkew(FEED)
    assert skew.observe(0.0, AT) == ()
    (begin,) = skew.observe(-7.25, AT)
    assert begin == FeedEvent(
        "clock_skew", FEED, AT, AT, detail="the exchange's clock is -7.2 s from ours"
    )
    assert skew.observe(3.0, AT) == ()
    assert skew.observe(0.0, AT + 1) == (
        FeedEvent("clock_skew", FEED, AT + 1, AT + 1, detail="ended"),
    )
    assert skew.observe(0.0, AT) == ()


def test_counts_are_reported_once_a_minute_and_only_what_was_added() -> None:
    """By kind, with the time that they are about; a kind of which there were none is left out."""
    counts = EventCounts(FEED, 100.0)
    assert counts.observe({"repeated": 5, "rate_limited": 1}, 100.0 + EVERY_S - 1, AT) == []
    minute_us = round(EVERY_S * US_PER_S)
    assert counts.observe({"repeated": 7, "rate_limited": 0}, 100.0 + EVERY_S, AT) == [
        FeedEvent("repeated", FEED, AT - minute_us, AT, 7)
    ]
    assert counts.observe({"repeated": 7, "rate_limited": 2}, 101.0 + 2 * EVERY_S, AT) == [
        FeedEvent("rate_limited", FEED, AT - minute_us - US_PER_S, AT, 2)
    ]
    assert counts.observe({"repeated": 7, "rate_limited": 2}, 102.0 + 3 * EVERY_S, AT) == []


def test_listings_are_reported_by_contract_in_order() -> None:
    """Those of the first list are no news."""
    report = ListingReport(FEED)
    change = Change((), frozenset({"NEW"}), frozenset({"B", "A"}))
    assert report.observe(change, 0.0, AT, first=True) == []
    assert report.observe(change, 0.0, AT, first=False) == [
        FeedEvent("listed", f"{FEED}:NEW", AT, AT),
        FeedEvent("delisted", f"{FEED}:A", AT, AT),
        FeedEvent("delisted", f"{FEED}:B", AT, AT),
    ]


def test_contracts_beyond_the_limit_are_reported_once_an_hour() -> None:
    """With how many they are, also of the first list."""
    report, found = ListingReport(FEED), []
    change = Change((), frozenset(), frozenset(), surplus=7)
    for now_s in (0.0, 1.0, SURPLUS_EVERY_S - 1, SURPLUS_EVERY_S):
        events = report.observe(change, now_s, AT, first=now_s == 0.0)
        found.append([(event.kind, event.count) for event in events])
    assert found == [[("contract_cap", 7)], [], [], [("contract_cap", 7)]]
