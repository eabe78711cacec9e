"""Everything around the sink, as tests of it and of dead letters see it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

import requests
from confluent_kafka import Consumer

from benchmarks.evidence import EVERY_DUPLICATE
from schemas.topics import DEAD_LETTERS, RATES
from tests.support.sink_stack import ClickHouseServer, Kafka, SinkProcess, rate
from tests.support.waiting import until


class Stack:
    """Everything around the sink."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kafka = Kafka(directory)
        self.clickhouse = ClickHouseServer(directory)
        self.sinks: list[SinkProcess] = []
        self.next_number = 0

    def sink(self, code: str = "", instance: str = "sink-1") -> SinkProcess:
        """Start a sink."""
        self.sinks.append(SinkProcess(self.directory, self.kafka, self.clickhouse, code, instance))
        return self.sinks[-1]

    def rates(self, count: int) -> None:
        """Publish that many updates that are not there yet."""
        first, self.next_number = self.next_number, self.next_number + count
        self.kafka.publish(RATES, [rate(n) for n in range(first, self.next_number)])

    def stored(self, table: str = "rates") -> int:
        """Count rows as they are, without FINAL."""
        return int(self.clickhouse.rows(f"SELECT count() FROM funding.{table}")[0][0])

    def has_stored(self, count: int) -> bool:
        """Whether there are that many rates."""
        return self.stored() >= count

    def all_rates_stored(self) -> bool:
        """Whether each published update is a row."""
        return self.stored() >= self.next_number

    def assert_exact(self) -> None:
        """Each update is stored once, without and with FINAL, and nothing is a duplicate."""
        assert self.stored() == self.next_number
        assert self.stored("rates FINAL") == self.next_number
        assert self.clickhouse.rows(EVERY_DUPLICATE) == []


class SteadyRates:
    """Publishes updates from a thread of its own, as a context."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            self._stack.rates(50)


def registered(stack: Stack, subject: str, schema: str) -> int:
    """Register a schema; return the id that the registry gives it, one more than the last."""
    url = f"{stack.kafka.settings.registry_url}/subjects/{subject}/versions"
    reply = requests.post(url, json={"schema": schema}, timeout=5)
    return int(reply.json()["id"])


def replays(stack: Stack, *arguments: str) -> str:
    """Output of `fundingstream dead-letters …`, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "dead-letters", *arguments],
        env={**os.environ, **stack.kafka.env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def dead_letters(stack: Stack, count: int) -> list[Any]:
    """Read that many dead letters."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka.settings.kafka_bootstrap,
            "group.id": "dead-letters",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([DEAD_LETTERS.name])
    found: list[Any] = []

    def enough() -> bool:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            found.append(message)
        return len(found) >= count

    try:
        until(enough, "dead letters")
    finally:
        consumer.close()
    return found
