"""The order of storing and committing, and when consumption is paused and resumed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.clock import Clock, SystemClock
from schemas.errors import ConfigurationError, StateError, UnavailableError
from schemas.kafka import clients
from schemas.process.heartbeat import Heartbeat
from stream_app.settings import SinkSettings
from stream_app.sink.batches import Chunk, Message, OffsetRange
from stream_app.sink.consumer import Sink, _waves
from stream_app.sink.kafka_consumer import consumer_config, end_of_sink
from stream_app.sink.metrics import SinkMetrics
from stream_app.sink.outage import Outage
from tests.support.mock_kafka import MockKafka
from tests.support.waiting import until


def chunk(topic: str, offset: int) -> Chunk:
    """A chunk of one message."""
    return Chunk(topic, (OffsetRange(0, offset, offset),), (Message(0, offset, None, b""),))


def test_no_wave_has_two_chunks_of_a_topic() -> None:
    """Offsets of a partition are committed in their order."""
    a1, a2, a3, b1, b2 = (
        chunk(t, n) for t, n in (*(("a", n) for n in range(3)), ("b", 0), ("b", 1))
    )
    assert _waves([a1, b1, a2, a3, b2]) == [[a1, b1], [a2, b2], [a3]]
    assert _waves([]) == []


def test_offsets_are_never_committed_by_themselves() -> None:
    """INSERT, then commit: librdkafka must not do it on its own."""
    config = consumer_config(SinkSettings())
    assert config["enable.auto.commit"] is False
    assert config["enable.auto.offset.store"] is False
    assert config["auto.offset.reset"] == "earliest"
    assert "group.instance.id" not in config
    assert consumer_config(SinkSettings(sink_instance="sink-1"))["group.instance.id"] == "sink-1"


class HastyClock(SystemClock):
    """A clock on which ten seconds pass between two looks at it, so that waits end soon."""

    def __init__(self) -> None:
        self._skipped_s = 0.0

    def monotonic_s(self) -> float:
        """The time, ahead of the machine's."""
        self._skipped_s += 10.0
        return super().monotonic_s() + self._skipped_s


class Stubborn:
    """A consumer whose commits are answered with these errors first."""

    def __init__(self, settings: SinkSettings) -> None:
        self._consumer = clients.consumer(consumer_config(settings))
        self.errors: list[int] = []

    def commit(self, **given: Any) -> Any:
        """Commit, or fail."""
        if self.errors:
            raise KafkaException(KafkaError(self.errors.pop(0)))
        return self._consumer.commit(**given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)


class Scene:
    """A sink on a broker, which stops after its first chunk; `stores` plays the table's writer."""

    def __init__(
        self, kafka: MockKafka, topic: str, clock: Clock | None = None, rows: int = 1_000
    ) -> None:
        self.kafka, self.topic = kafka, topic
        self.stop = threading.Event()
        self.metrics = SinkMetrics()
        self.settings = SinkSettings(
            kafka_bootstrap=kafka.bootstrap,
            sink_group=f"group-{topic}",
            sink_batch_age_s=0.1,
            sink_batch_rows=rows,
        )
        clock = clock or SystemClock()
        self.consumer = Stubborn(self.settings)
        self.outage = Outage(self.metrics, clock)
        self.sink = Sink(
            self.settings, self.metrics, self.outage, Heartbeat(clock, 60), self.stop, clock,
            self.consumer,
        )  # fmt: skip
        self.stored: list[Chunk] = []
        self.committed_at_insert: list[tuple[int, str]] = []
        self.fails: Callable[[], None] = lambda: None

    def store(self, chunk: Chunk) -> None:
        """Take a chunk, and note what the group had committed by then."""
        self.stop.set()
        self.stored.append(chunk)
        self.committed_at_insert.append(self.committed())
        self.fails()

    def committed(self) -> tuple[int, str]:
        """What the group has committed of partition 0."""
        return self.kafka.committed(self.settings.sink_group, self.topic)

    def waiting(self, cause: str) -> float | None:
        """The gauge of that cause."""
        return self.metrics.registry.get_sample_value(
            "fundingstream_sink_waiting", {"cause": cause}
        )

    def run(self) -> None:
        """Run the sink until it has had its chunk."""
        self.sink.run({self.topic: self})


@pytest.fixture(scope="module")
def kafka() -> MockKafka:
    """A broker."""
    return MockKafka()


def test_a_chunk_is_planned_then_stored_then_committed(kafka: MockKafka) -> None:
    """At the INSERT the group's offset stands before the chunk and names it; afterwards behind."""
    kafka.produce("rates", [b"a", b"b", None])
    scene = Scene(kafka, "rates")
    scene.run()
    (chunk,) = scene.stored
    assert [message.value for message in chunk.messages] == [b"a", b"b", None]
    assert scene.committed_at_insert == [(0, "0:0-2")]
    assert scene.committed() == (3, "")


def test_a_chunk_that_is_not_stored_comes_again_as_the_same_chunk(kafka: MockKafka) -> None:
    """Though more has arrived: its token is the same, so the table recognises what it has."""
    kafka.produce("bars", [b"a", b"b"])
    first = Scene(kafka, "bars")

    def refuse() -> None:
        raise StateError("the table is wrong")

    first.fails = refuse
    with pytest.raises(StateError, match="the table is wrong"):
        first.run()
    assert first.committed() == (0, "0:0-1")
    kafka.produce("bars", [b"c", b"d"])
    second = Scene(kafka, "bars")
    second.run()
    assert second.stored[0].token == first.stored[0].token
    assert first.stored[0].token.startswith("bars:0:0-1@")
    assert second.committed()[0] >= 2


