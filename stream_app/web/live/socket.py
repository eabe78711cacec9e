"""The route `/live`: one WebSocket for each open page."""

from __future__ import annotations

import asyncio
import json
import logging
import math

from aiohttp import WSCloseCode, WSMsgType, web

from schemas.clock import Clock
from stream_app.web.live.hub import Hub
from stream_app.web.server.limits import Budgets

log = logging.getLogger(__name__)

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
        if hub.places >= max_clients:
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
        with hub.place():
            await socket.prepare(request)
            await _serve(socket, hub, clock, *_resumed(request))
        return socket

    app.router.add_get(LIVE_PATH, live, allow_head=False)


def _resumed(request: web.Request) -> tuple[str, int | None]:
    """Return the epoch and the number of the newest frame that the page has."""
    epoch, text = request.query.get("epoch", ""), request.query.get("seq", "")
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_SEQUENCE_DIGITS
    return epoch, int(text) if is_number else None


async def _serve(
    socket: web.WebSocketResponse, hub: Hub, clock: Clock, epoch: str, sequence: int | None
) -> None:
    """Send frames and answer pings until one of both ends, which ends the other."""
    sending = asyncio.create_task(hub.serve(socket.send_bytes, epoch, sequence))
    listening = asyncio.create_task(_listen(socket, clock))
    try:
        await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        listening.cancel()
        sending.cancel()
        _, sent = await asyncio.gather(listening, sending, return_exceptions=True)
    if isinstance(sent, TimeoutError):
        _cut(socket)
        return
    if isinstance(sent, Exception) and not isinstance(sent, ConnectionError | RuntimeError):
        log.error("a page's frames have ended", exc_info=sent)
        await socket.close(code=WSCloseCode.INTERNAL_ERROR)


def _cut(socket: web.WebSocketResponse) -> None:
    """End the connection of a page that takes nothing any more, not even a goodbye."""
    transport = socket.get_extra_info("transport")
    if isinstance(transport, asyncio.Transport):
        transport.abort()


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
