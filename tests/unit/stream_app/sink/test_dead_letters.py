"""Dead letters of the sink: the original bytes, where they came from, and no return before that."""

from __future__ import annotations

import os

import pytest

from schemas.kafka import clients
from schemas.topics import MAX_MESSAGE_BYTES
from stream_app.settings import SinkSettings
from stream_app.sink.batches import Message
from stream_app.sink.dead_letters import DeadLetter, DeadLetterQueue, UndeliverableError
from tests.support.mock_kafka import MockKafka

MESSAGE = Message(3, 77, b"kucoin:A", b"\x00broken")
LETTER = DeadLetter("funding.rates", MESSAGE, "not a FundingRate")


def test_the_largest_message_that_a_topic_takes_is_cut_for_the_headers() -> None:
    """Its letter fits, and says how large it was."""
    kafka = MockKafka()
    queue = DeadLetterQueue(SinkSettings(kafka_bootstrap=kafka.bootstrap))
    key, value = b"k" * 100_000, os.urandom(MAX_MESSAGE_BYTES + 5)
    large = DeadLetter("funding.rates", Message(3, 78, key, value), "é" * 5_000)
    queue.publish([large, LETTER], lambda _s: None)
    found = kafka.records("funding.dead-letters", 2)
    second, first = sorted(found, key=lambda record: len(record.value()))
    assert value.startswith(first.value())
    assert key.startswith(first.key())
    headers = dict(first.headers())
    assert headers["truncated_from_bytes"] == b"%d" % len(value)
    sizes = [len(name) + len(content) for name, content in first.headers()]
    assert len(first.key()) + len(first.value()) + sum(sizes) + 200 < MAX_MESSAGE_BYTES
    assert (large.is_cut, LETTER.is_cut) == (True, False)
    assert second.value() == b"\x00broken"


def test_more_letters_than_the_queue_takes_wait_for_room() -> None:
    """The producer's queue is bounded, and a chunk may be larger."""
    kafka = MockKafka()
    config = {"bootstrap.servers": kafka.bootstrap, "queue.buffering.max.messages": 10}
    queue = DeadLetterQueue(SinkSettings(), clients.producer(config))
    queue.publish([LETTER] * 100, lambda _s: None)
    assert len(kafka.records("funding.dead-letters", 100)) == 100


def test_a_letter_that_is_refused_leaves_the_others_delivered() -> None:
    """Whoever tries again sends it alone: else the others would be there twice."""
    kafka = MockKafka()
    config = {"bootstrap.servers": kafka.bootstrap, "message.max.bytes": 10_000}
    queue = DeadLetterQueue(SinkSettings(), clients.producer(config))
    refused = DeadLetter("funding.rates", Message(3, 78, None, b"x" * 20_000), "too large")
    with pytest.raises(UndeliverableError) as caught:
        queue.publish([LETTER, refused, LETTER], lambda _s: None)
    assert caught.value.letters == [refused]
    assert len(kafka.records("funding.dead-letters", 2)) == 2


def test_letters_that_were_given_up_do_not_come_later() -> None:
    """They come again with their chunk, and would be there twice."""
    producer = clients.producer({"bootstrap.servers": "127.0.0.1:1"})
    queue = DeadLetterQueue(SinkSettings(), producer)

    def wait(_seconds: float) -> None:
        raise GivenUpError

    with pytest.raises(GivenUpError):
        queue.publish([LETTER] * 5, wait)
    producer.flush(1)
    assert len(producer) == 0


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
