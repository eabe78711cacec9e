"""One record of the raw log, read from a real broker's protocol (librdkafka's mock cluster)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from infra.embedded.ports import free_port
from schemas.config.settings import SharedSettings
from schemas.errors import MalformedInputError, UnavailableError
from schemas.records import RawCoordinates
from stream_app.web.history.raw_reader import MAX_PAYLOAD_BYTES, NotKeptError, RawReader
from tests.support.mock_kafka import MockKafka
from tests.support.rest_process import add_registry, raw_record

TOPIC = "funding.raw.kucoin"


def at(offset: int, item: int = 0, **changes: Any) -> RawCoordinates:
    """Coordinates within the topic."""
    place: Any = {"raw_topic": TOPIC, "raw_partition": 0, "raw_offset": offset, "raw_item": item}
    found: RawCoordinates = place | changes
    return found


@pytest_asyncio.fixture
async def reader() -> AsyncIterator[RawReader]:
    """A reader of a log with three records: two that are read, and one that is none."""
    app = web.Application()
    add_registry(app)
    kafka = MockKafka()
    long = b"x" * (MAX_PAYLOAD_BYTES + 1)
    kafka.produce(
        TOPIC,
        [raw_record("kucoin", b'{"r":1}', b"\xff\x00", long), raw_record("kucoin", b"2"), b"?"],
    )
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        yield RawReader(SharedSettings(kafka_bootstrap=kafka.bootstrap, registry_url=url))


async def test_an_item_is_found_by_its_coordinates(reader: RawReader) -> None:
    """As it came, with how it came."""
    item = await reader.read(at(0))
    assert (item.payload, item.bytes, item.truncated) == ('{"r":1}', 7, False)
    assert (item.transport, item.purpose, item.channel) == ("ws", "stream", "!markPrice@arr@1s")
    assert (await reader.read(at(1))).payload == "2"


async def test_bytes_are_told_as_text(reader: RawReader) -> None:
    """What is no UTF-8 is replaced, and what is too long is cut."""
    assert (await reader.read(at(0, 1))).payload == "\ufffd\x00"
    long = await reader.read(at(0, 2))
    assert (len(long.payload), long.bytes, long.truncated) == (
        MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES + 1, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "place",
    [at(9), at(0, 3), at(0, -1), at(0, raw_topic="funding.audit"), at(0, raw_topic="x")],
)
async def test_what_is_not_there_is_said_so(reader: RawReader, place: RawCoordinates) -> None:
    """An offset beyond the end, an item that the record lacks; other topics are not read at all."""
    with pytest.raises(NotKeptError):
        await reader.read(place)


async def test_a_record_that_is_none_is_malformed(reader: RawReader) -> None:
    """It is no reason to fail otherwise."""
    with pytest.raises(MalformedInputError):
        await reader.read(at(2))


async def test_without_a_broker_there_is_an_answer_in_time() -> None:
    """Which says what is missing."""
    reader = RawReader(SharedSettings(kafka_bootstrap=f"127.0.0.1:{free_port()}"))
    with pytest.raises(UnavailableError, match="gave no record within 3 s"):
        await reader.read(at(0))
