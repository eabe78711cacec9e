"""Batching of consumed messages into chunks, and the names by which a chunk is stored once. Pure.

One chunk is one INSERT, and holds every partition of one topic. Measured on the embedded engine
with 1,000 rows/s: one insert a partition and second costs 30 % of a core, one a topic 5 %, and a
sixth of the parts to merge. The price: which messages share a chunk depends on how the partitions
interleave, so after a crash the same chunk would not come about again, and its deduplication token
would be worth nothing. Therefore the ranges of a chunk are written into the metadata of the group's
committed offsets *before* its INSERT (`plan_text`). A sink that finds such a plan (`pending_plans`)
forms exactly that chunk first, and the server recognises its token if it was stored. Where the plan
cannot be kept (a rebalance tore its partitions apart, or its messages are gone) the Replacing key
of the table is the second layer.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

# Kafka's default limit for the metadata of a committed offset is 4,096 bytes.
_PLAN_TEXT_MAX = 4_000
_PLAN_TEXT = re.compile(r"\d{1,6}:\d{1,19}-\d{1,19}(,\d{1,6}:\d{1,19}-\d{1,19})*")
_PLAN_WAIT_S = 30.0
_PLAN_HELD_BATCHES = 4
# Smaller limits would abandon a plan because of what one poll brings.
_PLAN_HELD_LEAST = 4_000


class Message(NamedTuple):
    """What the sink keeps of a consumed message. `value` None: a tombstone."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None

    @property
    def size_bytes(self) -> int:
        """The bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")


class OffsetRange(NamedTuple):
    """The offsets of one partition in a chunk, both included."""

    partition: int
    first: int
    last: int


Ranges = tuple[OffsetRange, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """When a chunk is closed: by the first of these that is reached."""

    rows: int
    age_s: float
    bytes: int = 32 << 20
    """Rows are counted on the assumption that they are small. A record may have some MiB, and a
    chunk is some three times in memory when it is inserted."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Messages that are stored together, by partition and in the order of their offsets."""

    topic: str
    ranges: Ranges
    messages: tuple[Message, ...]

    @property
    def token(self) -> str:
        """The deduplication token: `topic:partition:first-last[,partition:first-last…]@checksum`.

        The checksum is that of the messages. Offsets alone would not do: a topic that was made anew
        begins with the same ones, and ClickHouse may know those of the old one for months.
        """
        checksum = 0
        for message in self.messages:
            checksum = crc32(message.value or b"", checksum)
        return f"{self.topic}:{_text(self.ranges)}@{checksum:08x}"


def _text(ranges: Ranges) -> str:
    return ",".join(f"{r.partition}:{r.first}-{r.last}" for r in ranges)


def plan_text(ranges: Ranges) -> str:
    """Return a plan as offset metadata; empty where it would be too long to commit."""
    text = _text(ranges)
    return text if len(text) <= _PLAN_TEXT_MAX else ""


def parse_plan(text: str) -> Ranges | None:
    """Read a plan; None for anything else: other tools may commit metadata of their own."""
    if len(text) > _PLAN_TEXT_MAX or not _PLAN_TEXT.fullmatch(text):
        return None
    ranges = []
    for part in text.split(","):
        partition, offsets = part.split(":")
        first, last = offsets.split("-")
        ranges.append(OffsetRange(int(partition), int(first), int(last)))
    distinct = len({r.partition for r in ranges}) == len(ranges)
    return tuple(ranges) if distinct and all(r.first <= r.last for r in ranges) else None


def pending_plans(committed: Mapping[int, tuple[int, str]]) -> list[Ranges]:
    """Return the plans of a topic that were written but not confirmed.

    `committed` holds offset and metadata of each partition that is ours. A plan is pending when
    each of its partitions is ours, carries the same plan, and still stands at its first offset.
    """
    plans: list[Ranges] = []
    for text in sorted({text for _, text in committed.values() if text}):
        plan = parse_plan(text)
        if plan and all(committed.get(r.partition) == (r.first, text) for r in plan):
            plans.append(plan)
    return plans


