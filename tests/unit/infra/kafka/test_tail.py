"""`tail`: which topic a name means, and what is shown of a record."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from infra.kafka.tail import OLDEST_US, _refusal, _shown, topic_named, topic_records
from infra.kafka.tail_filter import Filter
from schemas.clock import SystemClock
from schemas.config.settings import SharedSettings
from schemas.errors import ConfigurationError, FundingStreamError, UnavailableError
from schemas.records import WORKER_STATUS, WorkerStatus
from schemas.serde.codec import Decoder, Encoder
from schemas.topics import DEAD_LETTERS, RATES, TopicSpec, all_topics
from tests.support.mock_kafka import PARTITIONS, MockKafka


class Message:
    """A record as the client hands it over."""

    def __init__(self, value: bytes | None, headers: list[tuple[str, bytes]] | None = None) -> None:
        self._value, self._headers = value, headers

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 7

    def key(self) -> bytes:
        return b"kucoin:XBTUSDTM"

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Any:
        return self._headers


@pytest.mark.parametrize("spec", all_topics(), ids=lambda spec: spec.name)
def test_a_topic_has_a_full_and_a_short_name(spec: Any) -> None:
    """`rates` is `funding.rates`."""
    assert topic_named(spec.name) == spec
    assert topic_named(spec.name.removeprefix("funding.")) == spec


def test_an_unknown_topic_is_refused_with_the_known_ones() -> None:
    """Before any server is asked."""
    with pytest.raises(
        ConfigurationError, match=r"unknown topic 'rate': known are .*funding\.rates"
    ):
        topic_named("rate")


def test_a_record_without_a_schema_is_shown_as_it_is() -> None:
    """With its headers, which say why it is a dead letter."""
    shown = _shown(Message(b"{", [("stage", b"normalise")]), None)
    assert shown == {
        "partition": 3, "offset": 7, "key": b"kucoin:XBTUSDTM",
        "headers": {"stage": b"normalise"}, "value": b"{",
    }  # fmt: skip


def test_a_record_with_a_schema_is_shown_decoded() -> None:
    """With the id of the schema that it was written with."""
    status = WorkerStatus(
        worker="one", reported_at=1, started_at=2, partitions=3, records_behind=4, records=5,
        delay_p50_s=None, delay_p99_s=6.0, contradicted_feeds=["kucoin"],
    )  # fmt: skip
    value = Encoder(WORKER_STATUS, 5).encode(status)
    shown = _shown(Message(value), Decoder(WORKER_STATUS, lambda _id: WORKER_STATUS.text))
    assert shown["schema_id"] == 5
    assert shown["value"]["worker"] == "one"


def test_a_record_that_cannot_be_read_is_shown_with_the_reason() -> None:
    """The next ones are shown all the same."""
    decoder = Decoder(WORKER_STATUS, lambda _id: WORKER_STATUS.text)
    shown = _shown(Message(b"\0\0\0\0\x05"), decoder)
    assert shown["value"] == b"\0\0\0\0\x05"
    assert shown["error"]


@pytest.mark.parametrize("decoder", [None, Decoder(WORKER_STATUS, lambda _id: WORKER_STATUS.text)])
def test_a_record_without_a_value_is_the_end_of_its_key(decoder: Decoder | None) -> None:
    """As compacted topics have them, with a schema and without."""
    shown = _shown(Message(None), decoder)
    assert shown == {
        "partition": 3, "offset": 7, "key": b"kucoin:XBTUSDTM", "removed": True, "value": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, ConfigurationError, "SASL_USERNAME"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, UnavailableError, "doctor"),
    ],
)
def test_an_error_that_waiting_does_not_mend_says_what_to_do(
    code: int, kind: type[FundingStreamError], advice: str
) -> None:
    """And which topic it is about."""
    error = _refusal(KafkaError(code), SharedSettings(), RATES)
    assert type(error) is kind
    assert RATES.name in str(error)
    assert advice in str(error)


def tailed(kafka: MockKafka, topic: TopicSpec) -> Generator[dict[str, Any]]:
    """All of a topic, as the command reads it."""
    return topic_records(
        SharedSettings(kafka_bootstrap=kafka.bootstrap), topic, SystemClock(), Filter(),
        from_us=OLDEST_US, idle_s=20, kafka_is_away=lambda: None,
    )  # fmt: skip


def test_the_end_of_a_key_does_not_end_the_tail() -> None:
    """What comes behind it is shown as well, on librdkafka's mock cluster."""
    kafka = MockKafka()
    kafka.produce(DEAD_LETTERS.name, [b"a", None, b"b"], 0)
    with closing(tailed(kafka, replace(DEAD_LETTERS, partitions=PARTITIONS))) as records:
        assert [next(records)["value"] for _ in range(3)] == [b"a", None, b"b"]


def test_an_error_of_a_partition_ends_the_tail() -> None:
    """The mock cluster's topic has fewer partitions; nothing would ever come of the others."""
    kafka = MockKafka()
    kafka.produce(DEAD_LETTERS.name, [b"a"], 0)
    topic = replace(DEAD_LETTERS, partitions=PARTITIONS + 1)
    with (
        closing(tailed(kafka, topic)) as records,
        pytest.raises(UnavailableError, match="does not give"),
    ):
        list(records)
