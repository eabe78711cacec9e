"""When records became readable, noted by a process of its own at the end of a topic.

Its own, so that it shares no interpreter with the pacer. `poll` hands a record over as it comes;
`consume` would wait for its whole timeout.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

import msgspec
from confluent_kafka import TopicPartition

from schemas.clock import now_us
from schemas.config.settings import SharedSettings
from schemas.kafka import clients
from schemas.partitioning import PARTITIONS
from schemas.records import ZSCORE
from schemas.serde.registry import SchemaCatalog

Stamp = Literal["key", "zscore", "json"]
"""Where a record tells when it was sent: its key, or `received_at` of a z-score or of JSON."""
_ASK_S = 60.0
_POLL_S = 0.1


class Arrival(NamedTuple):
    """When a record was sent, by itself, and when it was readable (UTC µs)."""

    sent_us: int
    arrived_us: int

    @property
    def took_ms(self) -> float:
        """How long it was on its way."""
        return (self.arrived_us - self.sent_us) / 1_000


class Arrivals:
    """Watches a topic from its present end on, in a process of its own."""

    def __init__(self, settings: SharedSettings, topic: str, stamp: Stamp) -> None:
        """`stamp`: where the time of sending stands."""
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        arguments = (settings.kafka_bootstrap, settings.registry_url, topic, stamp, theirs)
        self._process = context.Process(target=_watch, args=arguments, daemon=True)
        self._process.start()
        assert self._ours.poll(_ASK_S), "the process that measures did not start"
        self._ours.recv()

    def end(self) -> list[Arrival]:
        """Stop and return what was noted."""
        self._ours.send("end")
        found: list[Arrival] = self._ours.recv()
        self._process.join(_ASK_S)
        return found


class _Sent(msgspec.Struct):
    received_at: int


def _reader(stamp: Stamp, settings: SharedSettings) -> Callable[[Any], int | None]:
    """Return what finds the time of sending in a message; None: it does not count."""
    if stamp == "key":
        return lambda message: int(message.key())
    if stamp == "json":
        sent = msgspec.json.Decoder(_Sent).decode
        return lambda message: sent(message.value()).received_at
    decode = SchemaCatalog(settings).decoder(ZSCORE).decode

    def of_zscore(message: Any) -> int | None:
        zscore = decode(message.value())
        received_at: int = zscore["received_at"]
        # What the flush publishes has waited for it by design.
        return None if zscore["trigger"] == "flush" else received_at

    return of_zscore


def _watch(bootstrap: str, registry: str, topic: str, stamp: Stamp, pipe: Connection) -> None:
    settings = SharedSettings(kafka_bootstrap=bootstrap, registry_url=registry)
    sent_of = _reader(stamp, settings)
    consumer: Any = clients.consumer(
        {**settings.librdkafka(), "group.id": f"bench-{topic}", "enable.auto.commit": False}
    )
    ends = [
        consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ASK_S)[1]
        for partition in range(PARTITIONS)
    ]
    consumer.assign([TopicPartition(topic, p, offset) for p, offset in enumerate(ends)])
    pipe.send("ready")
    # Read at the end: to decode a burst would delay the noting of what comes behind it.
    messages: list[tuple[int, Any]] = []
    while not pipe.poll():
        message = consumer.poll(_POLL_S)
        if message is not None and message.error() is None:
            messages.append((now_us(), message))
    consumer.close()
    read = ((sent_of(message), arrived_us) for arrived_us, message in messages)
    pipe.send([Arrival(sent_us, arrived_us) for sent_us, arrived_us in read if sent_us is not None])
