"""The wire format, what the decoder refuses, and how it reads older and foreign writers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from avro.io import BinaryEncoder, DatumWriter
from avro.schema import parse

from schemas.errors import MalformedInputError, SchemaError, UnavailableError
from schemas.records import FEED_STATUS, RAW_BATCH, RawBatch, RecordType
from schemas.serde.codec import Decoder, Encoder, schema_id_of, wire_header

NEW_ID, OLD_ID = 7, 3
BATCH: RawBatch = {
    "feed": "binance-usdm",
    "transport": "ws",
    "purpose": "stream",
    "channel": "!markPrice@arr@1s",
    "connection_id": "c-1",
    "sequence": 41,
    "received_at": 1_791_269_856_123_456,
    "items": [
        {"symbol": "币安人生USDT", "payload": b"\x00\xff", "received_at": 1_791_269_856_000_001},
        {"symbol": None, "payload": b"", "received_at": 1_791_269_856_000_002},
    ],
}
STATUS: dict[str, Any] = {
    "feed": "binance-usdm",
    "state": "live",
    "transport": None,
    "since": 1,
    "reported_at": 2,
    "last_data_at": None,
    "contracts_expected": 3,
    "contracts_live": 4,
    "connections": 5,
    "connects": 6,
    "frames": 7,
    "updates": 8,
    "rest_calls": 9,
    "backfill_done": 10,
    "detail": "ok",
    "mode": "hybrid",
    "contracts_by_rest": 11,
    "connect_attempts": 12,
    "rest_failures": 13,
    "repeated": 14,
    "simulated": True,
    "limit_used": None,
    "contracts_quiet": 15,
}
STATUS_WITH_DATETIMES = {
    **STATUS,
    "since": datetime(1970, 1, 1, microsecond=1, tzinfo=UTC),
    "reported_at": datetime(1970, 1, 1, microsecond=2, tzinfo=UTC),
}


def without_field(record_type: RecordType, name: str) -> str:
    """The schema's text as it was before a field was added."""
    document = json.loads(record_type.text)
    document["fields"] = [f for f in document["fields"] if f["name"] != name]
    return json.dumps(document)


def written(text: str, schema_id: int, record: dict[str, Any]) -> bytes:
    """A value as the reference codec writes it with the schema `text`."""
    body = BytesIO()
    DatumWriter(parse(text)).write(record, BinaryEncoder(body))
    return wire_header(schema_id) + body.getvalue()


def registry(*texts: tuple[int, str]) -> Callable[[int], str]:
    """A lookup of schema texts that knows these ids, as SchemaCatalog's does."""
    known = dict(texts)

    def text_by_id(schema_id: int) -> str:
        if schema_id not in known:
            raise SchemaError(f"schema {schema_id} is unknown")
        return known[schema_id]

    return text_by_id


def decoder(record_type: RecordType = RAW_BATCH) -> Decoder:
    """A decoder that knows the current schema alone."""
    return Decoder(record_type, registry((NEW_ID, record_type.text)))


def test_a_value_begins_with_magic_zero_and_the_schema_id() -> None:
    """Confluent's wire format: one 0 byte, four bytes big endian, the body."""
    value = Encoder(RAW_BATCH, 0x01020304).encode(BATCH)
    assert value[:5] == b"\x00\x01\x02\x03\x04"
    assert wire_header(0xFFFFFFFF) == b"\x00\xff\xff\xff\xff"
    assert schema_id_of(value) == 0x01020304


@pytest.mark.parametrize("value", [b"", b"\x00", b"\x00\x00\x00\x07", b"\x01\x00\x00\x00\x07\x00"])
def test_what_is_no_wire_format_is_refused(value: bytes) -> None:
    """Too short for a header, or another magic byte (plain JSON, protobuf, a Java object)."""
    with pytest.raises(MalformedInputError, match="not a Confluent Avro value"):
        schema_id_of(value)


def test_a_record_comes_back_as_it_went_in() -> None:
    """Bytes stay bytes, null stays null, times stay integers."""
    assert decoder().decode(Encoder(RAW_BATCH, NEW_ID).encode(BATCH)) == BATCH


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", "41"),
        ("sequence", 2**63),
        ("feed", None),
        ("feed", "\ud800"),
        ("transport", "carrier pigeon"),
        ("items", None),
        ("items", [{"symbol": "A", "payload": "text", "received_at": 1}]),
    ],
)
def test_a_record_that_does_not_fit_is_not_encoded(field: str, value: Any) -> None:
    """A wrong type, an unknown enum symbol and an integer beyond 64 bits are SchemaErrors."""
    with pytest.raises(SchemaError, match="RawBatch"):
        Encoder(RAW_BATCH, NEW_ID).encode({**BATCH, field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frames", "7"),
        ("frames", 7.0),
        ("frames", True),
        ("frames", 2**63),
        ("frames", -(2**63) - 1),
        ("frames", None),
        ("detail", None),
        ("detail", b"ok"),
        ("detail", ["ok"]),
        ("detail", "\ud800"),
        ("state", "asleep"),
        ("state", None),
        ("transport", "carrier pigeon"),
        ("last_data_at", "now"),
    ],
)
def test_a_flat_record_that_does_not_fit_is_not_encoded(field: str, value: Any) -> None:
    """The compiled writers refuse what a generic one would, and never guess."""
    fits = Encoder(FEED_STATUS, NEW_ID).encode(STATUS)
    assert decoder(FEED_STATUS).decode(fits) == STATUS
    with pytest.raises(SchemaError, match="FeedStatus"):
        Encoder(FEED_STATUS, NEW_ID).encode({**STATUS, field: value})


