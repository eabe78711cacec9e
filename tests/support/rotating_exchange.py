"""A server that stands for an exchange while sockets are rotated, driven by the test."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from producers.policy.rotation import RotationConfig
from producers.websocket.config import ConnectionConfig
from tests.support.waiting import until_changed
from tests.unit.producers.websocket.test_connection import Recorder
from tests.unit.producers.websocket.test_connection import connected as connected_with

AGE_S = 0.3
"""The age at which connections are replaced here, their successors as well."""


def soon(**rotation: float) -> ConnectionConfig:
    """A configuration that ends an old connection soon after the hand-over."""
    return ConnectionConfig(check_s=0.01, rotation=RotationConfig(**{"drain_s": 0.02, **rotation}))


connected = functools.partial(connected_with, config=soon())


class Exchange:
    """A server whose sockets say what the test has them say."""

    def __init__(self) -> None:
        self.sockets: list[ServerConnection] = []
        self.refuses = False
        self.refused = 0
        self.changed = asyncio.Event()

    async def handle(self, socket: ServerConnection) -> None:
        """Remember a socket."""
        self.sockets.append(socket)
        self.changed.set()
        await socket.wait_closed()

    def answer(self, socket: ServerConnection, _request: Request) -> Response | None:
        """Refuse handshakes while asked to."""
        self.changed.set()
        if not self.refuses:
            return None
        self.refused += 1
        return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a socket, or an attempt, that makes the condition true."""
        await until_changed(self.changed, condition)

    async def say(self, number: int, text: str) -> None:
        """Send on the n-th socket, once it is there."""
        await self.until(lambda: len(self.sockets) > number)
        await self.sockets[number].send(text)

    async def tell_all(self, text: str) -> None:
        """Send on every socket that is open."""
        for socket in self.sockets:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(text)


@asynccontextmanager
async def exchange() -> AsyncIterator[tuple[Exchange, str]]:
    """An exchange on loopback and its URL."""
    made = Exchange()
    async with serve(made.handle, "127.0.0.1", 0, process_request=made.answer) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        yield made, f"ws://127.0.0.1:{port}/"


def outcome(recorder: Recorder, text: bytes) -> Callable[[], bool]:
    """Whether a message has arrived."""
    return lambda: text in [message for _, message in recorder.frames]
