"""Frames are what the decoder reads; bytes that are no record are refused by both."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import MalformedInputError
from schemas.records import RAW_BATCH
from schemas.serde.avro_writer import write_long
from schemas.serde.codec import Decoder, Encoder
from schemas.serde.raw_frames import RawFrame, RawFrameReader

ENCODER = Encoder(RAW_BATCH, 9)
DECODER = Decoder(RAW_BATCH, lambda _id: RAW_BATCH.text)
texts = st.text(max_size=90)
longs = st.integers(-(2**63), 2**63 - 1)
items = st.fixed_dictionaries(
    {
        "symbol": st.none() | texts,
        "payload": st.binary(max_size=20) | st.binary(min_size=60, max_size=200),
        "received_at": longs | st.just(1_791_273_600_000_000),
    }
)
batches = st.fixed_dictionaries(
    {
        "feed": texts,
        "transport": st.sampled_from(["ws", "rest"]),
        "purpose": st.sampled_from(["contract", "stream", "fallback", "reconcile", "history"]),
        "channel": texts,
        "connection_id": texts,
        "sequence": longs,
        "received_at": longs,
        "items": st.lists(items, max_size=8),
    }
)


def known_reader() -> RawFrameReader:
    """A reader that has met the schema: from then on it reads by itself."""
    reader = RawFrameReader(lambda _id: RAW_BATCH.text)
    empty: Any = {
        "feed": "f", "transport": "ws", "purpose": "stream", "channel": "", "connection_id": "",
        "sequence": 0, "received_at": 0, "items": [],
    }  # fmt: skip
    reader.read(ENCODER.encode(empty))
    return reader


READER = known_reader()


@settings(deadline=None)
@given(batch=batches)
def test_a_frame_is_what_the_decoder_reads(batch: Any) -> None:
    """All fields, of a reader that knows the schema and of one that does not."""
    value = ENCODER.encode(batch)
    expected = RawFrame.of(DECODER.decode(value))
    assert READER.read(value) == expected
    assert RawFrameReader(lambda _id: RAW_BATCH.text).read(value) == expected
    assert expected.items() == batch["items"]


@settings(deadline=None, max_examples=300)
@given(batch=batches, data=st.data())
def test_damaged_bytes_are_refused_or_read_as_by_the_decoder(batch: Any, data: Any) -> None:
    """A byte changed, a piece cut off or added: never another error, never another meaning."""
    value = bytearray(ENCODER.encode(batch))
    kind = data.draw(st.sampled_from(["change", "cut", "add"]))
    if kind == "change":
        value[data.draw(st.integers(5, len(value) - 1))] = data.draw(st.integers(0, 255))
    elif kind == "cut":
        del value[data.draw(st.integers(5, len(value) - 1)) :]
    else:
        value += data.draw(st.binary(min_size=1, max_size=4))
    try:
        found = READER.read(bytes(value))
    except MalformedInputError:
        return
    assert found == RawFrame.of(DECODER.decode(bytes(value)))


def test_a_block_with_its_size_is_read() -> None:
    """Writers may put the size in bytes before the items of a block."""
    batch: Any = {
        "feed": "f", "transport": "ws", "purpose": "stream", "channel": "c", "connection_id": "i",
        "sequence": 0, "received_at": 1, "items": [],
    }  # fmt: skip
    item = b"\x02" + write_long(1) + b"A" + write_long(2) + b"{}" + write_long(7)
    head = ENCODER.encode(batch)[:-1]
    value = head + write_long(-1) + write_long(len(item)) + item + b"\x00"
    frame = READER.read(value)
    assert frame == RawFrame.of(DECODER.decode(value))
    assert frame.items() == [{"symbol": "A", "payload": b"{}", "received_at": 7}]


def test_an_endless_number_is_refused() -> None:
    """More than 64 bits, and bytes that never end."""
    head = struct.pack(">bI", 0, 9)
    for body in (b"\xff" * 40, b"\x02f\x00\x02\x00\x00" + b"\xff" * 12 + b"\x01"):
        with pytest.raises(MalformedInputError):
            READER.read(head + body)
