"""A WebSocket server by hand (RFC 6455), for what a library would never send."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What the server does with a connection whose handshake is done."""


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes = b"",
    length: int | None = None,
) -> bytes:
    """One frame, proper or not: `length` is what its header claims."""
    claimed = len(payload) if length is None else length
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    masked = 0x80 if mask else 0
    if claimed < 126:
        head = struct.pack("!BB", first, masked | claimed)
    elif claimed < 1 << 16:
        head = struct.pack("!BBH", first, masked | 126, claimed)
    else:
        head = struct.pack("!BBQ", first, masked | 127, claimed)
    return head + mask + payload


async def shake_hands(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, more: bytes = b""
) -> None:
    """Accept the client; `more` are further header lines."""
    request = await reader.readuntil(b"\r\n\r\n")
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n" + more + b"\r\n"
    )


def reset(writer: asyncio.StreamWriter) -> None:
    """End the TCP connection with a RST."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def playing(play: Play, more: bytes = b"") -> AsyncIterator[str]:
    """Run a server that accepts every handshake and then plays the given script; yield its URL."""
    players: set[asyncio.Task[None]] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await shake_hands(reader, writer, more)
            await play(reader, writer)

    def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        player = asyncio.create_task(meet(reader, writer))
        players.add(player)
        player.add_done_callback(lambda _: writer.transport.abort())

    listening = await asyncio.start_server(met, "127.0.0.1", 0)
    try:
        port = listening.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/"
    finally:
        listening.close()
        for player in players:
            player.cancel()
        await asyncio.gather(*players, return_exceptions=True)
