"""One WebSocket through the library: opened, read, written and closed, with one kind of error.

Whatever the other side sends, and whatever the library raises over it (its assertions included),
is a `TransportError`: it costs this connection. What our own code raises about a message passes
through no line of this file, so that it keeps its own meaning.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from functools import cache

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidURI,
    WebSocketException,
)
from websockets.protocol import State

from schemas.errors import UnavailableError
from schemas.text import one_line

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
MAX_FRAME_BYTES = 4 << 20
"""Of a message, inflated: more than twenty times the largest that an exchange sends."""
FRAMES_QUEUED = 16
"""Beyond this the library stops reading from the socket, so TCP slows the exchange down."""
MAX_UNSENT_BYTES = 1 << 20
"""Whoever asks for more answers (pongs) than this and reads none of them is cut off."""

_WIRE_LOG = logging.getLogger(f"{__name__}.library")
_WIRE_LOG.setLevel(logging.INFO)  # at DEBUG the library would log the token in a URL


class TransportError(UnavailableError):
    """A connection could not be opened, or is of no more use; the message is the reason."""

    def __init__(self, reason: str, *, farewell: bool = False) -> None:
        """`farewell`: one of the two sides has sent a close frame."""
        super().__init__(reason)
        self.farewell = farewell


class Transport:
    """An open connection. Its only errors are WireError, and the cancellation of its caller."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def recv(self, timeout_s: float) -> bytes | None:
        """Return the next message as it came; None: there was none for so long.

        Raises:
            WireError: there will be none any more.
        """
        try:
            # Not wait_for: Python 3.11's loses a cancellation that meets an arriving frame.
            async with asyncio.timeout(timeout_s) as limit:
                return await self._socket.recv(decode=False)
        except (Exception, asyncio.CancelledError) as error:
            # While it closes, the library waits for the other side: it is not asked again, as the
            # rest of a refused message may lie in its queue.
            timed_out = isinstance(error, TimeoutError) and limit.expired()
            if timed_out and self._socket.state is State.OPEN:
                return None
            raise self._lost(error) from error

    async def send(self, text: str) -> None:
        """Send a message; waits while the other side reads nothing.

        Raises:
            WireError: it cannot be sent.
        """
        try:
            await self._socket.send(text)
        except (Exception, asyncio.CancelledError) as error:
            raise self._lost(error) from error

    async def close(self) -> None:
        """Say farewell and close; an other side that does not answer is cut off."""
        try:
            # Of our own: the library's waits first until what was to be sent is sent.
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it is over anyway
            _raise_if_ours(error)
        finally:
            self._socket.transport.abort()

    def _lost(self, error: BaseException) -> TransportError:
        """Return why the connection is of no more use. Raises the error if we were cancelled."""
        _raise_if_ours(error)
        protocol = self._socket.protocol
        sent, received = protocol.close_sent, protocol.close_rcvd
        if isinstance(error, TimeoutError):
            error = ConnectionClosedError(received, sent, protocol.close_rcvd_then_sent)
        if isinstance(error, ConnectionClosed):
            reason = f"closed by the exchange: {error}"
        else:
            reason = f"closed after an error of the library: {type(error).__name__}: {error}"
        return TransportError(one_line(reason), farewell=bool(sent or received))


@contextlib.asynccontextmanager
async def opened(url: str, tls: ssl.SSLContext | None) -> AsyncIterator[Transport]:
    """Connect; the connection is closed behind the block. `tls` is for wss.

    Raises:
        WireError: no connection; its text holds no URL, since that may hold a token.
    """
    secure = url.lower().startswith("wss:")
    try:
        socket = await _Connect(
            url,
            ssl=(tls or verifying()) if secure else None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,
            max_size=MAX_FRAME_BYTES,
            max_queue=FRAMES_QUEUED,
            user_agent_header="fundingstream",
            logger=_WIRE_LOG,
            create_connection=_Client,
        )
    except (Exception, asyncio.CancelledError) as error:
        _raise_if_ours(error)
        raise TransportError(_refusal(error)) from error
    wire = Transport(socket)
    try:
        yield wire
    finally:
        await wire.close()


class _Client(ClientConnection):
    """Bounds what waits to be sent: the library answers each ping, read or not."""

    def data_received(self, data: bytes) -> None:
        """Take what came, and cut off who does not read."""
        super().data_received(data)
        if self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.transport.abort()


class _Connect(connect):
    """Follows no redirect: an exchange has none, and a token must not go elsewhere."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Take every redirect for the refusal that it is."""
        return exc


@cache
def verifying() -> ssl.SSLContext:
    """Return the context of all sockets: reading the authorities takes time, so it is done once."""
    return ssl.create_default_context()


def _raise_if_ours(error: BaseException) -> None:
    """Raise a cancellation that is meant for us; the library knows others."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error


def _refusal(error: BaseException) -> str:
    """Say why there is no connection.

    The text of an invalid address may hold all of it: a port, a host name, the target of a
    redirect. So may that of an error that nobody expects.
    """
    name = type(error).__name__
    addressed = isinstance(error, ValueError | InvalidURI)
    known = isinstance(error, OSError | EOFError | ImportError | WebSocketException)
    return one_line(
        f"no connection: {name}: {error}" if known and not addressed else (f"no connection: {name}")
    )