def test_a_missing_field_is_not_encoded() -> None:
    """A field without a default must be there."""
    partial = {key: value for key, value in BATCH.items() if key != "feed"}
    with pytest.raises(SchemaError, match="feed"):
        Encoder(RAW_BATCH, NEW_ID).encode(partial)


def test_a_wrong_record_type_is_refused() -> None:
    """Bytes of a FeedStatus under the id of RawBatch are no RawBatch."""
    with pytest.raises(MalformedInputError, match="not a RawBatch"):
        decoder().decode(Encoder(FEED_STATUS, NEW_ID).encode(STATUS))


def test_a_record_of_another_type_is_refused() -> None:
    """A FeedStatus with its own schema does not resolve to a RawBatch."""
    text_by_id = registry((NEW_ID, RAW_BATCH.text), (OLD_ID, FEED_STATUS.text))
    with pytest.raises(MalformedInputError, match="not a RawBatch"):
        Decoder(RAW_BATCH, text_by_id).decode(Encoder(FEED_STATUS, OLD_ID).encode(STATUS))


def test_an_older_record_reads_with_the_default_of_an_added_field() -> None:
    """BACKWARD compatibility at work: yesterday's bytes, today's reader."""
    old_text = without_field(FEED_STATUS, "last_data_at")
    old = {key: value for key, value in STATUS_WITH_DATETIMES.items() if key != "last_data_at"}
    value = written(old_text, OLD_ID, old)
    text_by_id = registry((NEW_ID, FEED_STATUS.text), (OLD_ID, old_text))
    assert Decoder(FEED_STATUS, text_by_id).decode(value) == {**STATUS, "last_data_at": None}


def test_a_field_that_only_the_writer_has_is_passed_over() -> None:
    """A removed field, between two others, moves none of them."""
    document = json.loads(FEED_STATUS.text)
    document["fields"].insert(3, {"name": "gone", "type": "string"})
    newer = json.dumps(document)
    value = written(newer, NEW_ID, {**STATUS_WITH_DATETIMES, "gone": "passé"})
    text_by_id = registry((NEW_ID, newer))
    assert Decoder(FEED_STATUS, text_by_id).decode(value) == STATUS


def test_the_registry_is_asked_once_for_each_schema_id() -> None:
    """A lookup may block, so it must not happen per record."""
    asked: list[int] = []

    def text_by_id(schema_id: int) -> str:
        asked.append(schema_id)
        return RAW_BATCH.text

    reader = Decoder(RAW_BATCH, text_by_id)
    for schema_id in (NEW_ID, OLD_ID, NEW_ID, OLD_ID):
        reader.decode(Encoder(RAW_BATCH, schema_id).encode(BATCH))
    assert asked == [NEW_ID, OLD_ID]


def test_a_schema_id_that_nobody_registered_is_malformed_input() -> None:
    """One foreign record goes to the dead letters and does not stop the worker for ever."""
    with pytest.raises(MalformedInputError, match="schema 99 is unknown"):
        decoder().decode(Encoder(RAW_BATCH, 99).encode(BATCH))


@pytest.mark.parametrize("text", ['{"type":"object","properties":{}}', "3", "{}", "not JSON"])
def test_a_schema_that_is_no_avro_is_malformed_input(text: str) -> None:
    """The registry also holds JSON Schema and Protobuf."""
    with pytest.raises(MalformedInputError, match="no Avro schema"):
        Decoder(RAW_BATCH, registry((NEW_ID, text))).decode(wire_header(NEW_ID) + b"\x00")


def test_a_registry_that_is_away_is_not_the_records_fault() -> None:
    """The record is kept for a retry instead of the dead letters."""

    def text_by_id(_schema_id: int) -> str:
        raise UnavailableError("the registry does not answer")

    with pytest.raises(UnavailableError):
        Decoder(RAW_BATCH, text_by_id).decode(Encoder(RAW_BATCH, NEW_ID).encode(BATCH))


def test_the_message_about_garbage_is_short() -> None:
    """Errors that quote the whole input are cut: they travel in a Kafka header."""
    value = wire_header(NEW_ID) + b"\x80\x80\x02" + b"\xff" * 16_384
    with pytest.raises(MalformedInputError) as caught:
        decoder().decode(value)
    assert len(str(caught.value)) < 300
