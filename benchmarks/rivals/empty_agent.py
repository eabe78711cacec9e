"""The floor of latency on Faust: a stock agent that forwards through confluent-kafka.

It forwards each raw record's key, which is when it was sent.
"""

from __future__ import annotations

from typing import Any

import faust
from confluent_kafka import Producer

from benchmarks.rivals.job import arguments


def create_app(given: dict[str, str]) -> faust.App:
    """Build the app."""
    producer: Any = Producer(
        {"bootstrap.servers": given["bootstrap"], "linger.ms": float(given["linger_ms"])}
    )
    app = faust.App(
        given["group"],
        broker=f"aiokafka://{given['bootstrap']}",
        store="memory://",
        datadir=given["directory"],
        topic_disable_leader=True,
        consumer_auto_offset_reset="latest",
        stream_wait_empty=False,
        web_enabled=False,
    )
    raw = app.topic(
        given["raw"],
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
    )

    @app.agent(raw)  # type: ignore[untyped-decorator]
    async def _forward(stream: Any) -> None:
        async for event in stream.events():
            producer.produce(given["out"], b"", event.message.key)
            producer.poll(0)

    return app


def main() -> None:
    """Run until a signal comes."""
    app = create_app(arguments())
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()
