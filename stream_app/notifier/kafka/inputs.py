"""Reads the topics that the rules are about, from where the group's offsets are.

The partitions are assigned by hand: only the active notifier reads them. Offsets are committed by
the store, together with what they led to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from schemas.errors import FatalError, MalformedInputError, UnavailableError
from schemas.kafka import clients
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_DAY, US_PER_MS
from schemas.topics import STATUS, ZSCORES, TopicSpec
from stream_app.settings import AlertSettings

log = logging.getLogger(__name__)

MOST_BACK_US = 7 * US_PER_DAY
"""A notifier that was away for longer leaves out what came before."""
_POLL_MESSAGES = 1_000
_KAFKA_TIMEOUT_S = 10.0
_Place = tuple[str, int]


class Input(NamedTuple):
    """One record of a topic."""

    topic: str
    record: Any
    """None: the record of `key` was taken out. Of `funding.feeds` alone."""
    known: bool
    """It was read before a restart, and is read again to know what is so."""
    key: str = ""


class Inputs:
    """A consumer of some topics."""

    def __init__(
        self,
        settings: AlertSettings,
        catalog: SchemaCatalog,
        topics: Collection[TopicSpec],
        idle: Callable[[], None],
    ) -> None:
        """`idle` is called while something is waited for; it raises to give up."""
        self._topics = {topic.name: topic for topic in topics}
        self._idle = idle
        self._decoders = {
            topic.name: catalog.decoder(topic.record_type)
            for topic in topics
            if topic.record_type is not None
        }
        self._known_until: dict[_Place, int] = {}
        self._next: dict[_Place, int] = {}
        self._moved: set[_Place] = set()
        self._awaited: dict[_Place, int] = {}
        self.malformed = 0
        """Records that could not be read."""
        self._admin: Any = clients.admin_client(settings.quiet_librdkafka())
        self._consumer: Any = clients.consumer(
            {
                **settings.librdkafka(),
                "client.id": "fundingstream-alerts-input",
                "group.id": settings.alert_group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": 16_384,
                "error_cb": lambda error: log.warning("Kafka: %s", error.str()),
            }
        )

    def start(self, now_us: int, first_back_us: int, back_us: int) -> None:
        """Begin where the group's offsets are.

        Args:
            now_us: The time.
            first_back_us: How far back to begin where there are no offsets.
            back_us: How far back z-scores matter; older ones are passed over.

        Raises:
            FatalError: Kafka does not say where the offsets are.
        """
        places = [
            TopicPartition(topic.name, number)
            for topic in self._topics.values()
            for number in range(topic.partitions)
        ]
        if not places:
            return
        committed = self._asked(lambda: self._consumer.committed(places, _KAFKA_TIMEOUT_S))
        known = [item.offset >= 0 for item in committed]
        backs = [
            first_back_us if not has else back_us if item.topic == ZSCORES.name else MOST_BACK_US
            for has, item in zip(known, committed, strict=True)
        ]
        at_times = self._asked(
            lambda: self._consumer.offsets_for_times(
                [
                    TopicPartition(item.topic, item.partition, (now_us - back) // US_PER_MS)
                    for item, back in zip(places, backs, strict=True)
                ],
                _KAFKA_TIMEOUT_S,
            )
        )
        starts = []
        lows = self._bounds([(item.topic, item.partition) for item in places], OffsetSpec.earliest)
        highs = self._bounds(list(lows), OffsetSpec.latest)
        for item, at_time, has in zip(committed, at_times, known, strict=True):
            place = (item.topic, item.partition)
            low, high = lows[place], highs[place]
            at_time_offset = at_time.offset if at_time.offset >= 0 else high
            offset = max(item.offset, at_time_offset, low) if has else max(at_time_offset, low)
            if item.topic == STATUS.name:
                # The newest status of each feed has to be known, however old it is.
                self._known_until[place] = item.offset if has else 0
                self._next[place] = item.offset if has else low
                starts.append(TopicPartition(*place, OFFSET_BEGINNING))
                continue
            self._next[place] = offset
            starts.append(TopicPartition(*place, offset))
        self._consumer.assign(starts)
        self.await_ends()

    def await_ends(self) -> None:
        """Count as behind until everything that is in the topics now was read."""
        ends = self._bounds(list(self._next), OffsetSpec.latest)
        self._awaited = {place: end for place, end in ends.items() if self._next[place] < end}

    @property
    def caught_up(self) -> bool:
        """Whether everything was read that was there when `await_ends` was called last."""
        return not self._awaited

    def poll(self, timeout_s: float) -> Iterator[Input]:
        """Yield what has come.

        Raises:
            FatalError: the consumer cannot go on.
        """
        try:
            messages = self._consumer.consume(_POLL_MESSAGES, timeout_s)
        except KafkaException as failure:
            why = failure.args[0].str()
            raise FatalError(f"the topics cannot be read: {why}") from failure
        for message in messages:
            error = message.error()
            place = (message.topic(), message.partition())
            if error is None:
                record = self._decoded(message.topic(), message.value())
                known = message.offset() < self._known_until.get(place, 0)
                self._reached(place, message.offset() + 1)
                if record is not None or (
                    message.value() is None and message.topic() == STATUS.name
                ):
                    key = (message.key() or b"").decode(errors="replace")
                    yield Input(message.topic(), record, known, key)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name
                # The end may lie behind markers that no message shows.
                self._reached(place, message.offset())
            elif error.fatal():
                raise FatalError(f"the topics cannot be read: {error.str()}")
            else:
                log.warning("Kafka: %s", error.str())

    def offsets(self) -> list[Any]:
        """Return the offsets that have changed since `offsets_are_stored`."""
        return [TopicPartition(*place, self._next[place]) for place in self._moved]

    def offsets_are_stored(self) -> None:
        """Note that what `offsets` returned is committed."""
        self._moved.clear()

    def lag(self) -> dict[str, int]:
        """Return how many records of each topic are not read, as far as the consumer knows."""
        lag = dict.fromkeys(self._topics, 0)
        for place, offset in self._next.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            lag[place[0]] += max(0, high - offset) if high > 0 else 0
        return lag

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def _reached(self, place: _Place, offset: int) -> None:
        if offset > self._next.get(place, OFFSET_INVALID):
            self._next[place] = offset
            self._moved.add(place)
        if offset >= self._awaited.get(place, offset + 1):
            del self._awaited[place]

    def _decoded(self, topic: str, value: bytes | None) -> Any:
        """Return a record; None where there is none, or none that can be read."""
        if value is None:
            return None
        while True:
            try:
                return self._decoders[topic].decode(value)
            except MalformedInputError as error:
                self.malformed += 1
                log.warning("%s: %s", topic, error)
                return None
            except UnavailableError as error:
                log.warning("%s: waiting: %s", topic, error)
                self._idle()

    def _bounds(
        self, places: Sequence[_Place], spec: Callable[[], OffsetSpec]
    ) -> dict[_Place, int]:
        """Return the first or the next offset of partitions.

        Asked over a connection of its own: on the consumer's, answers wait behind its fetches.
        """

        def ask() -> dict[_Place, int]:
            wanted = {TopicPartition(*place): spec() for place in places}
            futures = self._admin.list_offsets(wanted, request_timeout=_KAFKA_TIMEOUT_S)
            return {(tp.topic, tp.partition): f.result().offset for tp, f in futures.items()}

        found: dict[_Place, int] = self._asked(ask) if places else {}
        return found

    def _asked(self, question: Callable[[], Any]) -> Any:
        """Ask Kafka again until it answers."""
        while True:
            try:
                answer = question()
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise FatalError(f"Kafka does not answer: {error.args[0].str()}") from error
                log.warning("Kafka: %s; asking again", error.args[0].str())
                self._idle()
            else:
                return answer