def test_an_unconfirmed_commit_is_told_until_it_works(
    kafka: MockKafka, caplog: pytest.LogCaptureFixture
) -> None:
    """Offsets that no broker takes stop the sink as a silent ClickHouse does. A plan that is too
    large for the broker is left out: the table's key is the second layer then.
    """
    kafka.produce("outages", [b"a"])
    scene = Scene(kafka, "outages")
    away = KafkaError.COORDINATOR_NOT_AVAILABLE
    scene.consumer.errors = [away, KafkaError.OFFSET_METADATA_TOO_LARGE, away]
    scene.run()
    assert scene.committed_at_insert == [(0, "")]
    assert scene.committed() == (1, "")
    assert scene.waiting("kafka") == 0
    told, back = (r.getMessage() for r in caplog.records if "notice:" in r.getMessage())
    assert "offsets are not committed" in told
    assert "goes on" in back


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "topic funding.rates "),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "group the-group "),
    ],
)
def test_a_sink_that_may_not_read_ends(code: int, named: str) -> None:
    """It would be idle and look healthy."""
    end = end_of_sink(KafkaError(code), "funding.rates", "the-group")
    assert isinstance(end, ConfigurationError)
    assert named in str(end)


def test_only_what_waiting_does_not_mend_ends_the_sink() -> None:
    """The client comes back to a broker by itself."""
    assert end_of_sink(KafkaError(KafkaError._TRANSPORT), "", "g") is None
    fenced = KafkaError(KafkaError.FENCED_INSTANCE_ID, fatal=True)
    assert isinstance(end_of_sink(fenced, "", "g"), UnavailableError)


@pytest.mark.parametrize(("timeout_s", "poll_ms"), [(30, 300_000), (3_600, 7_320_000)])
def test_the_group_waits_for_the_slowest_insert(timeout_s: float, poll_ms: int) -> None:
    """A member that is dropped in the middle of an insert would store it again elsewhere."""
    config = consumer_config(SinkSettings(clickhouse_timeout_s=timeout_s))
    assert config["max.poll.interval.ms"] == poll_ms


def test_a_stop_gives_up_a_chunk_that_cannot_be_stored(kafka: MockKafka) -> None:
    """After a grace: it is counted, and its offsets stay for the next start."""
    kafka.produce("alerts", [b"a"])
    scene = Scene(kafka, "alerts", HastyClock())

    def fails() -> None:
        scene.outage.failed("transient", "ClickHouse is away")
        scene.sink.wait(1_000.0)

    scene.fails = fails
    scene.run()
    assert scene.committed() == (0, "0:0-0")
    assert scene.waiting("transient") == 0
    abandoned = scene.metrics.registry.get_sample_value("fundingstream_sink_abandoned_rows_total")
    assert abandoned == 1.0


def test_a_stop_commits_nothing_behind_a_chunk_that_it_gave_up(kafka: MockKafka) -> None:
    """The open batch of the same topic would otherwise move the offset past rows not stored."""
    kafka.produce("zscores", [b"%d" % number for number in range(150)])
    scene = Scene(kafka, "zscores", HastyClock(), rows=100)
    scene.fails = lambda: scene.sink.wait(1_000.0)
    scene.run()
    assert [len(chunk.messages) for chunk in scene.stored] == [100]
    assert scene.committed() == (0, "0:0-99")


def test_a_backlog_does_not_end_the_plan_of_a_chunk(kafka: MockKafka) -> None:
    """Partitions past their part are paused, so the planned chunk comes about, however late."""
    kafka.produce("audit", [b"%d" % number for number in range(20_000)])
    kafka.produce("audit", [b"a"], partition=1)
    scene = Scene(kafka, "audit", rows=100)
    plan = "0:0-1,1:0-1"
    kafka.commit(scene.settings.sink_group, "audit", [(0, 0, plan), (1, 0, plan)])
    buffered = "fundingstream_sink_buffered_rows"

    def late() -> None:
        value = scene.metrics.registry.get_sample_value
        until(lambda: (value(buffered) or 0) > 900, "the backlog waits", 20)
        kafka.produce("audit", [b"b"], partition=1)

    thread = threading.Thread(target=late)
    thread.start()
    scene.run()
    thread.join()
    assert scene.stored[0].token.startswith(f"audit:{plan}@")
    assert len(scene.stored[0].messages) == 4


def test_a_chunk_that_was_stored_is_not_called_abandoned(kafka: MockKafka) -> None:
    """Of two chunks the sink stores one and has to stop at the other: that one comes again."""
    kafka.produce("settlements", [b"%d" % number for number in range(100)])
    scene = Scene(kafka, "settlements", HastyClock(), rows=50)

    class Writer:
        def store(self, chunk: Chunk) -> None:
            if chunk.ranges[0].first > 0:
                scene.stop.set()
                scene.sink.wait(1_000.0)

    scene.sink.run({"settlements": Writer()})
    value = scene.metrics.registry.get_sample_value("fundingstream_sink_abandoned_rows_total")
    assert value == 50.0
