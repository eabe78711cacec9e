"""Simulated Lighter at a fixed time, and how its tests ask it; no assertion about it."""

from __future__ import annotations

import json
from typing import Any

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.lighter.exchange import Lighter
from infra.simulator.lighter.session import LighterSession

NOW_MS = 1_791_269_856_400
STEP_MS = 500
HOUR_MS = 3_600_000


def opened(exchange: Lighter) -> LighterSession:
    """A new connection."""
    session = exchange.session("/stream", {"readonly": "true"})
    assert session is not None
    return session


def say(session: LighterSession, now_ms: int = NOW_MS, **message: Any) -> list[Any]:
    """The answers to a message."""
    answers = session.on_text(json.dumps(message), now_ms)
    return [json.loads(answer.payload) for answer in answers]  # type: ignore[union-attr]


def subscribed(exchange: Lighter, target: str = "all") -> LighterSession:
    """A connection with `market_stats`."""
    session = opened(exchange)
    say(session, type="subscribe", channel=f"market_stats/{target}")
    return session


def delivered(exchange: Lighter, session: LighterSession, at_ms: int) -> list[Any]:
    """What a step brings; it is published."""
    tick = exchange.prepare(at_ms)
    frames = [json.loads(frame.payload) for frame in tick.frames(session)]
    tick.published()
    return frames


def get(exchange: Lighter, name: str, now_ms: int = NOW_MS, **query: object) -> RestReply:
    """The reply to a REST call."""
    texts = {key: str(value) for key, value in query.items()}
    return exchange.rest(RestCall("GET", f"/api/v1/{name}", texts, b"", "127.0.0.1", now_ms))


def body(exchange: Lighter, name: str, now_ms: int = NOW_MS, **query: Any) -> Any:
    """The decoded body of a call that succeeds."""
    reply = get(exchange, name, now_ms, **query)
    assert reply.status == 200
    return json.loads(reply.body)
