"""Readiness checks: coroutines that ask a server once whether it can serve.

Each function returns a check for the supervisor, which decides how often and how long to ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

ReadyCheck = Callable[[], Awaitable[bool]]

_ATTEMPT_TIMEOUT_S = 2.0
_MAX_REPLY_BYTES = 1 << 20
# A Kafka Metadata request, version 1, for no topics: api key 3, version 1, correlation id 1, no
# client id, an empty topic array. The reply lists the brokers that serve (a starting one is not
# yet listed, though its port is already open).
_METADATA_REQUEST = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)


def tcp_ready(host: str, port: int) -> ReadyCheck:
    """Return a check that succeeds once the port accepts a connection."""

    async def check() -> bool:
        try:
            async with asyncio.timeout(_ATTEMPT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            return False
        await _close(writer)
        return True

    return check


def http_ready(url: str) -> ReadyCheck:
    """Return a check that succeeds once a GET of `url` (plain HTTP) answers with a 2xx status."""
    parts = urlsplit(url)
    assert parts.scheme == "http", f"{url} is not an http URL"
    assert parts.hostname is not None, f"{url} names no host"
    host, port = parts.hostname, parts.port or 80
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # Written by hand, because aiohttp takes long to import.
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()

    async def check() -> bool:
        try:
            async with asyncio.timeout(_ATTEMPT_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(request)
                    status = await reader.readline()
                finally:
                    await _close(writer)
        except (OSError, ValueError, TimeoutError):
            return False
        fields = status.split()
        return len(fields) >= 2 and fields[0].startswith(b"HTTP/") and fields[1][:1] == b"2"

    return check


def kafka_ready(host: str, port: int) -> ReadyCheck:
    """Return a check that succeeds once the broker lists itself in its metadata."""

    async def check() -> bool:
        try:
            async with asyncio.timeout(_ATTEMPT_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(struct.pack(">i", len(_METADATA_REQUEST)) + _METADATA_REQUEST)
                    (size,) = struct.unpack(">i", await reader.readexactly(4))
                    if not 8 <= size <= _MAX_REPLY_BYTES:
                        return False
                    reply = await reader.readexactly(size)
                finally:
                    await _close(writer)
        except (OSError, EOFError, TimeoutError):
            return False
        correlation, brokers = struct.unpack_from(">ii", reply)
        return bool(correlation == 1 and brokers >= 1)

    return check


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
