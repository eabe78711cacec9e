"""Which errors of Kafka's clients pass by themselves, and which need somebody to do something."""

from __future__ import annotations

from confluent_kafka import KafkaError

_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - its public name
    }
)
_LASTING = _DENIED | {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    KafkaError._FATAL,  # noqa: SLF001
}


def is_denial(error: KafkaError) -> bool:
    """Whether Kafka refuses the user, or the user lacks a right."""
    return error.code() in _DENIED


def is_lasting(error: KafkaError) -> bool:
    """Whether waiting does not mend it.

    A broker that is away is none of these: librdkafka tries again.
    """
    return error.fatal() or error.code() in _LASTING
