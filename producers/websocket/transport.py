"""One WebSocket of the `websockets` library: opened, read, written and closed.

Whatever the other side sends, and whatever the library raises about it (its assertions included),
becomes a `TransportError` and costs this connection only. Errors of our own code, for example about
the contents of a message, do not pass through this file and keep their type.
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

from producers.websocket.config import DEFAULT_CONFIG, ConnectionConfig
from schemas.errors import UnavailableError
from schemas.text import one_line

MAX_FRAME_BYTES = 4 << 20
"""The longest message, inflated: more than twenty times the largest that an exchange sends."""
FRAMES_QUEUED = 16
"""With more frames than this waiting, the library stops reading from the socket, so that TCP slows
the exchange down."""
MAX_UNSENT_BYTES = 1 << 20
"""The connection is cut when more than this waits to be sent: the library answers every ping, also
those of an exchange that does not read the answers."""

_WIRE_LOG = logging.getLogger(f"{__name__}.library")
_WIRE_LOG.setLevel(logging.INFO)  # at DEBUG the library would log the token in a URL


class TransportError(UnavailableError):
    """A connection could not be opened, or cannot be used any more; the message says why."""

    def __init__(self, reason: str, *, farewell: bool = False) -> None:
        """`farewell`: the close frame of at least one side was sent."""
        super().__init__(reason)
        self.farewell = farewell


class Transport:
    """An open connection. It raises TransportError and, when its caller is cancelled, that."""

    def __init__(self, socket: ClientConnection, close_timeout_s: float) -> None:
        """After `close_timeout_s` without an answer to our close frame, TCP is cut."""
        self._socket = socket
        self._close_timeout_s = close_timeout_s

    async def recv(self, timeout_s: float) -> bytes | None:
        """Return the next message as it came; None: there was none within `timeout_s`.

        Raises:
            TransportError: no further message will come.
        """
        try:
            # Not wait_for: Python 3.11's loses a cancellation that meets an arriving frame.
            async with asyncio.timeout(timeout_s) as limit:
                return await self._socket.recv(decode=False)
        except (Exception, asyncio.CancelledError) as error:
            # While the library closes the connection it waits for the other side. It must not be
            # read again then, as the rest of a refused message may still lie in its queue.
            timed_out = isinstance(error, TimeoutError) and limit.expired()
            if timed_out and self._socket.state is State.OPEN:
                return None
            raise self._lost(error) from error

    async def send(self, text: str) -> None:
        """Send a text message; waits while the other side reads nothing.

        Raises:
            TransportError: the message cannot be sent.
        """
        try:
            await self._socket.send(text)
        except (Exception, asyncio.CancelledError) as error:
            raise self._lost(error) from error

    async def close(self) -> None:
        """Send a close frame and wait for the answer, then cut the TCP connection."""
        try:
            # The library's own time-out begins only after everything before it was sent.
            async with asyncio.timeout(self._close_timeout_s):
                await self._socket.close()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it is over anyway
            _raise_if_ours(error)
        finally:
            self._socket.transport.abort()

    def _lost(self, error: BaseException) -> TransportError:
        """Return why the connection cannot be used. Raises the error if we were cancelled."""
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
async def opened(
    url: str, tls: ssl.SSLContext | None, config: ConnectionConfig = DEFAULT_CONFIG
) -> AsyncIterator[Transport]:
    """Connect; the connection is closed at the end of the block.

    `tls` is used for wss URLs; None: the system's certificate authorities are trusted.

    Raises:
        TransportError: no connection; its text does not hold the URL, which may hold a token.
    """
    secure = url.lower().startswith("wss:")
    try:
        socket = await _Connect(
            url,
            ssl=(tls or verifying()) if secure else None,
            open_timeout=config.open_timeout_s,
            close_timeout=config.close_timeout_s,
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
    transport = Transport(socket, config.close_timeout_s)
    try:
        yield transport
    finally:
        await transport.close()


class _Client(ClientConnection):
    """A connection with a bound on what waits to be sent."""

    def data_received(self, data: bytes) -> None:
        """Take received bytes; cut the connection if the other side does not read our answers."""
        super().data_received(data)
        if self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.transport.abort()


class _Connect(connect):
    """Follows no redirect: no exchange sends one, and a token must not reach another host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the error of a redirect, so that it counts as a refusal."""
        return exc


@cache
def verifying() -> ssl.SSLContext:
    """Return the TLS context of all sockets; reading the authorities takes long, so it is kept."""
    return ssl.create_default_context()


def _raise_if_ours(error: BaseException) -> None:
    """Raise a cancellation of the current task; the library also raises some of its own."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error


def _refusal(error: BaseException) -> str:
    """Return a sentence about why there is no connection, without the URL or parts of it.

    The text of an error about an invalid address may hold all of the address (a port, a host name,
    the target of a redirect), and so may that of an unexpected error: only the type is named then.
    """
    name = type(error).__name__
    addressed = isinstance(error, ValueError | InvalidURI)
    known = isinstance(error, OSError | EOFError | ImportError | WebSocketException)
    return one_line(
        f"no connection: {name}: {error}" if known and not addressed else f"no connection: {name}"
    )
