"""Whatever an exchange sends costs one connection: another attempt follows, with a reason."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import zlib
from typing import Any, NoReturn, cast

import pytest
from websockets.protocol import State

from producers.websocket.config import ConnectionConfig
from producers.websocket.transport import Transport, TransportError
from tests.support.hostile_socket import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Play,
    frame,
    playing,
    reset,
)
from tests.unit.producers.websocket.test_connection import connected as connected_with

DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
HOUR_S = 3_600.0


SOON = ConnectionConfig(check_s=0.05, close_timeout_s=0.2)
"""The servers here answer no close frame, so the tests do not wait long for it."""
connected = functools.partial(connected_with, config=SOON)


def _bomb(size: int) -> bytes:
    """A message of the wire that inflates to that many noughts."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(size)) + packer.flush(zlib.Z_SYNC_FLUSH)
    return packed.removesuffix(b"\x00\x00\xff\xff")


def sends(*messages: bytes) -> Play:
    """Send, then hold the connection open without a word."""

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for message in messages:
            writer.write(message)
        await writer.drain()
        await asyncio.Event().wait()

    return play


FRAGMENTS = (frame(TEXT, b"d", fin=False), frame(CONT, b"d", fin=False) * 5_000)
EMPTY_FRAGMENTS = (frame(TEXT, fin=False), frame(CONT, fin=False) * 20_000)
RANDOM = random.Random(14).randbytes(4_096)

SENT = {
    "too many fragments": FRAGMENTS,
    "too many empty fragments": EMPTY_FRAGMENTS,
    "too many fragments with pings between": [
        frame(TEXT, b"d", fin=False),
        (frame(CONT, b"d", fin=False) + frame(PING, b"p")) * 5_000,
    ],
    "too many fragments and a last one": [*FRAGMENTS, frame(CONT, b"d"), frame(TEXT, b"data")],
    "reserved bits": [frame(TEXT, b"data", reserved=0b111)],
    "deflated without an agreement": [frame(TEXT, b"data", reserved=0b100)],
    "a masked frame": [frame(TEXT, b"data", mask=b"abcd")],
    "an unexpected continuation": [frame(CONT, b"data")],
    "a message within a message": [frame(TEXT, b"a", fin=False), frame(TEXT, b"b")],
    "an unknown opcode": [frame(0x3, b"data")],
    "an unknown control frame": [frame(0xB, b"data")],
    "a message that is too long": [frame(BINARY, length=1 << 40)],
    "a length with its highest bit": [frame(BINARY, length=(1 << 64) - 1)],
    "a long message in parts": [
        frame(TEXT, bytes(1 << 20), fin=False),
        frame(CONT, bytes(1 << 20), fin=False) * 17,
    ],
    "a control frame that is too long": [frame(PING, b"x" * 126)],
    "a control frame in parts": [frame(PING, b"x", fin=False)],
    "a close without a code": [frame(CLOSE)],
    "a close with half a code": [frame(CLOSE, b"\x03")],
    "a close with code 0": [frame(CLOSE, b"\x00\x00")],
    "a close with code 1005": [frame(CLOSE, b"\x03\xed")],
    "a close with code 65535": [frame(CLOSE, b"\xff\xff")],
    "a close whose reason is no text": [frame(CLOSE, b"\x03\xe8\xff\xfe")],
    "a close, and data behind it": [frame(CLOSE, b"\x03\xe8"), frame(TEXT, b"data") * 99],
    "noise": [RANDOM],
    "noise behind a frame": [frame(TEXT, b"ack"), RANDOM],
}


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT.keys())
async def test_what_breaks_the_protocol_costs_one_connection(sent: list[bytes]) -> None:
    """At once, long before the socket would be silent."""
    async with playing(sends(*sent)) as url, connected(url, HOUR_S) as (connection, recorder):
        await recorder.until(lambda: connection.connects >= 2)
    assert recorder.reasons[0].startswith("closed by the exchange: ")
    assert {message for _, message in recorder.frames} <= {b"ack"}


@pytest.mark.parametrize(
    "packed",
    [1 << 26, 17 << 20, b"\xff" * 99, RANDOM, b"\x00"],
    ids=["64 MiB", "17 MiB", "no block", "noise", "cut off"],
)
async def test_a_bomb_costs_one_connection(packed: int | bytes) -> None:
    """What a compressed message inflates to counts, and what does not inflate is none."""
    data = _bomb(packed) if isinstance(packed, int) else packed
    sent = frame(BINARY, data, reserved=0b100)
    async with (
        playing(sends(sent), DEFLATE) as url,
        connected(url, 0.5) as (connection, recorder),
    ):
        await recorder.until(lambda: connection.connects >= 2)
    assert all(message == b"" for _, message in recorder.frames)


