"""What the core decides to publish, as data. Not responsible for: encoding and sending."""

from __future__ import annotations

from typing import Any, NamedTuple

from schemas.topics import TopicSpec


class Output(NamedTuple):
    """A record for a topic. `key`: contract id or feed."""

    topic: TopicSpec
    key: str
    record: Any


class DeadLetter(NamedTuple):
    """Bytes that could not be read, with where they came from and why."""

    key: str | None
    value: bytes
    stage: str
    error: str
    topic: str
    partition: int
    offset: int
    item: int
