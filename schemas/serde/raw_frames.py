"""Reads RawBatch records as frames: columns of symbols, payloads and times instead of dicts.

The worker reads each raw record once. fastavro makes a dict of each item, at three times the cost
of this. Records that were written with another version of the schema are read with codec.Decoder.

Encoding: Apache Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import msgspec

from schemas.errors import MalformedInputError
from schemas.records import RAW_BATCH, Purpose, RawBatch, RawItem, Transport
from schemas.serde.codec import HEADER_BYTES, Decoder, schema_id_of

_FIELDS = (
    "feed", "transport", "purpose", "channel", "connection_id", "sequence", "received_at", "items",
)  # fmt: skip
_ITEM_FIELDS = ("symbol", "payload", "received_at")
_SOME = 2
"""The tag of the second branch of a union: there is a value."""
_MAX_LONG_BYTES = 10
_CONTINUES = 0x8080808080808080
_EIGHT_BYTES = 0x0080808080808080
"""The bits of eight bytes that say "another byte follows", and how they are in a long of eight."""
_MAX_HEADS = 1_024
"""How many beginnings of records are remembered."""


class RawFrame(msgspec.Struct, gc=False):
    """One raw record. Its columns are in the order of the items."""

    feed: str
    transport: Transport
    purpose: Purpose
    channel: str
    connection_id: str
    sequence: int
    received_at: int
    symbols: Sequence[bytes | None]
    """In UTF-8, as they are stored."""
    payloads: Sequence[bytes]
    times: Sequence[int]
    """When each item was received, µs."""

    def __len__(self) -> int:
        return len(self.payloads)

    @property
    def is_stream(self) -> bool:
        """True if it comes from a subscription."""
        return self.purpose == "stream" and self.transport == "ws"

    def item(self, index: int) -> RawItem:
        """Return one item."""
        symbol = self.symbols[index]
        return {
            "symbol": None if symbol is None else symbol.decode(),
            "payload": self.payloads[index],
            "received_at": self.times[index],
        }

    def items(self) -> list[RawItem]:
        """Return all items."""
        return [self.item(index) for index in range(len(self))]

    @classmethod
    def of(cls, batch: RawBatch) -> RawFrame:
        """Return the frame of a decoded record."""
        items = batch["items"]
        symbols = [i["symbol"] for i in items]
        return cls(
            batch["feed"],
            batch["transport"],
            batch["purpose"],
            batch["channel"],
            batch["connection_id"],
            batch["sequence"],
            batch["received_at"],
            [None if s is None else s.encode() for s in symbols],
            [i["payload"] for i in items],
            [i["received_at"] for i in items],
        )


def _long(data: bytes, at: int) -> tuple[int, int]:
    """Read an Avro long; return it and the position after it."""
    byte = data[at]
    at += 1
    value, shift = byte & 0x7F, 7
    while byte & 0x80:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    if shift > 7 * _MAX_LONG_BYTES or value >> 64:
        raise ValueError("a number of more than 64 bits")
    return (value >> 1) ^ -(value & 1), at


def _time(data: bytes, at: int) -> tuple[int, int]:
    """Read an Avro long that is probably a time of these centuries in µs: one of eight bytes."""
    packed = int.from_bytes(data[at : at + 8], "little")
    if packed & _CONTINUES != _EIGHT_BYTES:
        return _long(data, at)
    # Two by two the groups of 7, 14 and 28 bits are moved together.
    packed = packed & 0x007F007F007F007F | (packed & 0x7F007F007F007F00) >> 1
    packed = packed & 0x00003FFF00003FFF | (packed & 0x3FFF00003FFF0000) >> 2
    packed = packed & 0x000000000FFFFFFF | (packed & 0x0FFFFFFF00000000) >> 4
    return (packed >> 1) ^ -(packed & 1), at + 8


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Read Avro bytes, of which a string is made; return them and the position after them."""
    size, at = _long(data, at)
    end = at + size
    if size < 0 or end > len(data):
        raise ValueError("a length beyond the record's end")
    return data[at:end], end


def _items(
    data: bytes, at: int, known_at: int, known: bytes
) -> tuple[list[bytes | None], list[bytes], list[int], int]:
    """Read the array of items; return its columns and the position after it.

    `known_at`, `known`: a time that items probably have, and its encoding.
    """
    symbols: list[bytes | None] = []
    payloads: list[bytes] = []
    times: list[int] = []
    width = len(known)
    while True:
        count, at = _long(data, at)
        if count == 0:
            return symbols, payloads, times, at
        if count < 0:
            # The block's size in bytes follows.
            count = -count
            _, at = _long(data, at)
        for _ in range(count):
            tag, size = data[at], data[at + 1]
            if tag == _SOME and not size & 0x81:
                # A symbol of less than 64 bytes: its length is one byte.
                start = at + 2
                at = start + (size >> 1)
                symbols.append(data[start:at])
            elif tag == _SOME:
                symbol, at = _bytes(data, at + 1)
                symbols.append(symbol)
            elif tag == 0:
                symbols.append(None)
                at += 1
            else:
                raise ValueError("a symbol that is neither null nor text")
            size = data[at]
            if size & 0x80 and not data[at + 1] & 0x80 and not size & 1:
                # A payload of 64 to 8,191 bytes: its length is two bytes.
                start = at + 2
                at = start + ((size & 0x7F | data[at + 1] << 7) >> 1)
                payloads.append(data[start:at])
            else:
                payload, at = _bytes(data, at)
                payloads.append(payload)
            if data[at : at + width] == known:
                # Most items of a frame have the same time.
                at += width
            else:
                start = at
                known_at, at = _time(data, at)
                known = data[start:at]
                width = at - start
            times.append(known_at)


