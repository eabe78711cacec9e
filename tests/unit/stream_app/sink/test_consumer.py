"""The order of storing and committing, and what the consumer is told."""

from __future__ import annotations

from stream_app.settings import SinkSettings
from stream_app.sink.batches import Chunk, Message, OffsetRange
from stream_app.sink.consumer import _waves, consumer_config


def chunk(topic: str, offset: int) -> Chunk:
    """A chunk of one message."""
    return Chunk(topic, (OffsetRange(0, offset, offset),), (Message(0, offset, None, b""),))


def test_no_wave_has_two_chunks_of_a_topic() -> None:
    """Offsets of a partition are committed in their order."""
    a1, a2, a3, b1, b2 = (
        chunk(t, n) for t, n in (*(("a", n) for n in range(3)), ("b", 0), ("b", 1))
    )
    assert _waves([a1, b1, a2, a3, b2]) == [[a1, b1], [a2, b2], [a3]]
    assert _waves([]) == []


def test_offsets_are_never_committed_by_themselves() -> None:
    """INSERT, then commit: librdkafka must not do it on its own."""
    config = consumer_config(SinkSettings())
    assert config["enable.auto.commit"] is False
    assert config["enable.auto.offset.store"] is False
    assert config["auto.offset.reset"] == "earliest"
    assert "group.instance.id" not in config
    assert consumer_config(SinkSettings(sink_instance="sink-1"))["group.instance.id"] == "sink-1"
