"""Messages that cannot be stored, written to the dead-letter topic with their original bytes.

A letter has headers beside the bytes of its message, and the topic takes no more than the others
do: of a message that is almost as large as a topic takes, or was larger before its compression, a
letter has the beginning, and the header `truncated_from_bytes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException

from schemas.config.settings import SharedSettings
from schemas.kafka import clients
from schemas.topics import DEAD_LETTERS, MAX_MESSAGE_BYTES
from stream_app.sink.batches import Message

_STAGE = b"sink"
_ERROR_MAX = 1_000
# What a record needs beside key and value: the headers, an error of 1,000 characters among them.
_BESIDE_BYTES = 8_192
_KEY_MAX_BYTES = 65_536
_VALUE_MAX_BYTES = MAX_MESSAGE_BYTES - _BESIDE_BYTES - _KEY_MAX_BYTES
_SLICE_S = 0.25


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, where it was read, and why it was given up."""

    topic: str
    message: Message
    error: str

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The record's headers; the last one says of which size the whole value was."""
        value = self.message.value or b""
        cut = [("truncated_from_bytes", str(len(value)).encode())] if self.is_cut else []
        return [
            ("stage", _STAGE),
            ("error", self.error[:_ERROR_MAX].encode()),
            ("source_topic", self.topic.encode()),
            ("source_partition", str(self.message.partition).encode()),
            ("source_offset", str(self.message.offset).encode()),
            *cut,
        ]

    @property
    def key(self) -> bytes | None:
        """The message's key, or its beginning."""
        return None if self.message.key is None else self.message.key[:_KEY_MAX_BYTES]

    @property
    def value(self) -> bytes | None:
        """The message's value, or its beginning where the topic would not take it with headers."""
        return None if self.message.value is None else self.message.value[:_VALUE_MAX_BYTES]

    @property
    def is_cut(self) -> bool:
        """Whether key or value are cut. The whole message stays in its topic, at its offset."""
        return (self.key, self.value) != (self.message.key, self.message.value)


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
            UndeliverableError: the broker refuses some of them for good; the error has those.
        """
        failed: list[tuple[DeadLetter, str]] = []
        try:
            for letter in letters:
                self._produce(letter, failed, wait)
            while self._producer.flush(_SLICE_S):
                wait(_SLICE_S)
        except BaseException:
            # They come again with their chunk; what stayed in the queue would come twice then.
            self._producer.purge()
            raise
        if failed:
            # Permanent, such as a topic that does not exist: the offsets stay where they are.
            raise UndeliverableError(failed[0][1], [letter for letter, _ in failed])

    def _produce(
        self,
        letter: DeadLetter,
        failed: list[tuple[DeadLetter, str]],
        wait: Callable[[float], None],
    ) -> None:
        """Hand a letter to the producer, whose queue is bounded: until there is room, `wait`.

        A letter that is refused, now or later, is added to `failed`; the others go on.
        """

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failed.append((letter, str(error)))

        while True:
            try:
                self._producer.produce(
                    DEAD_LETTERS.name,
                    key=letter.key,
                    value=letter.value,
                    headers=letter.headers,
                    on_delivery=delivered,
                )
            except BufferError:
                self._producer.poll(0)
                wait(_SLICE_S)
            except KafkaException as error:
                failed.append((letter, str(error.args[0])))
                return
            else:
                return


class UndeliverableError(Exception):
    """The broker refuses dead letters for good."""

    def __init__(self, reason: str, letters: Sequence[DeadLetter]) -> None:
        """`letters` are those that it refuses; it has the others."""
        super().__init__(reason)
        self.letters = letters
