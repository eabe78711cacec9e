"""How pieces are cut into records for Kafka: bounds of a record, and dead letters. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas import topics
from schemas.control_items import MAX_UNREADABLE_BYTES
from schemas.records import MAX_BATCH_ITEMS, RawItem

MAX_LETTERS = 32
"""Dead letters that one message can make."""
_ITEM_OVERHEAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """Bounds of what is published, in bytes."""

    batch_bytes: int = 1 << 20
    """A record is cut before it grows beyond this; the topic takes four times as much."""
    item_bytes: int = topics.MAX_MESSAGE_BYTES - (64 << 10)
    """A longer piece fits into no record: its beginning goes to the dead letters."""
    letter_bytes: int = MAX_UNREADABLE_BYTES
    """A dead letter is cut to this length."""


def chunks(items: list[RawItem], batch_bytes: int) -> Iterator[list[RawItem]]:
    """Cut items so that a record has MAX_BATCH_ITEMS at most and stays below `batch_bytes`.

    A single larger item makes a record of its own.
    """
    chunk: list[RawItem] = []
    size = 0
    for item in items:
        length = len(item["payload"]) + _ITEM_OVERHEAD_BYTES
        if chunk and (size + length > batch_bytes or len(chunk) >= MAX_BATCH_ITEMS):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += length
    if chunk:
        yield chunk


def dead_letters(odd: list[bytes], letter_bytes: int) -> Iterable[bytes]:
    """Return the dead letters of one message's odd pieces: MAX_LETTERS at most, none too long.

    The last one holds all the rest of the pieces, a line each, up to its length.
    """
    for payload in odd[: MAX_LETTERS - 1]:
        yield payload[:letter_bytes]
    rest = odd[MAX_LETTERS - 1 :]
    if rest:
        size, last = 0, []
        for payload in rest:
            last.append(payload[:letter_bytes])
            size += len(payload) + 1
            if size > letter_bytes:
                break
        yield b"\n".join(last)[:letter_bytes]
