"""What a record of `funding.dead-letters` says: a letter, or a mark about its replay. Pure.

Headers are text of whoever wrote the record. What is missing or malformed in them makes a letter
without a source, never an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from schemas.errors import ConfigurationError
from schemas.topics import RAW_PREFIX, feed_of_raw_topic

REPLAY_OF = "replay_of"
"""Header of a record that was sent again, and of a mark: the place of the letter that it is of."""
_STATE = "replay_state"
_CUT_FROM = "truncated_from_bytes"
_CONTENT_BYTES = 16
_MAX_HEADER_CHARS = 2_000
_MAX_STAGE_CHARS = 40
_PLACE = re.compile(r"([0-9]{1,6}):([0-9]{1,18})")


class Stage(StrEnum):
    """Where a letter was given up."""

    SLICE = "slice"
    """A producer could not cut the message into its contracts' pieces."""
    DECODE = "decode"
    """The worker could not read a raw record at all."""
    SYMBOL = "symbol"
    """The worker refused the name of a contract."""
    NORMALISE = "normalise"
    """The worker could not read an item, or it cannot be true."""
    CORE = "core"
    """The worker failed at an item."""
    ENCODE = "encode"
    """What the worker made of its own state did not fit the schema."""
    SINK = "sink"
    """A value that the sink could not read, or that ClickHouse refused."""


class Place(NamedTuple):
    """Where a letter lies in `funding.dead-letters`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def read(cls, text: str) -> Place:
        """Read PARTITION:OFFSET.

        Raises:
            ConfigurationError: it is not of this form.
        """
        found = _PLACE.fullmatch(text.strip())
        if found is None:
            raise ConfigurationError(
                f"not a place of a dead letter: {text!r}: write PARTITION:OFFSET, such as 3:17, as "
                "`fundingstream dead-letters list` shows it"
            )
        return cls(int(found[1]), int(found[2]))


class Source(NamedTuple):
    """The record, and the item of it, that a letter is about. -1: of no one record, or item."""

    topic: str
    partition: int
    offset: int
    item: int

    def __str__(self) -> str:
        item = "" if self.item < 0 else f" item {self.item}"
        return f"{self.topic}:{self.partition}:{self.offset}{item}"


class Letter(NamedTuple):
    """A record that was given up, byte for byte, with where it came from and why."""

    place: Place
    written_at_us: int
    key: bytes | None
    value: bytes
    """Empty where only what is told of it is held."""
    size: int
    """Of the value, in bytes."""
    stage: str
    """A Stage; whatever another version or a foreign program wrote."""
    reason: str
    source: Source
    headers: dict[str, str]
    content: str = ""
    """A hash of the value."""

    @property
    def is_cut(self) -> bool:
        """Whether it has only the beginning of its record's value or key."""
        return _CUT_FROM in self.headers

    @property
    def whole_size(self) -> int:
        """The bytes of its record's value, of which it may have the beginning; -1: not told."""
        return _number(self.headers, _CUT_FROM) if self.is_cut else self.size

    @property
    def origin(self) -> str:
        """What it is a letter of: two letters of one origin are about the same record and item.

        A part that is killed before it has committed gives the same record up again. The hash is
        part of it because offsets begin anew when a topic is made anew. Empty: of no one record.
        """
        if self.source.offset < 0:
            return ""
        return f"{self.stage[:_MAX_STAGE_CHARS]} {self.source} {self.content}"

    @property
    def feed(self) -> str:
        """The feed that it is of, by its source's topic or by its key; empty: it does not say."""
        if self.source.topic.startswith(RAW_PREFIX):
            return feed_of_raw_topic(self.source.topic)
        return (self.key or b"").decode("utf-8", "replace").partition(":")[0]


class ReplayState(StrEnum):
    """How far the replay of a letter has come."""

    BEGUN = "begun"
    DONE = "done"


