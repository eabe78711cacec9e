"""The benchmarks' input: history, backlogs, and a paced stream with the shape of the exchange's."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.load import FEED, Instrument, facts_batches, history_batches, update_batch
from schemas.clock import now_us
from schemas.config.settings import SharedSettings
from schemas.kafka import clients
from schemas.records import RawBatch
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_MS
from schemas.topics import MAX_MESSAGE_BYTES, raw_topic, raw_topic_spec

REPEATED_EVERY = 100
"""One record in so many comes twice, as from a second socket."""
RECEIPT_US = 60_000
"""How long after its event a backlog's update was received."""
BURST_CONTRACTS = 93
"""Of each partition: the 745 contracts that a large exchange sends in one frame."""
TRICKLE_CONTRACTS = 20
"""At most so many in one record of the feeds that trickle."""
_FLUSH_S = 60.0


class Feeder:
    """A producer with the settings of fundingstream's own."""

    def __init__(self, settings: SharedSettings, *, linger_ms: float = 0.0) -> None:
        self._encode = SchemaCatalog(settings).encoder(raw_topic_spec(FEED)).encode
        self._producer: Any = clients.producer(
            {
                **settings.quiet_librdkafka(),
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": linger_ms,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 1 << 20,
                "message.max.bytes": MAX_MESSAGE_BYTES,
            }
        )

    def encode(self, batch: RawBatch) -> bytes:
        """Return a raw record's value."""
        return self._encode(batch)

    def send(self, topics: Sequence[str], partition: int, value: bytes, key: bytes) -> None:
        """Produce one value to the same partition of each topic."""
        for topic in topics:
            self._producer.produce(topic, value, key, partition)
        self._producer.poll(0)

    def delivered(self) -> None:
        """Wait until all is on the broker."""
        left = self._producer.flush(_FLUSH_S)
        assert left == 0, f"{left} records could not be produced"


def send_history(feeder: Feeder, market: Sequence[Sequence[Instrument]], received_at: int) -> int:
    """Produce facts and history of all contracts; return the number of settlements."""
    settlements = 0
    for partition, instruments in enumerate(market):
        facts = facts_batches(instruments, received_at)
        for batch in (*facts, *history_batches(instruments, received_at)):
            feeder.send([raw_topic(FEED)], partition, feeder.encode(batch), b"%d" % partition)
            settlements += len(batch["items"]) if batch["channel"] == "fundingRate" else 0
    feeder.delivered()
    return settlements


def send_backlog(
    feeder: Feeder,
    market: Sequence[Sequence[Instrument]],
    topics: Sequence[str],
    per_record: int,
    seconds: range,
) -> int:
    """Produce a round of updates for each second since the epoch; return how many updates.

    The key is the partition's number: quixstreams refuses state without a key.
    """
    records = 0
    for second in seconds:
        event_ms = second * 1_000
        received_at = event_ms * US_PER_MS + RECEIPT_US
        for partition, instruments in enumerate(market):
            for start in range(0, len(instruments), per_record):
                chunk = instruments[start : start + per_record]
                value = feeder.encode(update_batch(chunk, event_ms, received_at))
                records += 1
                for _ in range(2 if records % REPEATED_EVERY == 0 else 1):
                    feeder.send(topics, partition, value, b"%d" % partition)
    feeder.delivered()
    return len(seconds) * sum(len(instruments) for instruments in market)


class _Send(NamedTuple):
    at_s: float
    partition: int
    instruments: Sequence[Instrument]


def cycle(market: Sequence[Sequence[Instrument]], period_s: float) -> list[_Send]:
    """Return one period's records: a burst of BURST_CONTRACTS a partition, the others spread."""
    chance = random.Random(7)
    sends = [_Send(0.0, p, instruments[:BURST_CONTRACTS]) for p, instruments in enumerate(market)]
    for partition, instruments in enumerate(market):
        start = BURST_CONTRACTS
        while start < len(instruments):
            size = chance.randint(1, TRICKLE_CONTRACTS)
            at_s = chance.uniform(0.0, period_s)
            sends.append(_Send(at_s, partition, instruments[start : start + size]))
            start += size
    return sorted(sends, key=lambda send: send.at_s)


def pace(
    feeder: Feeder,
    market: Sequence[Sequence[Instrument]],
    topic: str,
    rate_hz: float,
    seconds: float,
) -> tuple[int, list[float]]:
    """Send every contract's update `rate_hz` times a second; return the count and delays in ms.

    The records' `received_at`, and their key, is the moment before they are encoded and produced.
    The delays are how much later than planned that was.
    """
    period_s = 1.0 / rate_hz
    sends = cycle(market, period_s)
    begin_s = time.monotonic()
    updates, delays_ms = 0, []
    for period in range(int(seconds * rate_hz)):
        for send in sends:
            due_s = begin_s + period * period_s + send.at_s
            while (left_s := due_s - time.monotonic()) > 0:
                time.sleep(left_s)
            delays_ms.append((time.monotonic() - due_s) * 1_000)
            received_at = now_us()
            batch = update_batch(send.instruments, received_at // US_PER_MS, received_at)
            value = feeder.encode(batch)
            feeder.send([topic], send.partition, value, b"%d" % received_at)
            updates += len(send.instruments)
    feeder.delivered()
    return updates, delays_ms
