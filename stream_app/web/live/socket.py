"""The route `/live`: one WebSocket for each open page."""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import suppress

from aiohttp import WSCloseCode, WSMsgType, web

from schemas.clock import Clock
from stream_app.web.live.hub import Hub
from stream_app.web.server.limits import Budgets

LIVE_PATH = "/live"
MAX_MESSAGE_BYTES = 256
MESSAGES_PER_S = 2.0
MESSAGES_BURST = 20.0
PING_EVERY_S = 20.0
_CLOSE_S = 2.0
_EXPECTED = b'expected {"ping": number}'
_MAX_SEQUENCE_DIGITS = 15


def add_live(app: web.Application, hub: Hub, clock: Clock, max_clients: int) -> None:
    """Add the route."""

    async def live(request: web.Request) -> web.StreamResponse:
        epoch, sequence = _resumed(request)
        if hub.clients >= max_clients:
            return web.json_response(
                {"error": f"{max_clients} pages are open: FUNDING_WEB_MAX_CLIENTS allows no more"},
                status=503,
                headers={"Retry-After": "10"},
            )
        socket = web.WebSocketResponse(
            timeout=_CLOSE_S,
            heartbeat=PING_EVERY_S,
            compress=False,  # Frames are compressed once, for all pages.
            max_msg_size=MAX_MESSAGE_BYTES,
        )
        if not socket.can_prepare(request):
            told = {"error": f"{LIVE_PATH} is a WebSocket"}
            return web.json_response(told, status=426, headers={"Upgrade": "websocket"})
        await socket.prepare(request)
        sending = asyncio.create_task(_send(socket, hub, epoch, sequence))
        try:
            # A page that goes away while it is answered is nothing unusual.
            with suppress(ConnectionError):
                await _listen(socket, clock)
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
        return socket

    app.router.add_get(LIVE_PATH, live, allow_head=False)


def _resumed(request: web.Request) -> tuple[str, int | None]:
    """Return the epoch and the number of the newest frame that the page has."""
    epoch, text = request.query.get("epoch", ""), request.query.get("seq", "")
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_SEQUENCE_DIGITS
    return epoch, int(text) if is_number else None


async def _send(socket: web.WebSocketResponse, hub: Hub, epoch: str, sequence: int | None) -> None:
    """Send frames until the page is gone; cut off one that takes nothing any more."""
    try:
        await hub.serve(socket.send_bytes, epoch, sequence)
    except (TimeoutError, ConnectionError, RuntimeError):
        transport = socket.get_extra_info("transport") if socket.prepared else None
        if isinstance(transport, asyncio.Transport):
            transport.abort()
        else:
            await socket.close(code=WSCloseCode.GOING_AWAY)


async def _listen(socket: web.WebSocketResponse, clock: Clock) -> None:
    """Answer what the page asks: only the time. Anything else, or too much, ends the connection."""
    budget = Budgets(MESSAGES_PER_S, MESSAGES_BURST)
    async for message in socket:
        if budget.draw("", clock.monotonic_s()):
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"too many messages")
            return
        asked = _asked(message.data) if message.type is WSMsgType.TEXT else None
        if asked is None:
            await socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=_EXPECTED)
            return
        await socket.send_str(json.dumps({"pong": asked, "now": clock.now_us()}))


def _asked(text: str) -> float | None:
    """Return the number of a ping; None: the message is something else."""
    try:
        message = json.loads(text)
    except ValueError:
        return None
    number = message.get("ping") if isinstance(message, dict) and len(message) == 1 else None
    if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
        return None
    return number
