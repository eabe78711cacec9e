"""Messages that cannot be stored, written to the dead-letter topic with their original bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.config.settings import SharedSettings
from schemas.kafka import clients
from schemas.topics import DEAD_LETTERS, MAX_MESSAGE_BYTES
from stream_app.sink.batches import Message

_STAGE = b"sink"
_ERROR_MAX = 1_000
_SLICE_S = 0.25


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, where it was read, and why it was given up."""

    topic: str
    message: Message
    error: str

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The record's headers."""
        return [
            ("stage", _STAGE),
            ("error", self.error[:_ERROR_MAX].encode()),
            ("source_topic", self.topic.encode()),
            ("source_partition", str(self.message.partition).encode()),
            ("source_offset", str(self.message.offset).encode()),
        ]


class DeadLetterQueue:
    """Produces dead letters and waits until the broker has them."""

    def __init__(self, settings: SharedSettings, producer: Any = None) -> None:
        self._producer = producer or clients.producer(
            {
                **settings.quiet_librdkafka(),
                "client.id": "fundingstream-sink-dead-letters",
                "acks": "all",
                "message.timeout.ms": 0,  # `wait` decides how long
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "compression.type": "lz4",
            }
        )

    def publish(self, letters: Sequence[DeadLetter], wait: Callable[[float], None]) -> None:
        """Return when the broker has acknowledged every letter.

        `wait` is called meanwhile, and may raise to give up.

        Raises:
            UndeliverableError: the broker refuses a letter for good.
        """
        failures: list[Any] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failures.append(error)

        for letter in letters:
            self._producer.produce(
                DEAD_LETTERS.name,
                key=letter.message.key,
                value=letter.message.value,
                headers=letter.headers,
                on_delivery=delivered,
            )
        while self._producer.flush(_SLICE_S):
            wait(_SLICE_S)
        if failures:
            # Permanent, such as a topic that does not exist: the offsets stay where they are.
            raise UndeliverableError(str(failures[0]))


class UndeliverableError(Exception):
    """The broker refuses a dead letter for good."""
