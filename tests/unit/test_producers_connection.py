"""The managed socket: it comes back after every end, and silence is an end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from producers.backoff import Backoff
from producers.connection import ManagedConnection
from producers.exchanges.description import SocketPlan

Handler = Callable[[ServerConnection], Awaitable[None]]


class Recorder:
    """What a connection reports, as the feed would hear it."""

    def __init__(self) -> None:
        self.opened: list[bool] = []
        self.reasons: list[str] = []
        self.frames: list[tuple[str, bytes]] = []
        self.changed = asyncio.Event()

    async def on_frame(self, identity: str, message: bytes, received_at: int) -> bool:
        assert received_at > 0
        self.frames.append((identity, message))
        self.changed.set()
        return message != b"ack"

    def on_open(self, reconnected: bool) -> None:  # noqa: FBT001 - the callback's form
        self.opened.append(reconnected)
        self.changed.set()

    def on_close(self, reason: str) -> None:
        self.reasons.append(reason)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a report that makes the condition true."""
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def connected(
    url: str, silent_s: float = 30.0, subscribe: tuple[str, ...] = (), max_age_s: float = 3_600.0
) -> AsyncIterator[tuple[ManagedConnection, Recorder]]:
    """A running connection whose backoff always comes up with 0 s."""
    recorder = Recorder()
    connection = ManagedConnection(
        "test",
        SocketPlan("mark", "/", subscribe),
        url,
        silent_s,
        max_age_s,
        recorder.on_frame,
        recorder.on_open,
        recorder.on_close,
    )
    connection._backoff = Backoff(lambda: 0.0)
    running = asyncio.create_task(connection.run())
    try:
        yield connection, recorder
    finally:
        assert not running.done(), "a managed connection never gives up"
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """A WebSocket server on loopback; yields its URL."""
    async with serve(handler, "127.0.0.1", 0) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/"


async def test_it_subscribes_and_hands_over_frames_byte_for_byte() -> None:
    """Text or binary, as they came, under one id per socket."""
    asked: list[str | bytes] = []

    async def exchange(socket: ServerConnection) -> None:
        asked.append(await socket.recv())
        await socket.send('{"s":"币"}')
        await socket.send(b"\x00\x01")
        await socket.wait_closed()

    async with server(exchange) as url, connected(url, subscribe=("SUB",)) as (_, recorder):
        await recorder.until(lambda: len(recorder.frames) == 2)
    assert asked == ["SUB"]
    assert [message for _, message in recorder.frames] == ['{"s":"币"}'.encode(), b"\x00\x01"]
    assert len({identity for identity, _ in recorder.frames}) == 1


async def test_it_reconnects_after_a_close_and_says_so() -> None:
    """The second opening is told as a reconnect, under a new id; the reason is the exchange's."""

    async def exchange(socket: ServerConnection) -> None:
        await socket.send("data")
        await socket.close(1001, "Going away")

    async with server(exchange) as url, connected(url) as (connection, recorder):
        await recorder.until(lambda: len(recorder.frames) >= 3)
        assert connection.connects >= 3
    assert recorder.opened[:3] == [False, True, True]
    assert "1001" in recorder.reasons[0]
    assert len({identity for identity, _ in recorder.frames[:3]}) == 3


async def test_acks_do_not_keep_a_silent_socket_alive() -> None:
    """Health is data: an open socket that only acks is closed and tried again."""

    async def exchange(socket: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            while True:
                await socket.send("ack")
                await asyncio.sleep(0.01)

    async with server(exchange) as url, connected(url, silent_s=0.1) as (_, recorder):
        await recorder.until(lambda: len(recorder.opened) > 1)
    assert recorder.reasons[0] == "no data for 0.1 s"
    assert recorder.frames


async def test_data_keeps_a_socket_open_beyond_the_silence_limit() -> None:
    """Each data frame begins the silence anew."""
    end = asyncio.Event()

    async def exchange(socket: ServerConnection) -> None:
        for _ in range(30):
            await socket.send("data")
            await asyncio.sleep(0.02)
        end.set()
        await socket.wait_closed()

    async with server(exchange) as url, connected(url, silent_s=0.5) as (_, recorder):
        async with asyncio.timeout(10):
            await end.wait()
        assert recorder.opened == [False]
        assert recorder.reasons == []


async def test_a_socket_is_replaced_before_the_age_limit() -> None:
    """Although it delivers."""

    async def exchange(socket: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            while True:
                await socket.send("data")
                await asyncio.sleep(0.01)

    async with server(exchange) as url, connected(url, max_age_s=0.1) as (_, recorder):
        await recorder.until(lambda: len(recorder.opened) > 1)
    assert recorder.reasons[0].startswith("planned rotation")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x16\x03\x01junk",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: ftp://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_no_refused_handshake_ends_it(reply: bytes) -> None:
    """Whatever answers instead of the exchange, another attempt follows."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        attempts.append(1)
        heard.set()
        writer.write(reply)
        writer.close()

    attempts: list[int] = []
    heard = asyncio.Event()
    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, connected(f"ws://127.0.0.1:{port}/") as (connection, recorder):
        async with asyncio.timeout(10):
            while len(attempts) < 3:
                heard.clear()
                await heard.wait()
        assert connection.connects == 0
        assert not connection.is_open
    assert recorder.opened == []
    assert recorder.reasons == []


async def test_failures_are_counted_towards_the_backoff() -> None:
    """Short-lived connections count as failures: a socket that opens and ends at once backs off."""

    async def exchange(socket: ServerConnection) -> None:
        await socket.send("data")

    async with server(exchange) as url, connected(url) as (connection, recorder):
        await recorder.until(lambda: len(recorder.reasons) >= 3)
        assert connection._backoff.failures >= 2
