"""Which errors of Kafka are waited for, and which end a reader."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from schemas.kafka.errors import is_denial, is_lasting


@pytest.mark.parametrize(
    ("code", "lasting", "denial"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, True, True),
        (KafkaError._AUTHENTICATION, True, True),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, True, False),
        (KafkaError._ALL_BROKERS_DOWN, False, False),
        (KafkaError._TRANSPORT, False, False),
        (KafkaError.NOT_LEADER_FOR_PARTITION, False, False),
    ],
)
def test_what_waiting_mends_is_told_from_the_rest(
    code: int, *, lasting: bool, denial: bool
) -> None:
    """A broker that is away comes back; a right that is missing does not."""
    error = KafkaError(code)
    assert (is_lasting(error), is_denial(error)) == (lasting, denial)


def test_a_fatal_error_lasts_whatever_its_code() -> None:
    """The client says so itself."""
    assert is_lasting(KafkaError(KafkaError._TRANSPORT, "", True))
