"""Messages that Kafka deleted before the sink had them are counted, and nothing else is."""

from __future__ import annotations

from schemas.topics import CONTRACTS, STATUS
from stream_app.sink.expected_offsets import ExpectedOffsets
from stream_app.sink.tables import DELETED_BY_AGE, TABLES

RATES = "funding.rates"


def test_a_hole_after_the_committed_offset_is_counted_once() -> None:
    """At the start, and later, when an outage outlasts the retention."""
    expected = ExpectedOffsets({(RATES, 0): 10, (RATES, 1): 10})
    assert expected.missing_before(RATES, 0, 25) == 15
    assert expected.missing_before(RATES, 0, 26) == 0
    assert expected.missing_before(RATES, 1, 10) == 0
    assert expected.missing_before(RATES, 1, 14) == 3


def test_a_first_start_and_a_topic_made_anew_miss_nothing() -> None:
    """Without a commit a group begins with the oldest message that there is."""
    expected = ExpectedOffsets({(RATES, 0): -1001, (RATES, 1): 500})
    assert expected.missing_before(RATES, 0, 77) == 0
    assert expected.missing_before(RATES, 1, 0) == 0
    assert expected.missing_before(RATES, 1, 1) == 0


def test_a_compacted_topic_is_not_looked_at() -> None:
    """Its holes are messages that newer ones have replaced."""
    assert {table.topic.name for table in TABLES} - DELETED_BY_AGE == {CONTRACTS.name, STATUS.name}
