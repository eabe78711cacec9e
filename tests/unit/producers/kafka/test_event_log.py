"""What was decided is kept until it is on the raw log, in order; a flood is counted."""

from __future__ import annotations

from typing import Any, cast

from producers.kafka.event_log import FeedEventLog
from schemas.control_items import FEED_EVENT, FeedEvent
from tests.support.clock import ManualClock
from tests.support.feed_parts import FakePublisher


def event(number: int) -> FeedEvent:
    """An event unlike the others."""
    return FeedEvent("kind", "kucoin", number, number + 1, number + 2, f"detail {number}")


def published(publisher: FakePublisher) -> list[FeedEvent]:
    """What stands on the log."""
    return [FeedEvent.unpack(piece.payload) for *_, slices in publisher.log for piece in slices]


async def test_events_are_published_in_their_order_and_once() -> None:
    """In one record, on the channel that is ours; without news nothing is published."""
    publisher = FakePublisher()
    kept = FeedEventLog("kucoin", cast("Any", publisher), ManualClock())
    assert kept.identity.startswith("kucoin/producer/")
    await kept.publish()
    assert publisher.log == []
    for number in range(3):
        kept.note(event(number))
    assert kept.news.is_set()
    await kept.publish()
    assert not kept.news.is_set()
    ((purpose, channel, slices),) = publisher.log
    assert (purpose, channel) == ("contract", FEED_EVENT)
    assert all(piece.symbol is None for piece in slices)
    assert published(publisher) == [event(0), event(1), event(2)]
    await kept.publish()
    assert len(publisher.log) == 1


async def test_of_a_flood_the_newest_are_kept_and_the_others_counted() -> None:
    """Kafka was away for hours: memory is bounded, and the log says that something is missing."""
    publisher = FakePublisher()
    kept = FeedEventLog("kucoin", cast("Any", publisher), ManualClock(), max_waiting=5)
    for number in range(12):
        kept.note(event(number))
    await kept.publish()
    *newest, lost = published(publisher)
    assert newest == [event(number) for number in range(7, 12)]
    assert (lost.kind, lost.subject, lost.count) == ("events_lost", "kucoin", 7)
    publisher.log.clear()
    kept.note(event(13))
    await kept.publish()
    assert published(publisher) == [event(13)]