async def test_text_that_is_none_is_handed_over_as_it_came() -> None:
    """A text frame that is not UTF-8 is handed over as bytes, and the socket stays open."""
    bad = b"\xff\xfe\xed\xa0\x80"
    sent = [frame(TEXT, bad), frame(TEXT, b"data")]
    async with playing(sends(*sent)) as url, connected(url) as (connection, recorder):
        await recorder.until(lambda: len(recorder.frames) == 2)
        assert connection.connects == 1
    assert [message for _, message in recorder.frames] == [bad, b"data"]


async def test_a_message_that_trickles_for_ever_is_silence() -> None:
    """A part of a message is no data: pings and fragments keep no socket alive."""

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(TEXT, b"d", fin=False))
        while True:
            writer.write(frame(CONT, b"d", fin=False) + frame(PONG) + frame(PING, b"p"))
            await writer.drain()
            await asyncio.sleep(0.01)

    async with playing(play) as url, connected(url, silent_s=0.3) as (connection, recorder):
        await recorder.until(lambda: connection.connects >= 2)
    assert recorder.reasons[0] == "no data for 0.3 s"


@pytest.mark.parametrize("begun", [b"", frame(TEXT, b"da", length=99)], ids=["", "in a frame"])
async def test_a_reset_costs_one_connection(begun: bytes) -> None:
    """Between frames and within one."""

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(TEXT, b"data") + begun)
        await writer.drain()
        reset(writer)

    async with playing(play) as url, connected(url, HOUR_S) as (connection, recorder):
        await recorder.until(lambda: connection.connects >= 2)


async def test_a_half_closed_connection_is_closed() -> None:
    """Nothing can come any more, though TCP would let us write."""

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(TEXT, b"da", length=99))
        writer.write_eof()
        await asyncio.Event().wait()

    async with playing(play) as url, connected(url, HOUR_S) as (connection, recorder):
        await recorder.until(lambda: connection.connects >= 2)


async def test_nobody_waits_for_a_farewell_that_never_comes() -> None:
    """The exchange neither answers our close nor reads: the connection is cut."""

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(frame(PING, b"x" * 125) * 100)
            await writer.drain()

    async with playing(play) as url, connected(url, silent_s=0.5) as (connection, recorder):
        await recorder.until(lambda: connection.connects >= 2)
    assert connection.open <= 1


async def test_a_long_reason_is_told_in_short() -> None:
    """The exchange writes a part of it."""

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(CLOSE, b"\x03\xe8" + b"a\nb" * 41))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        await asyncio.Event().wait()

    async with playing(play) as url, connected(url, HOUR_S) as (_, recorder):
        await recorder.until(lambda: bool(recorder.reasons))
    assert "\n" not in recorder.reasons[0]
    assert len(recorder.reasons[0]) <= 250


class FailingSocket:
    """What the library may do where it is at fault itself."""

    def __init__(self, error: BaseException) -> None:
        self._error = error
        self.state = State.OPEN
        self.protocol = self
        self.close_sent = self.close_rcvd = self.close_rcvd_then_sent = None
        self.transport = self
        self.aborted = False

    async def _fail(self, *_: object, **_more: object) -> NoReturn:
        await asyncio.sleep(0)
        raise self._error

    recv = send = close = _fail

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("cannot call get() concurrently"),
        RuntimeError("no running"),
        asyncio.CancelledError(),
        TimeoutError("its own"),
        EOFError(),
        RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_the_library_raises_costs_one_connection(error: BaseException) -> None:
    """A cancellation that nobody asked for and its own time-outs as well."""
    socket = FailingSocket(error)
    broken = Transport(cast("Any", socket), 1.0)
    with pytest.raises(TransportError, match="closed"):
        await broken.recv(10.0)
    with pytest.raises(TransportError, match="closed"):
        await broken.send("x")
    await broken.close()
    assert socket.aborted


async def test_our_own_cancellation_is_none_of_the_librarys() -> None:
    """A feed that is stopped stops."""

    class Waiting(FailingSocket):
        async def _wait(self, *_: object, **_more: object) -> NoReturn:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        recv = _wait

    begun = asyncio.Event()
    reading = asyncio.create_task(Transport(cast("Any", Waiting(KeyError())), 1.0).recv(60.0))
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
