"""The codec against the reference implementation of Avro, over records of every type.

The `avro` package knows nothing of ours: it parses the registered text and reads the body.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from io import BytesIO
from typing import Any

import fastavro
import pytest
from avro.io import BinaryDecoder, BinaryEncoder, DatumReader, DatumWriter
from avro.schema import parse as parse_reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import MalformedInputError
from schemas.records import ALERT, RECORD_TYPES, RecordType
from schemas.serde.codec import HEADER_BYTES, Decoder, Encoder, parse_schema

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCHEMA_ID = 0x01020304
# What a datetime can hold: the reference codec gives times as datetimes.
MIN_US = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
MAX_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
EXTREMES = st.sampled_from([0.0, -0.0, 5e-324, -1.7976931348623157e308, 0.1 + 0.2, 1e-8])
PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False) | EXTREMES,
    "string": st.text(max_size=12) | st.sampled_from(["", "币安人生USDT", "👩‍🚀", "\x00"]),
    "bytes": st.binary(max_size=24),
}
ALERT_WITHOUT_VALUE: dict[str, Any] = {
    "alert_id": "id",
    "subject": "binance-usdm:BTCUSDT",
    "kind": "z_cross",
    "severity": "info",
    "threshold": None,
    "message": "",
    "event_time": 1,
    "created_at": 2,
    "raw_topic": None,
    "raw_partition": None,
    "raw_offset": None,
    "raw_item": None,
}
some_examples = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def values_of(node: Any) -> st.SearchStrategy[Any]:
    """Values of a schema node, with times as integers."""
    if isinstance(node, list):
        return st.one_of([values_of(branch) for branch in node])
    if isinstance(node, str):
        return PLAIN[node]
    if node.get("logicalType") == "timestamp-micros":
        return st.integers(MIN_US, MAX_US)
    if node["type"] == "enum":
        return st.sampled_from(node["symbols"])
    if node["type"] == "array":
        return st.lists(values_of(node["items"]), max_size=4)
    assert node["type"] == "record", node
    return st.fixed_dictionaries({f["name"]: values_of(f["type"]) for f in node["fields"]})


@cache
def records_of(record_type: RecordType) -> st.SearchStrategy[dict[str, Any]]:
    """Records of a type, drawn from its schema."""
    return values_of(json.loads(record_type.text))


@cache
def reference_schema(record_type: RecordType) -> Any:
    """The schema as the reference codec parses it."""
    return parse_reference(record_type.text)


def in_microseconds(value: Any) -> Any:
    """The same value with every datetime as microseconds."""
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    if isinstance(value, list):
        return [in_microseconds(item) for item in value]
    if isinstance(value, dict):
        return {key: in_microseconds(item) for key, item in value.items()}
    return value


def with_datetimes(node: Any, value: Any) -> Any:
    """The same value with the times of schema `node` as datetimes."""
    if value is None or isinstance(node, str):
        return value
    if isinstance(node, list):
        return with_datetimes(next(branch for branch in node if branch != "null"), value)
    if node.get("logicalType") == "timestamp-micros":
        return EPOCH + timedelta(microseconds=value)
    if node["type"] == "array":
        return [with_datetimes(node["items"], item) for item in value]
    if node["type"] == "record":
        return {f["name"]: with_datetimes(f["type"], value[f["name"]]) for f in node["fields"]}
    return value


def decoder(record_type: RecordType) -> Decoder:
    """A decoder for records written with this version's schema."""
    return Decoder(record_type, lambda _schema_id: record_type.text)


def exact(value: Any) -> Any:
    """The same value with floats as text that tells −0.0 from 0.0."""
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize("record_type", RECORD_TYPES, ids=lambda r: r.name)
@some_examples
@given(data=st.data())
def test_what_we_write_the_reference_codec_reads(
    record_type: RecordType, data: st.DataObject
) -> None:
    """Every field arrives bit for bit, and nothing stands after the body."""
    record = data.draw(records_of(record_type))
    buffer = BytesIO(Encoder(record_type, SCHEMA_ID).encode(record)[HEADER_BYTES:])
    read = DatumReader(reference_schema(record_type)).read(BinaryDecoder(buffer))
    assert exact(in_microseconds(read)) == exact(record)
    assert buffer.read() == b""


