"""The job in a bare confluent-kafka loop: no framework, and no state that survives the process.

What the rivals' libraries cost beyond this, they cost for state, changelog and groups. What the
job leaves out is in job.py.
"""

from __future__ import annotations

import json
from typing import Any

from confluent_kafka import Consumer, Producer

from benchmarks.rivals.job import RawReader, arguments, load_statistics, step

BATCH = 400
"""Records that are taken from librdkafka at once, at most."""


class Job:
    """The state of each contract, and the producer that gets what follows from updates."""

    def __init__(self, given: dict[str, str], producer: Any) -> None:
        self._given = given
        self._producer = producer
        self._reader = RawReader(given["schema"], json.loads)
        self._statistics = load_statistics(given["statistics"])
        self._contracts: dict[str, dict[str, Any]] = {}

    def apply(self, value: bytes) -> None:
        """Apply a raw record, and publish what follows."""
        for update in self._reader.updates(value):
            contract = update["contract_id"]
            stepped = step(self._contracts.get(contract), update, self._statistics)
            if stepped is None:
                continue
            self._contracts[contract], z = stepped
            self._publish(self._given["rates"], contract, update)
            if z is not None:
                self._publish(self._given["zscores"], contract, {**update, "z": z})

    def _publish(self, topic: str, contract: str, value: dict[str, Any]) -> None:
        while True:
            try:
                self._producer.produce(topic, json.dumps(value).encode(), contract.encode())
            except BufferError:
                self._producer.poll(0.05)
            else:
                return


def main() -> None:
    """Run until a signal ends the process."""
    given = arguments()
    servers = {"bootstrap.servers": given["bootstrap"]}
    start = {"auto.offset.reset": "earliest"}
    consumer: Any = Consumer({**servers, **start, "group.id": given["group"]})
    producer: Any = Producer(
        {
            **servers,
            "linger.ms": float(given["linger_ms"]),
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
    )
    consumer.subscribe([given["raw"]])
    job = Job(given, producer)
    while True:
        first = consumer.poll(1.0)
        for message in () if first is None else (first, *consumer.consume(BATCH, 0)):
            if message.error() is None:
                job.apply(message.value())
        producer.poll(0)


if __name__ == "__main__":
    main()
