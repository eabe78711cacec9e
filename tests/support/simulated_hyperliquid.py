"""Simulated Hyperliquid at a fixed time, and how its tests ask it; no assertion about it."""

from __future__ import annotations

import json
from typing import Any

from infra.simulator.exchange import Frame, RestCall, RestReply
from infra.simulator.hyperliquid.exchange import Hyperliquid
from infra.simulator.hyperliquid.session import HyperliquidSession

NOW_MS = 1_791_269_856_400
HOUR_MS = 3_600_000
STEP_MS = 200


def opened(exchange: Hyperliquid) -> HyperliquidSession:
    """A new connection."""
    session = exchange.session("/ws", {})
    assert session is not None
    return session


def message(method: str, **subscription: str) -> str:
    """A control message."""
    return json.dumps({"method": method, "subscription": subscription})


def ask(session: HyperliquidSession, text: str, now_ms: int = NOW_MS) -> Any:
    """The one reply to a message."""
    (answer,) = session.on_text(text, now_ms)
    assert isinstance(answer, Frame)
    return json.loads(answer.payload)


def steps(exchange: Hyperliquid, count: int, since_ms: int = NOW_MS) -> list[int]:
    """The next grid times."""
    first = since_ms // exchange.tick_ms * exchange.tick_ms + exchange.tick_ms
    return [first + number * exchange.tick_ms for number in range(count)]


def delivered(exchange: Hyperliquid, session: HyperliquidSession, at_ms: int) -> list[Frame]:
    """What a step brings; it is published."""
    tick = exchange.prepare(at_ms)
    frames = list(tick.frames(session))
    tick.published()
    return frames


def info(
    exchange: Hyperliquid, now_ms: int = NOW_MS, client: str = "127.0.0.1", **request: Any
) -> RestReply:
    """The reply to a call of /info."""
    body = json.dumps(request).encode()
    return exchange.rest(RestCall("POST", "/info", {}, body, client, now_ms))


def read(exchange: Hyperliquid, now_ms: int = NOW_MS, **request: Any) -> Any:
    """The decoded body of a call that succeeds."""
    reply = info(exchange, now_ms, **request)
    assert reply.status == 200
    return json.loads(reply.body)
