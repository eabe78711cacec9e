"""Reads a topic record by record as it grows, each decoded where the topic has a schema."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from infra.kafka.tail_filter import Filter
from schemas.clock import Clock
from schemas.config.settings import SharedSettings
from schemas.errors import (
    ConfigurationError,
    FundingStreamError,
    MalformedInputError,
    UnavailableError,
)
from schemas.kafka import clients
from schemas.kafka.admin import require_topics
from schemas.kafka.errors import is_denial, is_lasting
from schemas.serde.codec import Decoder, schema_id_of
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_MS
from schemas.topics import TopicSpec, all_topics

OLDEST_US = 0
"""A time before every record."""
_POLL_S = 0.5
_OFFSETS_TIMEOUT_S = 10.0
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
    wanted: Filter,
    *,
    from_us: int | None,
    idle_s: float | None,
    kafka_is_away: Callable[[], None],
    still: Callable[[], None] = lambda: None,
) -> Generator[dict[str, Any]]:
    """Yield the records of a topic until the caller closes the generator.

    Args:
        settings: How to reach Kafka and the registry.
        topic: What to read.
        clock: Tells how long nothing came.
        wanted: Which records; one that cannot be read is always among them.
        from_us: Begin with what was published at this time, in UTC microseconds; None: with what
            comes next.
        idle_s: End after this many seconds without such a record; None: never.
        kafka_is_away: Is called once each time that the connection to Kafka is lost.
        still: Is called at least twice a second while no record comes; an exception ends it all.

    Raises:
        UnavailableError: Kafka or the registry does not answer, or the topic is missing.
        ConfigurationError: Kafka refuses the user, or the user may not read the topic.
    """
    require_topics(settings, [topic.name])
    catalog = SchemaCatalog(settings)
    decoder = catalog.decoder(topic.record_type) if topic.record_type is not None else None

    failures = _Failures(kafka_is_away)
    consumer: Any = clients.consumer(
        {
            **settings.quiet_librdkafka(),
            "group.id": f"fundingstream-tail-{clock.now_us()}",
            "enable.auto.commit": False,
            # For a beginning that has been deleted meanwhile.
            "auto.offset.reset": "latest" if from_us is None else "earliest",
            "error_cb": failures.note,
        }
    )
    last_s = checked_s = clock.monotonic_s()
    try:
        consumer.assign(_starts(consumer, topic, wanted.partitions(topic), from_us))
        while True:
            message = consumer.poll(_POLL_S)
            now_s = clock.monotonic_s()
            if message is not None and message.error() is not None:
                failures.note(message.error())
            elif message is not None:
                shown = _shown(message, decoder)
                if _is_wanted(shown, wanted):
                    last_s = now_s
                    yield shown
                    continue
            if failures.lasting is not None:
                raise _refusal(failures.lasting, settings, topic)
            # Among many records that nobody wants as well.
            if message is None or now_s - checked_s > _POLL_S:
                checked_s = now_s
                still()
            if idle_s is not None and now_s - last_s > idle_s:
                return
    finally:
        consumer.close()


class _Failures:
    """What the client tells of errors."""

    def __init__(self, kafka_is_away: Callable[[], None]) -> None:
        self._kafka_is_away = kafka_is_away
        self.lasting: KafkaError | None = None
        """One that waiting does not mend. The others librdkafka tries again."""

    def note(self, error: KafkaError) -> None:
        """Note an error, of a message or of the client."""
        if is_lasting(error):
            self.lasting = error
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - its public name
            self._kafka_is_away()


def _is_wanted(shown: Mapping[str, Any], wanted: Filter) -> bool:
    return "error" in shown or wanted.holds(shown["value"])


def _starts(
    consumer: Any, topic: TopicSpec, partitions: list[int], from_us: int | None
) -> list[TopicPartition]:
    """Return where to begin in each partition. Raises UnavailableError."""
    if from_us is None or from_us == OLDEST_US:
        offset = OFFSET_END if from_us is None else OFFSET_BEGINNING
        return [TopicPartition(topic.name, number, offset) for number in partitions]
    asked = [TopicPartition(topic.name, number, from_us // US_PER_MS) for number in partitions]
    try:
        found = consumer.offsets_for_times(asked, timeout=_OFFSETS_TIMEOUT_S)
    except KafkaException as error:
        raise UnavailableError(
            f"Kafka does not tell which records of {topic.name} are of that time: {error}"
        ) from error
    return list(found)


def _refusal(error: KafkaError, settings: SharedSettings, topic: TopicSpec) -> FundingStreamError:
    """Return the typed error that says what to do about one that waiting does not mend."""
    what = f"Kafka at {settings.kafka_bootstrap} does not give {topic.name} ({error.str()})"
    if is_denial(error):
        return ConfigurationError(
            f"{what}: set FUNDING_KAFKA_SASL_USERNAME and FUNDING_KAFKA_SASL_PASSWORD to a user "
            "who may read it"
        )
    return UnavailableError(f"{what}: run `fundingstream doctor`")


def _shown(message: Any, decoder: Decoder | None) -> dict[str, Any]:
    """Return where a message lies, its key, and its value: decoded, or as bytes with the reason.

    A message without a value, which removes its key from a compacted topic, is `removed`.
    """
    shown: dict[str, Any] = {
        "partition": message.partition(),
        "offset": message.offset(),
        "key": message.key(),
    }
    value = message.value()
    if value is None:
        return {**shown, "removed": True, "value": None}
    if decoder is None:
        return {**shown, "headers": dict(message.headers() or []), "value": value}
    try:
        return {**shown, "schema_id": schema_id_of(value), "value": decoder.decode(value)}
    except MalformedInputError as error:
        return {**shown, "error": str(error), "value": value}
