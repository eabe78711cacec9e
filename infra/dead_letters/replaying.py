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
from collections.abc import Iterator, Sequence
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
    needs_source,
    sent_as_it_is,
    sent_item,
    sent_pieces,
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


def scan_letters(reader: RecordReader, chosen: Chosen, replays: Replays) -> Iterator[Letter]:
    """Yield the letters that are meant, partition by partition; `replays` takes all marks."""
    name, partitions = DEAD_LETTERS.name, DEAD_LETTERS.partitions
    starts = reader.since(name, partitions, chosen.since_us)
    records = (_read(message) for message in reader.scan(name, starts))
    yield from letters_only(records, replays, chosen.holds)


def find_letter(reader: RecordReader, place: Place) -> Found:
    """Return one letter, and the marks behind it.

    Raises:
        NotReplayableError: there is no letter at this place.
    """
    replays, name = Replays(), DEAD_LETTERS.name
    if not 0 <= place.partition < DEAD_LETTERS.partitions:
        raise NotReplayableError(f"{name} has no partition {place.partition}")
    low, high = reader.bounds(name, place.partition)
    if not low <= place.offset < high:
        raise NotReplayableError(
            f"there is no dead letter {place}: partition {place.partition} of {name} holds "
            f"{low} to {high - 1} now" if high > low else
            f"there is no dead letter {place}: partition {place.partition} of {name} is empty"
        )  # fmt: skip
    records = (_read(message) for message in reader.scan(name, {place.partition: place.offset}))
    found = list(letters_only(records, replays, lambda letter: letter.place == place))
    if not found:
        raise NotReplayableError(f"{place} is no dead letter, but a mark about a replay")
    return Found(found, replays)


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
        for letter in scan_letters(reader, chosen, replays):
            count += 1
            yield letter._replace(value=b"")

    newest = heapq.nlargest(limit, light(), key=lambda one: (one.written_at_us, one.place))
    return Found(newest, replays), count - len(newest)


def open_letters(reader: RecordReader, chosen: Chosen) -> tuple[list[Place], Replays]:
    """Return the places of the letters that are meant and not sent again yet, the oldest first.

    Raises:
        ConfigurationError: they are more than MAX_AT_ONCE.
    """
    replays = Replays()
    written: dict[Place, int] = {}
    for letter in scan_letters(reader, chosen, replays):
        written[letter.place] = letter.written_at_us
        if len(written) > MAX_AT_ONCE:
            # Their marks lie behind them.
            written = {p: at for p, at in written.items() if not replays.is_done(p)}
        if len(written) > MAX_AT_ONCE:
            raise ConfigurationError(
                f"these are more than {MAX_AT_ONCE:,} letters: name fewer, by --feed, --topic, "
                "--stage, --reason or --since"
            )
    left = [place for place in written if not replays.is_done(place)]
    return sorted(left, key=lambda place: (written[place], place)), replays


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
        if not needs_source(letter):
            return [sent_as_it_is(letter)]
        batch = self._source(letter)
        feed = feed_of_raw_topic(letter.source.topic)
        if batch["feed"] != feed:
            raise NotReplayableError(f"{letter.source} is a record of {batch['feed']!r}")
        encode = self._encoder(feed)
        if letter.stage == "slice":
            return sent_pieces(letter, batch, exchange(feed), encode)
        return [sent_item(letter, batch, encode)]

    def _source(self, letter: Letter) -> RawBatch:
        """Return the raw record that a letter was cut from."""
        source = letter.source
        message = self._reader.one(source.topic, source.partition, source.offset)
        if message is None:
            raise NotReplayableError(
                f"letter {letter.place} was cut from {source}, and the raw log no longer has it: "
                f"`fundingstream dead-letters show {letter.place}` shows what is kept of it"
            )
        try:
            batch: RawBatch = self._decode()(message.value() or b"")
        except MalformedInputError as error:
            raise NotReplayableError(f"{source} cannot be read: {error}") from error
        return batch

    def send(self, letter: Letter, records: Sequence[SentRecord], begun: Mark | None) -> int:
        """Send what `plan` has returned; return how many records were still missing.

        `begun`: the mark of a replay of this letter that did not come to its end; None: there is
        none.

        Raises:
            UnavailableError: Kafka does not take a record; sending it again goes on from there.
        """
        if begun is None:
            topic = records[0].topic
            ends = {r.partition: self._reader.bounds(topic, r.partition)[1] for r in records}
            self._mark(Mark(letter.place, ReplayState.BEGUN, topic, ends))
            missing = list(records)
        else:
            there = self._sent_before(begun)
            missing = [record for record in records if record.partition not in there]
        headers = [(REPLAY_OF, str(letter.place).encode())]
        self._produce([(r.topic, r.partition, r.key, r.value, headers) for r in missing])
        self._mark(Mark(letter.place, ReplayState.DONE))
        return len(missing)

    def _sent_before(self, begun: Mark) -> set[int]:
        """Return the partitions that have a letter's record behind the ends of its mark."""
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
    if replays.is_done(letter.place):
        return Outcome(place, "sent_before", 0, f"{place} was sent again before: nothing to do")
    try:
        records = replayer.plan(letter)
    except NotReplayableError as error:
        return Outcome(place, "refused", 0, printable(str(error)))
    where = f"{len(records)} record{'s'[: len(records) > 1]} to {records[0].topic}"
    if dry_run:
        return Outcome(place, "would_send", len(records), f"{place} would send {where}")
    sent = replayer.send(letter, records, replays.begun(letter.place))
    if sent < len(records):
        where = f"{sent} of {where}: an interrupted replay had sent the others"
    return Outcome(place, "sent", sent, f"{place} sent {where}")
