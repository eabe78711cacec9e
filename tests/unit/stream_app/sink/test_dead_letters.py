"""Dead letters of the sink: the original bytes, where they came from, and no return before that."""

from __future__ import annotations

import pytest

from stream_app.settings import SinkSettings
from stream_app.sink.batches import Message
from stream_app.sink.dead_letters import DeadLetter, DeadLetterQueue
from tests.support.mock_kafka import MockKafka

MESSAGE = Message(3, 77, b"kucoin:A", b"\x00broken")
LETTER = DeadLetter("funding.rates", MESSAGE, "not a FundingRate")


class GivenUpError(Exception):
    """What a `wait` raises that gives up."""


def test_a_letter_is_on_the_broker_when_publish_returns() -> None:
    """With key, bytes and coordinates of the message that could not be stored."""
    kafka = MockKafka()
    queue = DeadLetterQueue(SinkSettings(kafka_bootstrap=kafka.bootstrap))
    queue.publish([LETTER], lambda _s: None)
    (found,) = kafka.records("funding.dead-letters", 1)
    assert (found.key(), found.value()) == (b"kucoin:A", b"\x00broken")
    assert dict(found.headers()) == {
        "stage": b"sink",
        "error": b"not a FundingRate",
        "source_topic": b"funding.rates",
        "source_partition": b"3",
        "source_offset": b"77",
    }


def test_a_broker_that_is_away_is_waited_for_until_wait_gives_up() -> None:
    """So the chunk stays uncommitted, and the consumer stays in its group meanwhile."""
    queue = DeadLetterQueue(SinkSettings(kafka_bootstrap="127.0.0.1:1"))
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise GivenUpError

    with pytest.raises(GivenUpError):
        queue.publish([LETTER], wait)
    assert len(waited) == 3
