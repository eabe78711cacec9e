"""`tail`: which topic a name means, and what is shown of a record."""

from __future__ import annotations

from typing import Any

import pytest

from infra.kafka.tail import _shown, topic_named
from schemas.errors import ConfigurationError
from schemas.records import WORKER_STATUS, WorkerStatus
from schemas.serde.codec import Decoder, Encoder
from schemas.topics import all_topics


class Message:
    """A record as the client hands it over."""

    def __init__(self, value: bytes, headers: list[tuple[str, bytes]] | None = None) -> None:
        self._value, self._headers = value, headers

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 7

    def key(self) -> bytes:
        return b"kucoin:XBTUSDTM"

    def value(self) -> bytes:
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
