"""Sends dead letters back the way they came, each once.

The order makes it once, whenever the process is killed: a mark `begun`, which says where the target
partitions end; the records, each with the header `replay_of`; a mark `done`. Who finds a letter
begun and not done looks for its records behind those ends and sends only what is missing. The marks
are records of `funding.dead-letters`, behind the letter in its partition. A Kafka transaction would
do the same, but its commit markers take offsets of the raw topics, which the worker, who counts
them, takes for records that it has lost.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

from confluent_kafka import KafkaException

from infra.dead_letters.letter import (
    REPLAY_OF,
    Chosen,
    Letter,
    Mark,
    Place,
    Replays,
    ReplayState,
    letters_only,
    record_of,
)
from infra.dead_letters.way_back import (
    NotReplayableError,
    SentRecord,
    check_size,
    is_whole_record,
    needs_source,
    sent_as_it_is,
    sent_item,
    sent_pieces,
    sent_source,
)
from infra.kafka.record_reader import RecordReader
from producers.exchanges import exchange
from schemas.config.settings import SharedSettings
from schemas.errors import ConfigurationError, MalformedInputError, UnavailableError
from schemas.kafka import clients
from schemas.records import RAW_BATCH, RawBatch
from schemas.serde.registry import SchemaCatalog
from schemas.text import printable
from schemas.topics import DEAD_LETTERS, MAX_MESSAGE_BYTES, feed_of_raw_topic, raw_topic_spec

MAX_AT_ONCE = 100_000
"""Letters that one call sends again, so that memory is bounded."""
_DELIVERY_TIMEOUT_S = 30.0
_US_PER_MS = 1_000


class Found(NamedTuple):
    """Letters, and what the marks say of their replays."""

    letters: list[Letter]
    replays: Replays


def _read(message: Any) -> Letter | Mark:
    _kind, at_ms = message.timestamp()
    place = Place(message.partition(), message.offset())
    return record_of(
        place, max(0, at_ms) * _US_PER_MS, message.key(), message.value(), message.headers()
    )


def _scan(
    reader: RecordReader, replays: Replays, holds: Callable[[Letter], bool], since_us: int = 0
) -> Iterator[Letter]:
    """Yield the letters that `holds` lets through, in no order of partitions; `replays` takes all
    marks that were written at `since_us` or later.
    """
    name, partitions = DEAD_LETTERS.name, DEAD_LETTERS.partitions
    starts = reader.since(name, partitions, since_us)
    records = (_read(message) for message in reader.scan(name, starts))
    yield from letters_only(records, replays, holds)


def find_letter(reader: RecordReader, place: Place) -> Found:
    """Return one letter, and all marks: those of another letter of its origin lie anywhere.

    Raises:
        NotReplayableError: there is no letter at this place.
    """
    name = DEAD_LETTERS.name
    if not 0 <= place.partition < DEAD_LETTERS.partitions:
        raise NotReplayableError(f"{name} has no partition {place.partition}")
    low, high = reader.bounds(name, place.partition)
    if not low <= place.offset < high:
        raise NotReplayableError(
            f"there is no dead letter {place}: partition {place.partition} of {name} holds "
            f"{low} to {high - 1} now" if high > low else
            f"there is no dead letter {place}: partition {place.partition} of {name} is empty"
        )  # fmt: skip
    letter = letter_at(reader, place)
    if letter is None:
        raise NotReplayableError(f"{place} is no dead letter, but a mark about a replay")
    replays = Replays()
    deque(_scan(reader, replays, lambda _letter: False), maxlen=0)
    return Found([letter], replays)


def letter_at(reader: RecordReader, place: Place) -> Letter | None:
    """Return the letter at a place; None: none is there any more."""
    message = reader.one(DEAD_LETTERS.name, place.partition, place.offset)
    record = None if message is None else _read(message)
    return record if isinstance(record, Letter) else None


def newest_letters(reader: RecordReader, chosen: Chosen, limit: int) -> tuple[Found, int]:
    """Return the newest `limit` letters that are meant, without their bytes, and how many are not
    among them.
    """
    replays, count = Replays(), 0

    def light() -> Iterator[Letter]:
        nonlocal count
        for letter in _scan(reader, replays, chosen.holds, chosen.since_us):
            count += 1
            yield letter._replace(value=b"")

    newest = heapq.nlargest(limit, light(), key=_age)
    return Found(newest, replays), count - len(newest)


def open_letters(reader: RecordReader, chosen: Chosen) -> tuple[list[Place], Replays]:
    """Return the places of the letters that are meant and not sent again yet, the oldest first.

    Of several letters of one origin it is the oldest. All of the topic is read: an older letter of
    the same origin may have been sent again before the first one that is meant.

    Raises:
        ConfigurationError: they are more than MAX_AT_ONCE.
    """
    replays = Replays()
    oldest: dict[Place | str, Letter] = {}
    for letter in _scan(reader, replays, chosen.holds):
        name, light = letter.origin or letter.place, letter._replace(value=b"")
        oldest[name] = min(oldest.get(name, light), light, key=_age)
        if len(oldest) > MAX_AT_ONCE:
            # Their marks lie behind them.
            oldest = {name: one for name, one in oldest.items() if not replays.is_done(one)}
        if len(oldest) > MAX_AT_ONCE:
            raise ConfigurationError(
                f"these are more than {MAX_AT_ONCE:,} letters: name fewer, by --feed, --topic, "
                "--stage, --reason or --since"
            )
    left = [letter for letter in oldest.values() if not replays.is_done(letter)]
    return [letter.place for letter in sorted(left, key=_age)], replays


def _age(letter: Letter) -> tuple[int, Place]:
    return letter.written_at_us, letter.place


class Recent(NamedTuple):
    """The letters since a time that were not sent again, as far as they were read."""

    total: int
    newest: Letter | None
    """Without its bytes."""
    is_all: bool
    """Whether all were read; else there are more, and some of these may have been sent again."""


def recent_letters(
    reader: RecordReader, since_us: int, most: int = 10_000, most_bytes: int = 64 << 20
) -> Recent:
    """Count the letters that were written at a time or later; of a flood only so many are read."""
    replays, size = Replays(), 0
    found: dict[Place | str, Letter] = {}
    for letter in _scan(reader, replays, lambda _letter: True, since_us):
        found[letter.origin or letter.place] = letter._replace(value=b"")
        size += letter.size
        if len(found) >= most or size > most_bytes:
            return Recent(len(found), max(found.values(), key=_age), is_all=False)
    left = [letter for letter in found.values() if not replays.is_done(letter)]
    return Recent(len(left), max(left, key=_age, default=None), is_all=True)


class Replayer:
    """Plans and sends. Every method blocks."""

    def __init__(
        self, settings: SharedSettings, reader: RecordReader, catalog: SchemaCatalog
    ) -> None:
        """`catalog`: of the registry, for what has to be written or read as Avro."""
        self._reader = reader
        self._bootstrap = settings.kafka_bootstrap
        self._decode = cache(lambda: catalog.decoder(RAW_BATCH).decode)
        self._encoder = cache(lambda feed: catalog.encoder(raw_topic_spec(feed)).encode)
        self._producer: Any = clients.producer(
            {
                **settings.quiet_librdkafka(),
                "client.id": "fundingstream-dead-letters",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "delivery.timeout.ms": int(_DELIVERY_TIMEOUT_S * 1_000),
            }
        )

    def plan(self, letter: Letter) -> list[SentRecord]:
        """Return what sending a letter again would send.

        Raises:
            NotReplayableError: it cannot go back; the message says why.
            UnavailableError: Kafka or the registry does not answer.
        """
        records = self._records(letter)
        for record in records:
            check_size(letter, record)
        return records

    def _records(self, letter: Letter) -> list[SentRecord]:
        if not needs_source(letter):
            return [sent_as_it_is(letter)]
        message = self._source(letter)
        if is_whole_record(letter):
            return [sent_source(letter, message.key(), message.value())]
        batch = self._batch(letter, message)
        feed = feed_of_raw_topic(letter.source.topic)
        if batch["feed"] != feed:
            raise NotReplayableError(f"{letter.source} is a record of {batch['feed']!r}")
        encode = self._encoder(feed)
        if letter.stage == "slice":
            return sent_pieces(letter, batch, exchange(feed), encode)
        return [sent_item(letter, batch, encode)]

    def _source(self, letter: Letter) -> Any:
        """Return the message that a letter was cut from."""
        source = letter.source
        message = self._reader.one(source.topic, source.partition, source.offset)
        if message is None:
            raise NotReplayableError(
                f"letter {letter.place} was cut from {source}, and its topic no longer has it: "
                f"`fundingstream dead-letters show {letter.place}` shows what is kept of it"
            )
        return message

    def _batch(self, letter: Letter, message: Any) -> RawBatch:
        try:
            batch: RawBatch = self._decode()(message.value() or b"")
        except MalformedInputError as error:
            raise NotReplayableError(f"{letter.source} cannot be read: {error}") from error
        return batch

    def missing(self, records: Sequence[SentRecord], begun: Mark | None) -> list[SentRecord]:
        """Return those of the records of `plan` that were not sent yet.

        `begun`: the mark of a replay of this letter that did not come to its end; None: there is
        none.

        Raises:
            NotReplayableError: whether they were sent cannot be told any more.
            UnavailableError: Kafka does not answer.
        """
        there = set() if begun is None else self._sent_before(begun)
        return [record for record in records if record.partition not in there]

    def send(self, letter: Letter, missing: Sequence[SentRecord], begun: Mark | None) -> None:
        """Send what `missing` has returned, and mark the letter as done.

        Raises:
            UnavailableError: Kafka does not take a record; sending it again goes on from there.
        """
        of = letter.place if begun is None else begun.of
        if begun is None:
            topic = missing[0].topic
            ends = {r.partition: self._reader.bounds(topic, r.partition)[1] for r in missing}
            self._mark(Mark(of, ReplayState.BEGUN, topic, ends, letter.origin))
        headers = [(REPLAY_OF, str(of).encode())]
        self._produce([(r.topic, r.partition, r.key, r.value, headers) for r in missing])
        self._mark(Mark(of, ReplayState.DONE, origin=letter.origin))

    def _sent_before(self, begun: Mark) -> set[int]:
        """Return the partitions that have a letter's record behind the ends of its mark."""
        for partition, end in begun.ends.items():
            oldest, _ = self._reader.bounds(begun.topic, partition)
            if oldest > end:
                raise NotReplayableError(
                    f"letter {begun.of} has a replay that was interrupted, and {begun.topic} no "
                    "longer keeps what came then: whether it was sent cannot be told, so it is not "
                    "sent another time. `fundingstream sql` shows whether its row is stored"
                )
        wanted = (REPLAY_OF, str(begun.of).encode())
        return {
            message.partition()
            for message in self._reader.scan(begun.topic, begun.ends)
            if wanted in (message.headers() or ())
        }

    def _mark(self, mark: Mark) -> None:
        self._produce([
            (DEAD_LETTERS.name, mark.of.partition, None, mark.value, mark.headers)
        ])  # fmt: skip

    def _produce(
        self, records: Sequence[tuple[str, int, bytes | None, bytes, list[tuple[str, bytes]]]]
    ) -> None:
        """Produce and wait until Kafka has all."""
        refused: list[Any] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                refused.append(error)

        try:
            for topic, partition, key, value, headers in records:
                self._producer.produce(
                    topic, value, key, partition, on_delivery=delivered, headers=headers
                )
            left = self._producer.flush(_DELIVERY_TIMEOUT_S)
        except (KafkaException, BufferError) as error:
            raise self._undelivered(str(error)) from error
        if refused or left:
            raise self._undelivered(str(refused[0]) if refused else f"{left} are on their way")

    def _undelivered(self, why: str) -> UnavailableError:
        return UnavailableError(
            f"Kafka at {self._bootstrap} has not taken all records ({why}): call the command "
            "again, it goes on from there"
        )


class Outcome(NamedTuple):
    """What became of one letter."""

    place: str
    outcome: Literal["sent", "would_send", "sent_before", "refused"]
    records: int
    """How many records were sent, or would be."""
    told: str
    """The same as a sentence."""


def replay_letter(
    replayer: Replayer, letter: Letter, replays: Replays, *, dry_run: bool
) -> Outcome:
    """Send one letter back, unless it was sent before.

    Raises:
        UnavailableError: Kafka or the registry does not answer.
    """
    place = str(letter.place)
    if replays.is_done(letter):
        return Outcome(place, "sent_before", 0, f"{place} was sent again before: nothing to do")
    begun = replays.begun(letter)
    try:
        records = replayer.plan(letter)
        missing = replayer.missing(records, begun)
    except NotReplayableError as error:
        return Outcome(place, "refused", 0, printable(str(error)))
    where = f"{len(records)} record{'s'[: len(records) > 1]} to {records[0].topic}"
    if len(missing) < len(records):
        where = f"{len(missing)} of {where}: an interrupted replay had sent the others"
    if dry_run:
        return Outcome(place, "would_send", len(missing), f"{place} would send {where}")
    replayer.send(letter, missing, begun)
    return Outcome(place, "sent", len(missing), f"{place} sent {where}")
