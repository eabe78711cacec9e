"""The benchmarks' input: history, backlogs, and paced streams."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.load import (
    FEED,
    ROWS,
    Instrument,
    facts_batches,
    history_batches,
    update_batch,
)
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
SENT_HEADER = "sent"
"""Header of a paced record: its `received_at`, for programs that do not read its value."""
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

    def send(
        self,
        topics: Sequence[str],
        partition: int,
        value: bytes,
        headers: dict[str, bytes] | None = None,
    ) -> None:
        """Produce one value to the same partition of each topic.

        The key is the partition's number: quixstreams keeps state by key, and none without one.
        """
        for topic in topics:
            self._producer.produce(topic, value, b"%d" % partition, partition, headers=headers)
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
            feeder.send([raw_topic(FEED)], partition, feeder.encode(batch))
            settlements += len(batch["items"]) if batch["channel"] == ROWS.history else 0
    feeder.delivered()
    return settlements


def send_backlog(
    feeder: Feeder,
    market: Sequence[Sequence[Instrument]],
    topics: Sequence[str],
    per_record: int,
    seconds: range,
) -> int:
    """Produce a round of updates for each second since the epoch; return how many updates."""
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
                    feeder.send(topics, partition, value)
    feeder.delivered()
    return len(seconds) * sum(len(instruments) for instruments in market)


class Send(NamedTuple):
    """One record of a period, and when it is due."""

    at_s: float
    partition: int
    instruments: Sequence[Instrument]


class Pattern(NamedTuple):
    """What is sent again and again: every contract's update once in a period."""

    period_s: float
    sends: Sequence[Send]


def as_exchanges_send(market: Sequence[Sequence[Instrument]], rate_hz: float) -> Pattern:
    """Return a burst of BURST_CONTRACTS a partition, the other contracts in small records."""
    period_s = 1 / rate_hz
    chance = random.Random(7)
    sends = [Send(0.0, p, instruments[:BURST_CONTRACTS]) for p, instruments in enumerate(market)]
    for partition, instruments in enumerate(market):
        start = BURST_CONTRACTS
        while start < len(instruments):
            size = chance.randint(1, TRICKLE_CONTRACTS)
            at_s = chance.uniform(0.0, period_s)
            sends.append(Send(at_s, partition, instruments[start : start + size]))
            start += size
    return Pattern(period_s, sorted(sends, key=lambda send: send.at_s))


def spread_out(market: Sequence[Sequence[Instrument]], rate_hz: float, per_record: int) -> Pattern:
    """Return records of one size, spread over the period."""
    period_s = 1 / rate_hz
    chance = random.Random(7)
    sends = [
        Send(chance.uniform(0.0, period_s), partition, instruments[start : start + per_record])
        for partition, instruments in enumerate(market)
        for start in range(0, len(instruments), per_record)
    ]
    return Pattern(period_s, sorted(sends, key=lambda send: send.at_s))


class Paced(NamedTuple):
    """What was sent: how many updates, and how many ms later than planned each record was."""

    updates: int
    delays_ms: list[float]


def pace(
    feeder: Feeder, pattern: Pattern, topic: str, seconds: float, *, ahead_us: int = 0
) -> Paced:
    """Send a pattern for some seconds.

    A record's `received_at`, which its header repeats, is the moment before it is encoded and
    produced, and `ahead_us` more: so a full hour can be passed at any time.
    """
    begin_s = time.monotonic()
    updates, delays_ms = 0, []
    for period in range(max(1, round(seconds / pattern.period_s))):
        for send in pattern.sends:
            due_s = begin_s + period * pattern.period_s + send.at_s
            while (left_s := due_s - time.monotonic()) > 0:
                time.sleep(left_s)
            delays_ms.append((time.monotonic() - due_s) * 1_000)
            received_at = now_us() + ahead_us
            batch = update_batch(send.instruments, received_at // US_PER_MS, received_at)
            headers = {SENT_HEADER: b"%d" % received_at}
            feeder.send([topic], send.partition, feeder.encode(batch), headers)
            updates += len(send.instruments)
    # The pattern's last record is not the period's end.
    time.sleep(max(0.0, begin_s + seconds - time.monotonic()))
    feeder.delivered()
    return Paced(updates, delays_ms)
