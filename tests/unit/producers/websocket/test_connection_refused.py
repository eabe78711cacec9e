"""A wrong address or a wrong reply to the handshake is a failed attempt and never ends a feed."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from websockets.asyncio.server import ServerConnection

from producers.websocket.config import ConnectionConfig
from producers.websocket.connection import ConnectionCallbacks, ManagedConnection
from producers.websocket.session import FrameOutcome
from schemas.clock import SystemClock
from schemas.errors import UnavailableError
from tests.unit.producers.websocket.test_connection import (
    Recorder,
    connected,
    kind_of,
    no_delay,
    server,
)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x16\x03\x01junk",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: ftp://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ws://h:99999/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[bad/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ws://%b.com/\r\n\r\n" % (b"a" * 70),
        b"\x00" * 70_000,
        b"HTTP/1.1 200 " + b"O" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 70_000,
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (2 << 20),
        b"HTTP/1.1 99999 \xff\xfe\r\n\r\n",
        b"HTTP/9.9 101 Switching Protocols\r\n\r\n",
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: \xff\r\nSec-WebSocket-Accept: a\r\n\r\n"
        ),
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: ,,,\r\nConnection: \x80\r\n\r\n",
    ],
    ids=lambda reply: repr(reply[:40]),
)
async def test_no_refused_handshake_ends_it(reply: bytes) -> None:
    """Whatever answers instead of the exchange, another attempt follows."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        attempts.append(1)
        outcome.set()
        writer.write(reply)
        writer.close()

    attempts: list[int] = []
    outcome = asyncio.Event()
    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, connected(f"ws://127.0.0.1:{port}/") as (connection, recorder):
        async with asyncio.timeout(10):
            while len(attempts) < 3:
                outcome.clear()
                await outcome.wait()
        assert connection.connects == 0
        assert connection.open == 0
        assert connection.attempts >= 3
    assert recorder.closed == []


@pytest.mark.parametrize("endless", [b"", b"HTTP/1.1 200 OK\r\nA: b", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_an_endless_answer_is_cut_off(endless: bytes) -> None:
    """No answer, a header and a body without an end: other attempts follow."""
    config = ConnectionConfig(open_timeout_s=0.3)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            attempts.append(1)
            outcome.set()
            writer.write(endless)
            while endless:
                writer.write(b"x" * 999)
                await writer.drain()
            await reader.read()
        writer.close()

    attempts: list[int] = []
    outcome = asyncio.Event()
    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, connected(f"ws://127.0.0.1:{port}/", config=config) as (connection, _):
        async with asyncio.timeout(10):
            while len(attempts) < 3:
                outcome.clear()
                await outcome.wait()
        assert connection.connects == 0


@pytest.mark.parametrize(
    "url",
    [
        "wss://127.0.0.1:99999/?token=SECRET",
        "ws://127.0.0.1:port/?token=SECRET",
        "wss://" + "a" * 70 + ".invalid/?token=SECRET",
        "wss://a..b/?token=SECRET",
        "wss://[::1/?token=SECRET",
    ],
)
async def test_no_address_ends_it(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A ticket may name anything: that is a failed attempt, and its token is in no log."""

    async def exchange(socket: ServerConnection) -> None:
        await socket.send("data")
        await socket.wait_closed()

    backoff = no_delay()
    async with server(exchange) as good, connected(f"{url} {good}", backoff=backoff) as (_, there):
        await there.until(lambda: len(there.frames) == 1)
    assert backoff.failures == 1
    assert not any("SECRET" in record.getMessage() for record in caplog.records)


async def test_no_redirect_is_followed() -> None:
    """Not even to the same host: a token must not go elsewhere."""
    asked: list[bytes] = []
    outcome = asyncio.Event()

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        outcome.set()
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, connected(f"ws://127.0.0.1:{port}/first"):
        async with asyncio.timeout(10):
            while len(asked) < 3:
                outcome.clear()
                await outcome.wait()
    assert set(asked) == {b"GET /first HTTP/1.1"}


async def test_an_error_of_ours_ends_it() -> None:
    """Kafka refuses a record for good: another connection would not help."""

    async def exchange(socket: ServerConnection) -> None:
        await socket.send("data")
        await socket.wait_closed()

    async def refuse(_identity: str, _message: bytes, _received_at: int) -> FrameOutcome:
        raise UnavailableError("a record was refused")

    async with server(exchange) as url:

        async def address(_attempt: int) -> str:
            return url

        recorder = Recorder()
        callbacks = ConnectionCallbacks(refuse, recorder.on_close)
        connection = ManagedConnection(
            "test", "mark", kind_of(), address, callbacks, SystemClock(), no_delay()
        )
        with pytest.raises(UnavailableError, match="was refused"):
            async with asyncio.timeout(10):
                await connection.run()