class TopicBatcher:
    """Collects the messages of one topic and closes chunks by rows, bytes or age."""

    def __init__(self, topic: str, limits: Limits, plans: Iterable[Ranges] = ()) -> None:
        self.topic = topic
        self._limits = limits
        self._plans = deque(plans)
        self._wanted: dict[int, int] = {}
        self._reached: set[int] = set()
        self._held: list[Message] = []
        self._open: dict[int, list[Message]] = {}
        self._open_rows = 0
        self._open_bytes = 0
        self._held_bytes = 0
        self._opened_at_s = 0.0
        self._next_plan(0.0)

    @property
    def rows(self) -> int:
        """How many messages are held, in the open chunk or behind a plan."""
        return self._open_rows + len(self._held)

    @property
    def ahead(self) -> frozenset[int]:
        """The partitions that have passed their part of the pending plan.

        Their next messages can only wait, so the caller pauses them until the plan is closed.
        """
        return frozenset(self._reached.union(message.partition for message in self._held))

    def not_consumed(self, seconds: float) -> None:
        """Take a time in which nothing was consumed: it does not count as waiting for a plan."""
        if self._wanted:
            self._opened_at_s += seconds

    def add(self, message: Message, now_s: float) -> list[Chunk]:
        """Take a message; return the chunks that it closed, mostly none."""
        if not self._wanted:
            return self._append(message, now_s)
        if self.rows == 0:
            self._opened_at_s = now_s
        last = self._wanted.get(message.partition)
        if last is None or message.offset > last:
            self._held.append(message)
            self._held_bytes += message.size_bytes
        else:
            self._keep(message)
        # Beyond the last offset counts as well: compaction may have removed the last message.
        if last is not None and message.offset >= last:
            self._reached.add(message.partition)
            if len(self._reached) == len(self._wanted):
                return self._close_plan(now_s)
        return self._abandon_plans(now_s) if self._too_much_waits else []

    @property
    def _too_much_waits(self) -> bool:
        """Whether more is in memory than a pending plan is worth; its own part counts as well."""
        return (
            len(self._held) > max(_PLAN_HELD_BATCHES * self._limits.rows, _PLAN_HELD_LEAST)
            or self._held_bytes + self._open_bytes > _PLAN_HELD_BATCHES * self._limits.bytes
        )

    def due(self, now_s: float) -> list[Chunk]:
        """Return the chunks whose age is reached."""
        if not self.rows:
            return []
        age_s = now_s - self._opened_at_s
        if self._wanted:
            return self._abandon_plans(now_s) if age_s >= _PLAN_WAIT_S else []
        return [self._close()] if age_s >= self._limits.age_s else []

    def drain(self, now_s: float) -> list[Chunk]:
        """Return all that is held, for a stop. Messages behind a plan stay for the next start."""
        if self._wanted or not self._open_rows:
            return []
        assert now_s >= self._opened_at_s
        return [self._close()]

    def _append(self, message: Message, now_s: float) -> list[Chunk]:
        if not self._open_rows:
            self._opened_at_s = now_s
        self._keep(message)
        return self._close_if_full()

    def _close_if_full(self) -> list[Chunk]:
        full = self._open_rows >= self._limits.rows or self._open_bytes >= self._limits.bytes
        return [self._close()] if full else []

    def _keep(self, message: Message) -> None:
        self._open.setdefault(message.partition, []).append(message)
        self._open_rows += 1
        self._open_bytes += message.size_bytes

    def _close(self, ranges: Ranges | None = None) -> Chunk:
        by_partition = sorted(self._open.items())
        chunk = Chunk(
            self.topic,
            ranges
            or tuple(OffsetRange(p, rows[0].offset, rows[-1].offset) for p, rows in by_partition),
            tuple(message for _, rows in by_partition for message in rows),
        )
        self._open = {}
        self._open_rows = 0
        self._open_bytes = 0
        return chunk

    def _next_plan(self, now_s: float) -> None:
        self._wanted = {r.partition: r.last for r in self._plans[0]} if self._plans else {}
        self._reached = set()
        self._opened_at_s = now_s

    def _close_plan(self, now_s: float) -> list[Chunk]:
        chunks = [self._close(self._plans.popleft())]
        self._next_plan(now_s)
        return chunks + self._take_held(now_s)

    def _abandon_plans(self, now_s: float) -> list[Chunk]:
        self._plans.clear()
        self._next_plan(now_s)
        return self._close_if_full() + self._take_held(now_s)

    def _take_held(self, now_s: float) -> list[Chunk]:
        held, self._held = self._held, []
        self._held_bytes = 0
        return [chunk for message in held for chunk in self.add(message, now_s)]
