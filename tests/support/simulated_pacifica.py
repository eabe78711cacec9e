"""Simulated Pacifica at a fixed time, and how its tests ask it; no assertion about it."""

from __future__ import annotations

import json
from typing import Any

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.pacifica.exchange import Pacifica
from infra.simulator.pacifica.session import PacificaSession

NOW_MS = 1_791_269_856_400
STEP_MS = 500
HOUR_MS = 3_600_000


def opened(exchange: Pacifica) -> PacificaSession:
    """A new connection."""
    session = exchange.session("/ws", {})
    assert session is not None
    return session


def say(session: PacificaSession, text: str) -> list[Any]:
    """The answers to a text."""
    answers = session.on_text(text, NOW_MS)
    return [json.loads(answer.payload) for answer in answers]  # type: ignore[union-attr]


def subscribed(exchange: Pacifica) -> PacificaSession:
    """A connection with prices."""
    session = opened(exchange)
    say(session, '{"method":"subscribe","params":{"source":"prices"}}')
    return session


def delivered(exchange: Pacifica, session: PacificaSession, at_ms: int) -> list[Any]:
    """What a step brings; it is published."""
    tick = exchange.prepare(at_ms)
    frames = [json.loads(frame.payload) for frame in tick.frames(session)]
    tick.published()
    return frames


def get(exchange: Pacifica, name: str, now_ms: int = NOW_MS, **query: object) -> RestReply:
    """The reply to a REST call."""
    texts = {key: str(value) for key, value in query.items()}
    return exchange.rest(RestCall("GET", f"/api/v1/{name}", texts, b"", "127.0.0.1", now_ms))


def body(exchange: Pacifica, name: str, now_ms: int = NOW_MS, **query: object) -> Any:
    """The decoded body of a call that succeeds."""
    reply = get(exchange, name, now_ms, **query)
    assert reply.status == 200
    return json.loads(reply.body)
