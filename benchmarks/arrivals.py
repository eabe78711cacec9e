"""How long records were on their way, noted by a process of its own at the end of a topic.

Its own, so that it shares no interpreter with the pacer. `poll` hands a record over as it comes;
`consume` would wait for its whole timeout.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

from confluent_kafka import TopicPartition

from schemas.clock import now_us
from schemas.config.settings import SharedSettings
from schemas.kafka import clients
from schemas.partitioning import PARTITIONS
from schemas.records import ZSCORE
from schemas.serde.registry import SchemaCatalog
from schemas.topics import ZSCORES

Stamp = Literal["key", "zscore"]
_ASK_S = 15.0
_POLL_S = 0.1


class Arrival(NamedTuple):
    """A record that was sent at `sent_us`, and how long it took to be readable."""

    sent_us: int
    took_ms: float


class Arrivals:
    """Watches a topic from its present end on, in a process of its own."""

    def __init__(self, settings: SharedSettings, topic: str, stamp: Stamp) -> None:
        """`stamp`: where the time of sending is, in the key or in a z-score's `received_at`."""
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


def _watch(bootstrap: str, registry: str, topic: str, stamp: Stamp, pipe: Connection) -> None:
    settings = SharedSettings(kafka_bootstrap=bootstrap, registry_url=registry)
    decode = SchemaCatalog(settings).decoder(ZSCORE).decode if topic == ZSCORES.name else None
    assert (decode is not None) == (stamp == "zscore")
    consumer: Any = clients.consumer(
        {**settings.librdkafka(), "group.id": f"bench-{topic}", "enable.auto.commit": False}
    )
    ends = [
        consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ASK_S)[1]
        for partition in range(PARTITIONS)
    ]
    consumer.assign([TopicPartition(topic, p, offset) for p, offset in enumerate(ends)])
    pipe.send("ready")
    found: list[Arrival] = []
    while not pipe.poll():
        message = consumer.poll(_POLL_S)
        if message is None or message.error() is not None:
            continue
        arrived = now_us()
        if decode is None:
            sent_us = int(message.key())
        else:
            zscore = decode(message.value())
            if zscore["trigger"] == "flush":
                continue
            sent_us = zscore["received_at"]
        found.append(Arrival(sent_us, (arrived - sent_us) / 1_000))
    consumer.close()
    pipe.send(found)
