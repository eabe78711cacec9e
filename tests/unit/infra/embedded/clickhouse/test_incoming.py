"""What a ClickHouse request may bring along, what its headers hold, and how it is ended."""

from __future__ import annotations

import asyncio
import threading
from typing import cast
from unittest import mock

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from infra.embedded.clickhouse import incoming, statements
from infra.embedded.clickhouse.answers import Answer, header_text, result_headers
from infra.embedded.clickhouse.engine import Engine, Handle
from infra.embedded.clickhouse.errors import ClickHouseError
from infra.embedded.clickhouse.incoming import external_table, read_request
from infra.embedded.clickhouse.lanes import Lane
from infra.embedded.clickhouse.roles import Role
from infra.embedded.clickhouse.statements import Statement, StatementLimits


def multipart(*parts: tuple[str, bytes]) -> web.Request:
    """A request of these parts, of which `a` and `b` are external tables."""
    pieces = [
        b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), data)
        for name, data in parts
    ]
    protocol = mock.Mock(spec=BaseProtocol, _reading_paused=False)
    payload = StreamReader(protocol, 1 << 16, loop=asyncio.get_running_loop())
    payload.feed_data(b"".join(pieces) + b"--x--\r\n")
    payload.feed_eof()
    return make_mocked_request(
        "POST",
        "/?query=SELECT+1&a_structure=x+String&b_structure=x+String",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        payload=payload,
    )


async def test_a_multipart_request_is_bounded_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts together, and how many they are, whatever they are."""
    monkeypatch.setattr(incoming, "_MAX_MULTIPART_BYTES", 10)
    monkeypatch.setattr(incoming, "_MAX_PARTS", 3)
    read = await read_request(multipart(("a", b"12345"), ("b", b"12345"), ("param_p", b"")))
    assert [table.data for table in read.external] == [b"12345", b"12345"]
    with pytest.raises(ClickHouseError, match="exceed 10 bytes"):
        await read_request(multipart(("a", b"12345"), ("b", b"123456")))
    with pytest.raises(ClickHouseError, match="exceed 10 bytes"):
        await read_request(multipart(("a", b"12345"), ("param_p", b"123456")))
    with pytest.raises(ClickHouseError, match="more than 3 parts"):
        await read_request(multipart(*(("param_p", b""),) * 4))


def test_an_external_table_is_described_by_plain_words() -> None:
    """Its structure and format become part of statements."""
    assert external_table("a", {"a_structure": "x Int8"}, b"").format == "TabSeparated"
    for query in (
        {"a_structure": "x Int8) ENGINE = Memory AS SELECT 1 -- "},
        {"a_structure": "x Int8", "a_format": "TSV SETTINGS max_memory_usage=0"},
        {"a_structure": "x Int8", "a_format": ""},
    ):
        with pytest.raises(ClickHouseError) as caught:
            external_table("a", query, b"")
        assert caught.value.status == 400


def test_headers_hold_printable_text_only() -> None:
    """Of a text of the caller's, and not more of it than a header should have."""
    assert header_text("a\0b\r\nc\td\x7f\u00e9 e") == "abcd e"
    assert header_text("\0") == ""
    assert header_text("x" * 10_000) == "x" * 200
    assert result_headers("TSV\0")["X-ClickHouse-Format"] == "TSV"


async def test_a_stop_that_fails_is_asked_again() -> None:
    """The slot stays taken until the thread has ended: the caller does not leave before."""
    lane = Lane("test", 1, 1)
    begun, asked, ended = threading.Event(), 0, threading.Event()

    def call() -> None:
        begun.set()
        ended.wait(20)

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ClickHouseError(241, "No memory for KILL QUERY.", "MEMORY_LIMIT_EXCEEDED")
        ended.set()

    task = asyncio.create_task(lane.run_stoppable(stop, call))
    await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (asked, ended.is_set()) == (2, True)
    lane.close()


async def test_loading_an_external_table_is_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its mark, as the statement itself would be."""
    monkeypatch.setattr(statements, "_GRACE_S", 0.0)
    stopped = threading.Event()
    handle, engine = mock.Mock(spec=Handle), mock.Mock(spec=Engine)
    handle.load_external.side_effect = lambda *_: stopped.wait(5)
    engine.open.return_value = handle
    engine.cancel.side_effect = lambda _: stopped.set()
    request = multipart(("a", b"1"))
    lane = Lane("test", 1, 1)
    statement = Statement(
        engine,
        lane,
        Role.READER,
        StatementLimits({}, {}, None, 0.2),
        request,
        await read_request(request),
    )
    with pytest.raises(ClickHouseError) as caught:
        await statement.execute(None, cast("Answer", mock.Mock(spec=Answer)))
    assert caught.value.code == 159
    assert stopped.is_set()
    engine.cancel.assert_called_with(handle.become.call_args.args[1])
    handle.query.assert_not_called()
    handle.close.assert_called_once()
    lane.close()