@pytest.mark.parametrize("record_type", RECORD_TYPES, ids=lambda r: r.name)
@some_examples
@given(data=st.data())
def test_what_the_reference_codec_writes_we_read(
    record_type: RecordType, data: st.DataObject
) -> None:
    """A producer that is not ours may write these records, and times come as microseconds."""
    record = data.draw(records_of(record_type))
    buffer = BytesIO(SCHEMA_ID.to_bytes(HEADER_BYTES, "big"))
    buffer.seek(HEADER_BYTES)
    datum = with_datetimes(json.loads(record_type.text), record)
    DatumWriter(reference_schema(record_type)).write(datum, BinaryEncoder(buffer))
    assert exact(decoder(record_type).decode(buffer.getvalue())) == exact(record)


@pytest.mark.parametrize("record_type", RECORD_TYPES, ids=lambda r: r.name)
@some_examples
@given(data=st.data())
def test_our_bytes_are_fastavros(record_type: RecordType, data: st.DataObject) -> None:
    """The compiled writers write what a generic one does, byte for byte."""
    record = data.draw(records_of(record_type))
    body = BytesIO()
    fastavro.schemaless_writer(body, parse_schema(record_type.text), record)
    assert Encoder(record_type, SCHEMA_ID).encode(record)[HEADER_BYTES:] == body.getvalue()


@pytest.mark.parametrize("record_type", RECORD_TYPES, ids=lambda r: r.name)
@some_examples
@given(data=st.data())
def test_a_truncated_record_is_refused(record_type: RecordType, data: st.DataObject) -> None:
    """No prefix of a record passes for a record."""
    value = Encoder(record_type, SCHEMA_ID).encode(data.draw(records_of(record_type)))
    cut = data.draw(st.integers(0, len(value) - 1))
    with pytest.raises(MalformedInputError):
        decoder(record_type).decode(value[:cut])


@pytest.mark.parametrize("record_type", RECORD_TYPES, ids=lambda r: r.name)
@some_examples
@given(data=st.data(), extra=st.binary(min_size=1, max_size=9))
def test_left_over_bytes_are_refused(
    record_type: RecordType, data: st.DataObject, extra: bytes
) -> None:
    """Two records in one value, or padding, are no record."""
    value = Encoder(record_type, SCHEMA_ID).encode(data.draw(records_of(record_type)))
    with pytest.raises(MalformedInputError, match="left over"):
        decoder(record_type).decode(value + extra)


@pytest.mark.parametrize("record_type", RECORD_TYPES, ids=lambda r: r.name)
@some_examples
@given(body=st.binary(max_size=200))
def test_garbage_raises_nothing_but_malformed_input(record_type: RecordType, body: bytes) -> None:
    """Whatever stands in a value, one error says so; if it is read, it is a whole record."""
    value = SCHEMA_ID.to_bytes(HEADER_BYTES, "big") + body
    try:
        record = decoder(record_type).decode(value)
    except MalformedInputError as error:
        assert len(str(error)) < 500  # noqa: PT017 - both outcomes are right, and both are bounded
    else:
        assert tuple(record) == record_type.fields


@some_examples
@given(digits=st.integers(-(10**15) + 1, 10**15 - 1), exponent=st.integers(-18, 0))
def test_fifteen_digits_of_an_exchange_survive(digits: int, exponent: int) -> None:
    """A decimal text of up to 15 significant digits comes back from a double as it was."""
    text = f"{digits}e{exponent}"
    record = {**ALERT_WITHOUT_VALUE, "value": float(text)}
    read = decoder(ALERT).decode(Encoder(ALERT, SCHEMA_ID).encode(record))["value"]
    assert Decimal(f"{read:.15g}") == Decimal(text)
