"""The input of the sink's benchmarks: rates and z-scores, each with a number of its own.

The number stands in `raw_offset`, which is part of both tables' keys: a row that is missing or
stored twice is found by it, and so is the moment at which a row was published.
"""

from __future__ import annotations

import math
import threading
import time
from argparse import ArgumentTypeError
from array import array
from typing import Any, Self

from benchmarks.load import FEED, QUOTE
from schemas.clock import now_us
from schemas.config.settings import SharedSettings
from schemas.errors import UnavailableError
from schemas.kafka import clients
from schemas.partitioning import PARTITIONS, contract_id, partition_of
from schemas.records import FUNDING_RATE, ZSCORE
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_HOUR
from schemas.topics import RATES, ZSCORES, TopicSpec, raw_topic

CONTRACTS = 1_900
TOPICS: tuple[TopicSpec, ...] = (RATES, ZSCORES)
"""A row's number tells its topic: even ones are rates, odd ones z-scores."""
_TICK_S = 0.02
_FLUSH_S = 60.0
_BUFFERED = 100_000


def record(number: int, at_us: int) -> dict[str, Any]:
    """Return the record with this number: a rate if it is even, a z-score if it is odd."""
    base = f"S{number // 2 % CONTRACTS:04d}"
    rate = ((number * 7_919) % 2_001 - 1_000) * 1e-7
    found = {
        "contract_id": contract_id(FEED, base + QUOTE), "feed": FEED, "symbol": base + QUOTE,
        "base": base, "quote": QUOTE, "multiplier": 1.0, "rate": rate, "interval_hours": 8.0,
        "interval_source": "payload", "rate_8h": rate, "apr": rate * 1_095, "mark_price": 5e4,
        "index_price": None, "next_funding_time": at_us + US_PER_HOUR, "event_time": at_us,
        "event_time_source": "exchange", "received_at": at_us, "transport": "ws", "late": False,
        "out_of_range": False, "interval_doubtful": False, "raw_topic": raw_topic(FEED),
        "raw_partition": 0, "raw_offset": number, "raw_item": 0, "z": rate * 1e4,
        "robust_z": None, "percentile": 0.7, "mean": 0.0, "std": 1e-4, "samples": 90,
        "confidence": "high", "stats_as_of": None, "zone": "normal", "trigger": "flush",
        "crossed": None, "computed_at": at_us, "generation": 1, "rate_kind": "estimate",
    }  # fmt: skip
    fields = ZSCORE.fields if number % 2 else FUNDING_RATE.fields
    return {field: found[field] for field in fields}


def at_least_one(text: str) -> int:
    """Read an option that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def above_zero(text: str) -> float:
    """Read an option that is a time or a rate."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r} is no number above 0")
    return number


class Publisher:
    """Publishes numbered rows and keeps when each was published."""

    def __init__(self, settings: SharedSettings) -> None:
        self.published_us = array("q")
        """UTC µs by number: the timestamp that the record has in Kafka, before it is cut to ms."""
        self._producer: Any = clients.producer(
            {
                **settings.quiet_librdkafka(),
                "acks": "all",
                "linger.ms": 5,
                "message.timeout.ms": 0,
                "queue.buffering.max.messages": _BUFFERED,
            }
        )
        catalog = SchemaCatalog(settings)
        self._encoders = [catalog.encoder(topic) for topic in TOPICS]

    @property
    def count(self) -> int:
        """How many rows were published so far: the number of the next one."""
        return len(self.published_us)

    def publish(self, count: int) -> None:
        """Publish the next rows."""
        for number in range(self.count, self.count + count):
            at_us = now_us()
            row = record(number, at_us)
            self.send(number % 2, row["contract_id"], self.encoded(number % 2, row), at_us)
            self.published_us.append(at_us)
        self._producer.poll(0)

    def encoded(self, topic: int, row: dict[str, Any]) -> bytes:
        """Return a row as a value of one of TOPICS."""
        return self._encoders[topic].encode(row)

    def send(self, topic: int, key: str, value: bytes, at_us: int) -> None:
        """Publish a value to one of TOPICS, whatever it is."""
        while True:
            try:
                self._producer.produce(
                    TOPICS[topic].name,
                    value,
                    key.encode(),
                    partition_of(key, PARTITIONS),
                    timestamp=at_us // 1_000,
                )
            except BufferError:
                self._producer.poll(0.05)
            else:
                return

    def flush(self) -> None:
        """Return when the broker has all of it.

        Raises:
            UnavailableError: it has not, for a minute.
        """
        left = self._producer.flush(_FLUSH_S)
        if left:
            raise UnavailableError(f"Kafka has not taken {left} rows within {_FLUSH_S:g} s")


class SteadyRows:
    """Publishes so many rows a second from a thread of its own, as a context."""

    def __init__(self, publisher: Publisher, rows_s: float) -> None:
        self._publisher = publisher
        self._rows_s = rows_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="steady rows", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._publisher.flush()

    def _run(self) -> None:
        begun_s, sent = time.monotonic(), 0
        while not self._stop.wait(_TICK_S):
            due = int((time.monotonic() - begun_s) * self._rows_s) - sent
            self._publisher.publish(due)
            sent += due
