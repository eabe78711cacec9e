"""What the output producer hands to Kafka, and what it says about the delivery."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import topics
from schemas.clock import SystemClock
from schemas.errors import UnavailableError
from schemas.records import ALERT
from schemas.serde.codec import Decoder
from stream_app.core.output.outputs import DeadLetter, Output, Outputs
from stream_app.settings import WorkerSettings
from stream_app.worker.output_producer import MAX_LETTER_BYTES, OutputProducer
from tests.support.encoders import OUTPUT_ENCODERS
from tests.support.mock_kafka import MockKafka

NOBODY = "127.0.0.1:1"
"""A port at which no broker listens."""


@pytest.fixture(scope="module")
def kafka() -> MockKafka:
    """A broker."""
    return MockKafka()


def producer(bootstrap: str, prefix: str = "", **changes: Any) -> OutputProducer:
    """A producer for a broker."""
    settings = WorkerSettings(kafka_bootstrap=bootstrap, worker_output_prefix=prefix)
    return OutputProducer(settings, OUTPUT_ENCODERS, SystemClock(), **changes)


def alert(number: int, **changes: Any) -> Output:
    """An alert, whose id says which it is."""
    record = {
        "alert_id": f"a{number}", "subject": "binance-usdm:AUSDT", "kind": "z_cross",
        "severity": "warning", "value": 2.5, "threshold": 2.0, "message": "z",
        "event_time": number, "created_at": 1, "raw_topic": "funding.raw.binance-usdm",
        "raw_partition": 3, "raw_offset": number, "raw_item": 0,
    } | changes  # fmt: skip
    return Output(topics.ALERTS, "binance-usdm:AUSDT", record)


def outputs(*others: Output, letters: tuple[DeadLetter, ...] = ()) -> Outputs:
    """What one record has led to."""
    return Outputs((), others, letters)


class TestPublishing:
    """Records reach the partition of their contract, in their order."""

    async def test_outputs_are_delivered_in_their_order(self, kafka: MockKafka) -> None:
        """With key and value, once the generation is said to be delivered."""
        producing = producer(kafka.bootstrap, "order.")
        assert producing.publish(outputs(*map(alert, range(20))), 3) == 0
        await producing.delivered(producing.cut())
        found = kafka.records("order.funding.alerts", 20, partition=3)
        decoder = Decoder(ALERT, lambda _: ALERT.text)
        assert [decoder.decode(m.value())["alert_id"] for m in found] == [
            f"a{number}" for number in range(20)
        ]
        assert {m.key() for m in found} == {b"binance-usdm:AUSDT"}

    async def test_what_no_schema_holds_is_a_dead_letter(self, kafka: MockKafka) -> None:
        """With the raw record that it came from; the other outputs are published."""
        producing = producer(kafka.bootstrap, "odd.")
        odd = alert(7, event_time=1 << 70)
        assert producing.publish(outputs(odd, alert(8)), 2) == 1
        await producing.delivered(producing.cut())
        (letter,) = kafka.records("odd.funding.dead-letters", 1, partition=3)
        headers = {name: value.decode() for name, value in letter.headers()}
        assert (headers["stage"], headers["source_offset"]) == ("encode", "7")
        assert letter.value() == repr(odd.record).encode()
        assert len(kafka.records("odd.funding.alerts", 1, partition=2)) == 1

    async def test_a_long_dead_letter_is_cut(self, kafka: MockKafka) -> None:
        """And says how long it was."""
        producing = producer(kafka.bootstrap, "long.")
        value = b"x" * (MAX_LETTER_BYTES + 5)
        letter = DeadLetter(None, value, "decode", "no record", "raw", 1, 9, -1)
        producing.publish(outputs(letters=(letter,)), 1)
        await producing.delivered(producing.cut())
        (found,) = kafka.records("long.funding.dead-letters", 1, partition=1)
        assert len(found.value()) == MAX_LETTER_BYTES
        assert dict(found.headers())["truncated_from_bytes"] == str(len(value)).encode()

    async def test_changelogs_are_written_by_partition(self, kafka: MockKafka) -> None:
        """`store` returns when all of them are on the broker."""
        producing = producer(kafka.bootstrap)
        await producing.store("changelog", [(1, b"k", b"old"), (0, b"a", b"b"), (1, b"k", b"new")])
        assert [m.value() for m in kafka.records("changelog", 2, partition=1)] == [b"old", b"new"]
        assert [m.key() for m in kafka.records("changelog", 1, partition=0)] == [b"a"]


class TestFailure:
    """A record that is not delivered is an error of its own generation, and of no other."""

    async def test_a_broker_that_is_away_is_an_error_in_time(self) -> None:
        """Of the generation with the record; an empty one is delivered."""
        producing = producer(NOBODY, delivery_timeout_s=0.3)
        empty = producing.cut()
        producing.publish(outputs(alert(1)), 0)
        with pytest.raises(UnavailableError, match="a record was not delivered"):
            await producing.delivered(producing.cut())
        await producing.delivered(empty)

    async def test_a_changelog_that_is_not_delivered_is_an_error(self) -> None:
        """State must not pass for stored."""
        producing = producer(NOBODY, delivery_timeout_s=0.3)
        with pytest.raises(UnavailableError, match="a record was not delivered"):
            await producing.store("changelog", [(0, b"k", b"v")])

    async def test_a_full_queue_blocks_and_is_an_error_in_time(self) -> None:
        """Nothing is dropped: three records for a queue of two."""
        producing = producer(NOBODY, delivery_timeout_s=0.2, queue_records=2)
        letters = tuple(DeadLetter(None, b"", "decode", "", "raw", 0, n, -1) for n in range(3))
        for some in (outputs(*map(alert, range(3))), outputs(letters=letters)):
            with pytest.raises(UnavailableError, match=r"took no record for 0\.2 s"):
                producing.publish(some, 0)

    async def test_a_record_that_is_too_long_is_an_error_at_once(self) -> None:
        """No retry could deliver it."""
        producing = producer(NOBODY)
        with pytest.raises(UnavailableError, match="cannot produce to changelog"):
            await producing.store("changelog", [(0, b"k", b"v" * (topics.MAX_MESSAGE_BYTES + 1))])

    async def test_a_generation_ends_at_its_cut(self, kafka: MockKafka) -> None:
        """What is published after the cut counts into the next one."""
        producing = producer(kafka.bootstrap, "cut.")
        producing.publish(outputs(alert(1), alert(2)), 0)
        first = producing.cut()
        producing.publish(outputs(alert(3)), 0)
        assert (first.pending, producing.cut().pending) == (2, 1)
        await producing.delivered(first)
        assert first.pending == 0