class Mark(NamedTuple):
    """A record that says how far the replay of a letter has come.

    It lies in the letter's partition, behind it, so it is kept as long as the letter is.
    """

    of: Place
    state: ReplayState
    topic: str = ""
    """Where the letter's bytes go."""
    ends: dict[int, int] = {}  # noqa: RUF012 - a tuple's default, which nothing changes
    """Where each partition that they go to ended before."""
    origin: str = ""
    """The letter's origin: the mark is of all letters that have it."""

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The headers of its record."""
        return [
            ("stage", b"replay"),
            (REPLAY_OF, str(self.of).encode()),
            (_STATE, self.state.encode()),
        ]

    @property
    def value(self) -> bytes:
        """The value of its record."""
        return msgspec.json.encode(_MarkValue(self.topic, self.ends, self.origin))


class _MarkValue(msgspec.Struct):
    topic: str
    ends: dict[int, int]
    origin: str = ""


Headers = Iterable[tuple[str, bytes | None]] | None


def record_of(
    place: Place, written_at_us: int, key: bytes | None, value: bytes | None, headers: Headers
) -> Letter | Mark:
    """Read a record of the topic of dead letters."""
    told = {
        name: (text or b"")[:_MAX_HEADER_CHARS].decode("utf-8", "backslashreplace")
        for name, text in headers or ()
    }
    mark = _mark(told, value or b"") if _STATE in told else None
    if mark is not None:
        return mark
    source = Source(
        told.get("source_topic", ""),
        _number(told, "source_partition"),
        _number(told, "source_offset"),
        _number(told, "source_item"),
    )
    stage, reason = told.get("stage", ""), told.get("error", "")
    value = value or b""
    content = blake2b(value, digest_size=_CONTENT_BYTES).hexdigest()
    return Letter(
        place, written_at_us, key, value, len(value), stage, reason, source, told, content
    )


def _mark(told: dict[str, str], value: bytes) -> Mark | None:
    """Return the mark of a record with its headers; None: it is none of ours."""
    try:
        of, state = Place.read(told.get(REPLAY_OF, "")), ReplayState(told[_STATE])
        where = msgspec.json.decode(value, type=_MarkValue)
    except (ConfigurationError, ValueError):  # msgspec's errors are ValueErrors
        return None
    return Mark(of, state, where.topic, where.ends, where.origin)


def _number(told: dict[str, str], name: str) -> int:
    text = told.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else -1


class Chosen(NamedTuple):
    """Which letters are meant; None and an empty text: all."""

    feed: str | None = None
    topic: str | None = None
    stage: str | None = None
    reason: str = ""
    since_us: int = 0

    def holds(self, letter: Letter) -> bool:
        """Tell whether a letter is one of them. `reason`: in small or capital letters."""
        return (
            letter.written_at_us >= self.since_us
            and self.feed in {None, letter.feed}
            and self.topic in {None, letter.source.topic}
            and self.stage in {None, letter.stage}
            and self.reason.casefold() in letter.reason.casefold()
        )


class Replays:
    """What the marks say of each letter, and of all others of its origin."""

    def __init__(self) -> None:
        self._begun: dict[Place | str, Mark] = {}
        self._done: set[Place | str] = set()

    def take(self, mark: Mark) -> None:
        """Take note of a mark, in the order of the log."""
        for name in _names(mark.of, mark.origin):
            if mark.state is ReplayState.DONE:
                self._done.add(name)
                self._begun.pop(name, None)
            else:
                self._begun.setdefault(name, mark)

    def is_done(self, letter: Letter) -> bool:
        """Tell whether a letter, or another of its origin, has been sent again, as a whole."""
        return not self._done.isdisjoint(_names(letter.place, letter.origin))

    def begun(self, letter: Letter) -> Mark | None:
        """Return the first mark of a replay that has begun and not ended; None: there is none."""
        marks = (self._begun.get(name) for name in _names(letter.place, letter.origin))
        return next((mark for mark in marks if mark is not None), None)

    def state(self, letter: Letter) -> ReplayState | None:
        """Return how far a letter's replay has come; None: nobody has begun one."""
        if self.is_done(letter):
            return ReplayState.DONE
        return None if self.begun(letter) is None else ReplayState.BEGUN


def _names(place: Place, origin: str) -> tuple[Place | str, ...]:
    """Return the names under which a letter's replay is known."""
    return (place, origin) if origin else (place,)


def letters_only(
    records: Iterable[Letter | Mark], replays: Replays, holds: Callable[[Letter], bool]
) -> Iterable[Letter]:
    """Yield the letters that `holds` lets through; `replays` takes the marks."""
    for record in records:
        if isinstance(record, Mark):
            replays.take(record)
        elif holds(record):
            yield record
