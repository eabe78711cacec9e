"""Runs an aiohttp application in the foreground until SIGTERM or SIGINT, then closes it cleanly."""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web

from schemas.errors import UnavailableError
from schemas.http.server import quiet_malformed_requests

_KEEPALIVE_TIMEOUT_S = 30.0
_SHUTDOWN_TIMEOUT_S = 2.0
# Statements are sent in URLs. aiohttp accepts 8 kB by default, ClickHouse a megabyte.
_MAX_LINE_BYTES = 256 * 1024


async def serve_until_signal(
    app: web.Application,
    host: str,
    port: int,
    announcement: str,
    drain: Callable[[], Awaitable[None]] | None = None,
    *,
    cancel_when_left: bool = False,
) -> None:
    """Serve until a signal.

    Args:
        app: The application.
        host: The address to listen on.
        port: The port to listen on.
        announcement: The line that is printed once the server listens.
        drain: Runs at the signal, while requests still go on, and lets them end or ends them.
            Requests that still run a moment later are cancelled.
        cancel_when_left: Whether a request is cancelled when its client closes the connection.

    Raises:
        UnavailableError: the port is taken.
    """
    quiet_malformed_requests()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=_KEEPALIVE_TIMEOUT_S,
        shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
        handler_cancellation=cancel_when_left,
        max_line_size=_MAX_LINE_BYTES,
        max_field_size=_MAX_LINE_BYTES,
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise UnavailableError(
                f"port {port} was taken by another process just now: start again"
            ) from error
        sys.stdout.write(f"{announcement}\n")
        sys.stdout.flush()
        await stop.wait()
        if drain is not None:
            await drain()
    finally:
        await runner.cleanup()
