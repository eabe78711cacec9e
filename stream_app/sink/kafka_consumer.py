"""The sink's Kafka consumer: its configuration, and which of its errors end the sink. Pure."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError

from schemas.errors import ConfigurationError, FundingStreamError, UnavailableError
from stream_app.settings import SinkSettings

POLL_WITHIN_S = 60.0
"""How often the consumer is polled between slow inserts."""
_SESSION_MS = 6_000
# Kafka's default for the time after which the group drops a member that does not poll.
_MAX_POLL_S = 300.0
# Of ClickHouse, in one attempt: which settings it knows, and the insert.
_REQUESTS_PER_TRY = 2
_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)


def consumer_config(settings: SinkSettings) -> dict[str, Any]:
    """Return the librdkafka configuration of the sink's consumer."""
    unpolled_s = 2 * POLL_WITHIN_S + _REQUESTS_PER_TRY * settings.clickhouse_timeout_s
    config: dict[str, Any] = {
        **settings.librdkafka(),
        "client.id": "fundingstream-sink",
        "group.id": settings.sink_group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": _SESSION_MS,
        "heartbeat.interval.ms": _SESSION_MS // 4,
        "max.poll.interval.ms": int(max(_MAX_POLL_S, unpolled_s) * 1_000),
        # Fewer, larger fetches: rows wait for their chunk anyway, wake-ups cost both sides.
        "fetch.min.bytes": 65_536,
        "fetch.wait.max.ms": 200,
        "queued.max.messages.kbytes": 16_384,
        "queued.min.messages": 10_000,
    }
    if settings.sink_instance:
        config["group.instance.id"] = settings.sink_instance
    return config


def end_of_sink(error: KafkaError, topic: str, group: str) -> FundingStreamError | None:
    """Return the typed error where the consumer cannot go on; None where Kafka goes on by itself.

    Args:
        error: What the consumer or a broker reports.
        topic: The topic that it is about; empty: not known.
        group: The sink's group.
    """
    if error.code() in _DENIED:
        of_group = error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
        what = f"group {group}" if of_group else f"topic {topic}" if topic else "its topics"
        return ConfigurationError(
            f"Kafka does not let the sink read {what} ({error.str()}): give its user the right "
            "READ on the topics and on the group, or another user by FUNDING_KAFKA_SASL_USERNAME "
            "and FUNDING_KAFKA_SASL_PASSWORD"
        )
    if error.fatal():
        return UnavailableError(f"the sink's consumer had to stop: {error.str()}")
    return None
