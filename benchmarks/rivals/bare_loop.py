"""The floor of latency: consume, produce, nothing between, in confluent-kafka.

It forwards each raw record's first header, which is when it was sent; records without one are
passed over.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, Producer

from benchmarks.rivals.job import arguments


def main() -> None:
    """Run until a signal ends the process."""
    given = arguments()
    servers = {"bootstrap.servers": given["bootstrap"]}
    consumer: Any = Consumer({**servers, "group.id": given["group"], "auto.offset.reset": "latest"})
    producer: Any = Producer({**servers, "linger.ms": float(given["linger_ms"])})
    consumer.subscribe([given["raw"]])
    while True:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None and (headers := message.headers()):
            producer.produce(given["out"], b"", headers[0][1])
            producer.poll(0)


if __name__ == "__main__":
    main()
