"""Reads one record of the raw log: the bytes of the exchange behind a rate.

librdkafka blocks, so that each read runs in a thread. One runs at a time, and takes three seconds
at most.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.config.settings import SharedSettings
from schemas.errors import FundingStreamError, UnavailableError
from schemas.kafka.clients import consumer
from schemas.records import Purpose, RawCoordinates, Transport
from schemas.serde.raw_frames import RawFrameReader
from schemas.serde.registry import SchemaCatalog
from schemas.text import one_line
from schemas.topics import MAX_MESSAGE_BYTES, RAW_PREFIX

TIMEOUT_S = 3.0
MAX_PAYLOAD_BYTES = 64 * 1024
_MAX_WAITING = 8


class RawItemRead(NamedTuple):
    """One item of a raw record."""

    transport: Transport
    purpose: Purpose
    channel: str
    received_at: int
    payload: str
    """At most MAX_PAYLOAD_BYTES as UTF-8; what is no UTF-8 is replaced."""
    bytes: int
    """The size of the whole payload."""
    truncated: bool


class NotKeptError(FundingStreamError):
    """The raw record is not in the log, or no longer."""


class RawReader:
    """Reads raw records by their coordinates. It is used in one event loop."""

    def __init__(self, settings: SharedSettings) -> None:
        self._settings = settings
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._frames: RawFrameReader | None = None

    async def read(self, at: RawCoordinates) -> RawItemRead:
        """Return the item at these coordinates.

        Raises:
            NotKeptError: the log does not hold it.
            UnavailableError: Kafka or the registry does not answer in time, or too many wait.
            MalformedInputError: the record cannot be read.
        """
        if not at["raw_topic"].startswith(RAW_PREFIX):
            raise NotKeptError(f"{one_line(at['raw_topic'])!r} is no raw topic")
        if self._waiting >= _MAX_WAITING:
            raise UnavailableError(f"{_MAX_WAITING} wait for raw records already: ask again later")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(self._read, at)
        finally:
            self._waiting -= 1

    def _read(self, at: RawCoordinates) -> RawItemRead:
        value = self._value(at)
        if self._frames is None:
            catalog = SchemaCatalog(self._settings, answer_within_s=TIMEOUT_S)
            self._frames = RawFrameReader(catalog.schema_text)
        frame = self._frames.read(value)
        if not 0 <= at["raw_item"] < len(frame):
            raise NotKeptError(f"{_place(at)} holds {len(frame)} items, and not {at['raw_item']}")
        item = frame.item(at["raw_item"])
        payload = item["payload"]
        return RawItemRead(
            frame.transport,
            frame.purpose,
            frame.channel,
            item["received_at"],
            payload[:MAX_PAYLOAD_BYTES].decode(errors="replace"),
            len(payload),
            len(payload) > MAX_PAYLOAD_BYTES,
        )

    def _value(self, at: RawCoordinates) -> bytes:
        client = consumer({
            **self._settings.quiet_librdkafka(),
            "group.id": "fundingstream-page-raw",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
            "queued.max.messages.kbytes": MAX_MESSAGE_BYTES // 1024,
        })  # fmt: skip
        try:
            client.assign([TopicPartition(at["raw_topic"], at["raw_partition"], at["raw_offset"])])
            return self._polled(client, at)
        except KafkaException as error:
            raise UnavailableError(f"Kafka refuses to read {_place(at)}: {error}") from error
        finally:
            client.close()

    def _polled(self, client: Any, at: RawCoordinates) -> bytes:
        deadline_s = time.monotonic() + TIMEOUT_S
        said = "no answer"
        while (left_s := deadline_s - time.monotonic()) > 0:
            message = client.poll(left_s)
            if message is None:
                break
            error = message.error()
            if error is None:
                if message.offset() != at["raw_offset"]:
                    raise NotKeptError(f"{_place(at)} is not in the log")
                value: bytes | None = message.value()
                if value is None:
                    raise NotKeptError(f"{_place(at)} holds nothing")
                return value
            if error.code() in _NOT_THERE:
                raise NotKeptError(f"{_place(at)} is not in the log, or no longer ({error.str()})")
            said = error.str()
        raise UnavailableError(
            f"Kafka at {self._settings.kafka_bootstrap} gave no record within {TIMEOUT_S:g} s "
            f"({one_line(said)}): ask again later"
        )


_NOT_THERE = {
    KafkaError._PARTITION_EOF,  # noqa: SLF001 - so its names are
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


def _place(at: RawCoordinates) -> str:
    return f"{at['raw_topic']} [{at['raw_partition']}] at {at['raw_offset']}"
