"""How many may be connected, and how long a connection may say nothing, before a request is read.

The server's library begins to count time with the first request. A connection that brings none
would stay for ever, and each takes a descriptor of the process, which a worker needs for Kafka.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from schemas.http.browser_guard import is_loopback
from stream_app.web.server.limits import Load

HEAD_WITHIN_S = 10.0
"""The head of a connection's first request must have come by then."""
MAX_HEAD_BYTES = 1 << 16
FOR_LOOPBACK = 20
_END_OF_HEAD = b"\r\n\r\n"


class Door(asyncio.Protocol):
    """Holds one new connection until the head of its first request is there."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._head = b""
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or close it at once where too many are connected."""
        self._transport = transport
        if not self._doors.has_room(transport.get_extra_info("peername")):
            self._doors.load.connections_refused += 1
            self._transport.abort()
            return
        self._doors.waiting.add(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HEAD_WITHIN_S, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Hand the connection over to the server once the head is whole."""
        self._head += data
        if _END_OF_HEAD in self._head:
            self._leave()
            protocol = self._doors.make()
            self._transport.set_protocol(protocol)
            protocol.connection_made(self._transport)
            protocol.data_received(self._head)
        elif len(self._head) > MAX_HEAD_BYTES:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        del exc
        self._leave()

    def _leave(self) -> None:
        self._doors.waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()


class Doors:
    """All new connections of one server. It is a factory of protocols, as event loops want one."""

    def __init__(self, server: web.Server, most: int, load: Load) -> None:
        """Set the bounds.

        Args:
            server: Serves those that are let in.
            most: So many may be connected, those that have asked nothing yet included.
            load: Counts those that are not.
        """
        self._server = server
        self._most = most
        self.load = load
        self.make: Callable[[], Any] = server
        self.waiting: set[Door] = set()

    def __call__(self) -> Door:
        """Return the protocol of a new connection."""
        return Door(self)

    def has_room(self, peer: Any) -> bool:
        """Tell whether one more may be connected: supervisors on this machine always find room."""
        most = self._most + (FOR_LOOPBACK if peer and is_loopback(str(peer[0])) else 0)
        return len(self.waiting) + len(self._server.connections) < most

    def close(self) -> None:
        """End the connections that have asked nothing yet."""
        for door in list(self.waiting):
            door.connection_lost(None)
