"""Which letters are sent again, and what of them: by what the topics hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from infra.dead_letters.letter import Chosen, Mark, Place, Replays, ReplayState
from infra.dead_letters.replaying import (
    Replayer,
    find_letter,
    open_letters,
    recent_letters,
    replay_letter,
)
from infra.kafka.record_reader import RecordReader
from schemas.config.settings import SharedSettings
from schemas.serde.registry import SchemaCatalog
from schemas.topics import DEAD_LETTERS, RATES

RATE = b"a rate, whole"


class Record(NamedTuple):
    """A record as the client gives it."""

    where: tuple[int, int]
    key_: bytes | None
    value_: bytes
    headers_: list[tuple[str, bytes]]

    def partition(self) -> int:
        """Of its topic."""
        return self.where[0]

    def offset(self) -> int:
        """In its partition."""
        return self.where[1]

    def timestamp(self) -> tuple[int, int]:
        """Kind and milliseconds; a later offset is younger."""
        return 1, self.where[1]

    def key(self) -> bytes | None:
        """As written."""
        return self.key_

    def value(self) -> bytes:
        """As written."""
        return self.value_

    def headers(self) -> list[tuple[str, bytes]]:
        """As written."""
        return self.headers_


class Topics:
    """The topics as a RecordReader reads them: from each record on that is kept."""

    def __init__(self, oldest: Mapping[str, int], **records: list[Record]) -> None:
        self._oldest = oldest
        self._records = {name.replace("_", "."): kept for name, kept in records.items()}
        self._records[DEAD_LETTERS.name] = records.pop("letters", [])

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Oldest offset, and the one behind the newest."""
        offsets = [one.offset() for one in self._of(topic) if one.partition() == partition]
        return self._oldest.get(topic, 0), max(offsets, default=-1) + 1

    def since(self, _topic: str, partitions: int, since_us: int) -> dict[int, int]:
        """By the times that the records have."""
        return dict.fromkeys(range(partitions), since_us // 1_000)

    def scan(self, topic: str, starts: Mapping[int, int]) -> Iterator[Record]:
        """From these offsets on."""
        for one in self._of(topic):
            if one.offset() >= starts.get(one.partition(), 1 << 62):
                yield one

    def one(self, topic: str, partition: int, offset: int) -> Record | None:
        """At one place."""
        return next((one for one in self._of(topic) if one.where == (partition, offset)), None)

    def _of(self, topic: str) -> list[Record]:
        return self._records.get(topic, [])


def given_up(where: tuple[int, int], offset: int, value: bytes = RATE, **more: str) -> Record:
    """A letter of the sink about a rate at an offset of partition 2."""
    told = {"stage": "sink", "source_topic": RATES.name, "source_partition": "2"}
    told |= {"source_offset": str(offset), **more}
    return Record(where, b"k", value, [(name, text.encode()) for name, text in told.items()])


def marked(where: tuple[int, int], mark: Mark) -> Record:
    """The record of a mark."""
    return Record(where, None, mark.value, mark.headers)


def reader_of(oldest: Mapping[str, int] | None = None, **records: list[Record]) -> RecordReader:
    """Read these."""
    return cast("RecordReader", Topics(oldest or {}, **records))


def replayer_of(reader: RecordReader) -> Replayer:
    """Plan by what a reader has; nothing is sent."""
    return Replayer(SharedSettings(), reader, cast("SchemaCatalog", None))


def dry(reader: RecordReader, place: Place) -> Any:
    """What a dry run says of a letter."""
    (letter,), replays = find_letter(reader, place)
    return replay_letter(replayer_of(reader), letter, replays, dry_run=True)


def test_two_letters_of_one_record_count_as_one() -> None:
    """The sink was killed between the letter and its commit; the oldest of them goes back."""
    letters = [given_up((0, 7), 9), given_up((3, 5), 9), given_up((3, 6), 10)]
    places, _ = open_letters(reader_of(letters=letters), Chosen())
    assert places == [Place(3, 5), Place(3, 6)]
    # The topic was made anew: another record at the same offset.
    letters.append(given_up((3, 8), 9, b"another rate"))
    places, _ = open_letters(reader_of(letters=letters), Chosen())
    assert places == [Place(3, 5), Place(3, 6), Place(3, 8)]


def test_of_a_flood_only_so_many_are_counted() -> None:
    """Of fewer, those that are left, and the newest of them."""
    letters = [given_up((0, number), number) for number in range(9)]
    done = marked((0, 9), Mark(Place(0, 8), ReplayState.DONE))
    few = recent_letters(reader_of(letters=[*letters, done]), 0)
    assert (few.total, few.is_all, few.newest and few.newest.place) == (8, True, Place(0, 7))
    for flood in (
        recent_letters(reader_of(letters=letters), 0, most=4),
        recent_letters(reader_of(letters=letters), 0, most_bytes=4 * len(RATE) - 1),
    ):
        assert (flood.total, flood.is_all, flood.newest is None) == (4, False, False)


def test_a_mark_of_one_covers_the_other() -> None:
    """Also where the other one is meant alone, and lies in another partition."""
    (first,), _ = find_letter(reader_of(letters=[given_up((0, 1), 9)]), Place(0, 1))
    done = Mark(first.place, ReplayState.DONE, origin=first.origin)
    reader = reader_of(letters=[given_up((0, 1), 9), marked((0, 2), done), given_up((3, 5), 9)])
    assert open_letters(reader, Chosen(since_us=3_000))[0] == []
    assert dry(reader, Place(3, 5)).outcome == "sent_before"


def test_an_interrupted_replay_of_one_is_gone_on_with_for_the_other() -> None:
    """Its record carries the first one's place."""
    (first,), _ = find_letter(reader_of(letters=[given_up((0, 1), 9)]), Place(0, 1))
    begun = Mark(first.place, ReplayState.BEGUN, RATES.name, {2: 30}, first.origin)
    letters = [given_up((0, 1), 9), marked((0, 2), begun), given_up((3, 5), 9)]
    sent = Record((2, 33), b"k", RATE, [("replay_of", b"0:1")])
    reader = reader_of(letters=letters, funding_rates=[sent])
    assert dry(reader, Place(3, 5)).records == 0
    assert dry(reader_of(letters=letters), Place(3, 5)).records == 1


def test_an_interrupted_replay_that_nobody_can_judge_any_more_is_refused() -> None:
    """The topic has dropped what came behind the ends of its mark."""
    begun = Mark(Place(0, 1), ReplayState.BEGUN, RATES.name, {2: 30})
    letters = [given_up((0, 1), 9), marked((0, 2), begun)]
    kept = [Record((2, 40), b"k", b"younger", [])]
    for oldest, outcome in ((30, "would_send"), (31, "refused")):
        reader = reader_of({RATES.name: oldest}, letters=letters, funding_rates=kept)
        told = dry(reader, Place(0, 1))
        assert told.outcome == outcome
    assert "cannot be told" in told.told


def test_a_cut_letter_is_taken_whole_from_its_topic() -> None:
    """Its own bytes are only the beginning; where the topic has dropped the rest, it stays."""
    letters = [given_up((0, 1), 9, RATE[:4], truncated_from_bytes=str(len(RATE)))]
    reader = reader_of(letters=letters, funding_rates=[Record((2, 9), b"k", RATE, [])])
    (letter,), _ = find_letter(reader, Place(0, 1))
    (record,) = replayer_of(reader).plan(letter)
    assert (record.key, record.value) == (b"k", RATE)
    gone = reader_of(letters=letters)
    outcome = replay_letter(replayer_of(gone), letter, Replays(), dry_run=True)
    assert (outcome.outcome, "no longer has it" in outcome.told) == ("refused", True)
