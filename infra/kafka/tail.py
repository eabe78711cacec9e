"""Reads a topic record by record as it grows, each decoded where the topic has a schema."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from confluent_kafka import KafkaError

from schemas.clock import Clock
from schemas.config.settings import SharedSettings
from schemas.errors import ConfigurationError, MalformedInputError
from schemas.kafka import clients
from schemas.kafka.admin import require_topics
from schemas.serde.codec import Decoder, schema_id_of
from schemas.serde.registry import SchemaCatalog
from schemas.topics import TopicSpec, all_topics

_POLL_S = 0.5
_PREFIX = "funding."


def topic_named(name: str) -> TopicSpec:
    """Return the topic of a name, which may lack the prefix `funding.`.

    Raises:
        ConfigurationError: there is no such topic; the message lists those that there are.
    """
    specs = {spec.name: spec for spec in all_topics()}
    full = name if name in specs else f"{_PREFIX}{name}"
    if full not in specs:
        raise ConfigurationError(f"unknown topic {name!r}: known are {', '.join(sorted(specs))}")
    return specs[full]


def topic_records(
    settings: SharedSettings,
    topic: TopicSpec,
    clock: Clock,
    *,
    from_beginning: bool,
    idle_s: float | None,
    kafka_is_away: Callable[[], None],
    still: Callable[[], None] = lambda: None,
) -> Generator[dict[str, Any]]:
    """Yield the records of a topic until the caller closes the generator.

    Args:
        settings: How to reach Kafka and the registry.
        topic: What to read.
        clock: Tells how long nothing came.
        from_beginning: Begin with the oldest record, not with the next one.
        idle_s: End after this many seconds without a record; None: never.
        kafka_is_away: Is called once each time that the connection to Kafka is lost.
        still: Is called at least twice a second while no record comes; an exception ends it all.

    Raises:
        UnavailableError: Kafka or the registry does not answer, or the topic is missing.
    """
    require_topics(settings, [topic.name])
    catalog = SchemaCatalog(settings)
    decoder = catalog.decoder(topic.record_type) if topic.record_type is not None else None

    def failed(error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - librdkafka's name for it
            kafka_is_away()

    consumer: Any = clients.consumer(
        {
            **settings.quiet_librdkafka(),
            "group.id": f"fundingstream-tail-{clock.now_us()}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest" if from_beginning else "latest",
            "error_cb": failed,
        }
    )
    consumer.subscribe([topic.name])
    last_s = clock.monotonic_s()
    try:
        while True:
            message = consumer.poll(_POLL_S)
            if message is None or message.error() is not None:
                still()
                if idle_s is not None and clock.monotonic_s() - last_s > idle_s:
                    return
                continue
            last_s = clock.monotonic_s()
            yield _shown(message, decoder)
    finally:
        consumer.close()


def _shown(message: Any, decoder: Decoder | None) -> dict[str, Any]:
    """Return where a message lies, its key, and its value: decoded, or as bytes with the reason."""
    shown: dict[str, Any] = {
        "partition": message.partition(),
        "offset": message.offset(),
        "key": message.key(),
    }
    value = message.value()
    if decoder is None:
        return {**shown, "headers": dict(message.headers() or []), "value": value}
    try:
        return {**shown, "schema_id": schema_id_of(value), "value": decoder.decode(value)}
    except MalformedInputError as error:
        return {**shown, "error": str(error), "value": value}