def _symbols_of(record_type_text: str, field: str) -> tuple[str, ...]:
    for entry in msgspec.json.decode(record_type_text)["fields"]:
        if entry["name"] == field:
            return tuple(entry["type"]["symbols"])
    raise ValueError(f"RawBatch has no {field}")


class _Head(NamedTuple):
    """What all records of a channel of a connection have in common."""

    feed: str
    transport: Transport
    purpose: Purpose
    channel: str
    connection_id: str


class RawFrameReader:
    """Reads raw records, whichever version of the schema they were written with."""

    def __init__(self, schema_text_by_id: Callable[[int], str]) -> None:
        """`schema_text_by_id` is asked once for each schema id; it may block."""
        self._decoder = Decoder(RAW_BATCH, schema_text_by_id)
        self._text_by_id = schema_text_by_id
        self._transports = _symbols_of(RAW_BATCH.text, "transport")
        self._purposes = _symbols_of(RAW_BATCH.text, "purpose")
        own = msgspec.json.decode(RAW_BATCH.text)
        self._own = own
        items = own["fields"][-1]["type"]["items"]["fields"]
        names = tuple(f["name"] for f in own["fields"]), tuple(f["name"] for f in items)
        assert names == (_FIELDS, _ITEM_FIELDS), "what `_read` reads"
        self._is_own: dict[int, bool] = {}
        self._heads: dict[int, dict[bytes, _Head]] = {}
        """By their size in bytes, and their bytes."""
        self._known = 0

    def read(self, value: bytes) -> RawFrame:
        """Return the frame in the value of a raw record.

        Raises:
            MalformedInputError: the bytes are no such record, bytes are left over, or the registry
                does not know the schema that they name.
        """
        schema_id = schema_id_of(value)
        is_own = self._is_own.get(schema_id)
        if is_own is None:
            # The decoder is asked first, as it says what is wrong with an unknown schema.
            frame = RawFrame.of(self._decoder.decode(value))
            self._is_own[schema_id] = self._same_fields(schema_id)
            return frame
        if not is_own:
            return RawFrame.of(self._decoder.decode(value))
        try:
            return self._read(value)
        except (IndexError, ValueError) as error:
            raise MalformedInputError(f"not a RawBatch: {error!r:.200}") from error

    def _same_fields(self, schema_id: int) -> bool:
        written = msgspec.json.decode(self._text_by_id(schema_id))
        return bool(written == self._own)

    def _read(self, value: bytes) -> RawFrame:
        head, at = self._head_of(value)
        sequence, at = _long(value, at)
        begin = at
        received_at, at = _time(value, at)
        symbols, payloads, times, at = _items(value, at, received_at, value[begin:at])
        if at != len(value):
            raise ValueError(f"{len(value) - at} bytes left over")
        for symbol in symbols:
            if symbol is not None:
                # Text must be UTF-8; ASCII, which nearly all of it is, needs no further look.
                symbol.isascii() or symbol.decode()
        return RawFrame(*head, sequence, received_at, symbols, payloads, times)

    def _head_of(self, value: bytes) -> tuple[_Head, int]:
        """Return the fields before `sequence`, and the position after them.

        A connection's records begin with the same bytes, so those are read once.
        """
        for size, known in self._heads.items():
            head = known.get(value[HEADER_BYTES : HEADER_BYTES + size])
            if head is not None:
                return head, HEADER_BYTES + size
        head, at = self._read_head(value)
        if self._known >= _MAX_HEADS:
            self._heads.clear()
            self._known = 0
        self._known += 1
        size = at - HEADER_BYTES
        self._heads.setdefault(size, {})[value[HEADER_BYTES:at]] = head
        return head, at

    def _read_head(self, value: bytes) -> tuple[_Head, int]:
        feed, at = _bytes(value, HEADER_BYTES)
        transport, at = _long(value, at)
        purpose, at = _long(value, at)
        channel, at = _bytes(value, at)
        connection, at = _bytes(value, at)
        if min(transport, purpose) < 0:
            raise ValueError("a transport or purpose below 0")
        head = _Head(
            feed.decode(),
            cast("Transport", self._transports[transport]),
            cast("Purpose", self._purposes[purpose]),
            channel.decode(),
            connection.decode(),
        )
        return head, at
