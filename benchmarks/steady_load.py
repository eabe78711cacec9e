"""A stream of updates that goes on in a thread, and who notes when each partition's rates come out.

Event times run faster than the wall clock, so that hours change and bars close in a short run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_END, TopicPartition

from benchmarks.feeding import Feeder, send_history
from benchmarks.load import FEED, Instrument, market, update_batch
from schemas.clock import now_us
from schemas.config.settings import SharedSettings
from schemas.kafka import clients
from schemas.partitioning import PARTITIONS
from schemas.records import FUNDING_RATE, RawBatch
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_MINUTE, US_PER_MS
from schemas.topics import RATES, raw_topic

FRAME_S = 0.2
STEP_MS = 8_000
"""Event time from frame to frame: an hour of it passes in 90 s."""
_POLL_S = 0.02


class SteadyLoad(threading.Thread):
    """Writes one record a partition and frame, until it is stopped."""

    def __init__(self, settings: SharedSettings, contracts_each: int, seed: int) -> None:
        """`contracts_each`: of a partition."""
        super().__init__(name="load", daemon=True)
        self._feeder = Feeder(settings)
        self._market = market(contracts_each, seed)
        self._stop_asked = threading.Event()
        self._event_ms = now_us() // US_PER_MS
        self.newest_us = [0] * PARTITIONS
        """Receipt of the newest record of each partition."""
        self.updates = 0

    def prepare(self) -> None:
        """Write the facts and the history of all contracts."""
        send_history(self._feeder, self._market, now_us())

    def run(self) -> None:
        """Write frame after frame."""
        next_s = time.monotonic()
        while not self._stop_asked.wait(max(0.0, next_s - time.monotonic())):
            next_s += FRAME_S
            self._event_ms += STEP_MS
            for partition, instruments in enumerate(self._market):
                self._send(partition, instruments, now_us())

    def _send(self, partition: int, instruments: Sequence[Instrument], at_us: int) -> None:
        batch = update_batch(instruments, self._event_ms, at_us)
        self._produce(partition, batch)
        self.newest_us[partition] = at_us
        self.updates += len(instruments)

    def _produce(self, partition: int, batch: RawBatch) -> None:
        value = self._feeder.encode(batch)
        self._feeder.send([raw_topic(FEED)], partition, value)

    def finish(self) -> None:
        """Stop, with a record on each partition that lets nothing be owed to the wall clock."""
        self._stop_asked.set()
        self.join()
        at_us = now_us() + 2 * US_PER_MINUTE
        for partition in range(PARTITIONS):
            last = update_batch((), self._event_ms, at_us)
            last["items"] = [{"symbol": None, "payload": b"{}", "received_at": at_us}]
            self._produce(partition, last)
        self._feeder.delivered()


class Arrival(NamedTuple):
    """A rate that is younger than all before it on its partition (µs)."""

    at_us: int
    """When it came."""
    received_us: int


class Arrivals(threading.Thread):
    """Follows funding.rates; a partition is silent from one arrival to the next."""

    def __init__(self, settings: SharedSettings) -> None:
        super().__init__(name="arrivals", daemon=True)
        self._settings = settings
        self._decode = SchemaCatalog(settings).decoder(FUNDING_RATE).decode
        self._stop_asked = threading.Event()
        self.of: list[list[Arrival]] = [[] for _ in range(PARTITIONS)]

    def run(self) -> None:
        """Note arrivals until `finish`."""
        config = {"group.id": "arrivals", "enable.auto.commit": False, "fetch.wait.max.ms": 20}
        consumer: Any = clients.consumer({**self._settings.quiet_librdkafka(), **config})
        consumer.assign([TopicPartition(RATES.name, p, OFFSET_END) for p in range(PARTITIONS)])
        while not self._stop_asked.is_set():
            some = consumer.consume(1_000, _POLL_S)
            newest = {m.partition(): m for m in some if m.error() is None}
            for partition, message in newest.items():
                self._note(partition, self._decode(message.value())["received_at"])
        consumer.close()

    def _note(self, partition: int, received_us: int) -> None:
        known = self.of[partition]
        if not known or received_us > known[-1].received_us:
            known.append(Arrival(now_us(), received_us))

    def behind_us(self, partition: int) -> int:
        """Return how old the newest rate of a partition is; very old before the first."""
        known = self.of[partition]
        return now_us() - (known[-1].received_us if known else 0)

    def finish(self) -> None:
        """Stop."""
        self._stop_asked.set()
        self.join()


def silence_us(arrivals: Sequence[Arrival], since_us: int, until_us: int) -> int:
    """Return the longest time between two arrivals that ends after `since_us`. Pure.

    The time from the last arrival to `until_us` is one too.
    """
    times = [a.at_us for a in arrivals if a.at_us <= until_us] + [until_us]
    return max((after - before for before, after in pairwise(times) if after > since_us), default=0)
