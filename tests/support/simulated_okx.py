"""Simulated OKX at a fixed time, and how its tests ask it; no assertion about it."""

from __future__ import annotations

import json
from typing import Any

from infra.simulator.exchange import Frame, RestCall, RestReply
from infra.simulator.okx.exchange import Okx
from infra.simulator.okx.session import OkxSession

NOW_MS = 1_791_269_856_400
TICK_MS = NOW_MS // 1_000 * 1_000 + 1_000
SECOND_MS = 1_000
HOUR_MS = 3_600_000


def opened(exchange: Okx) -> OkxSession:
    """A new connection."""
    session = exchange.session("/ws/v5/public", {})
    assert session is not None
    return session


def asked(session: OkxSession, op: str, *symbols: str, now_ms: int = NOW_MS, **more: Any) -> Any:
    """The answers to a request about rates."""
    args = [{"channel": "funding-rate", "instId": symbol} for symbol in symbols]
    answers = session.on_text(json.dumps({"op": op, "args": args, **more}), now_ms)
    return [json.loads(one.payload) for one in answers if isinstance(one, Frame)]


def subscribed(exchange: Okx, *symbols: str) -> OkxSession:
    """A connection with rates."""
    session = opened(exchange)
    asked(session, "subscribe", *symbols)
    return session


def ticks(exchange: Okx, session: OkxSession, count: int, at_ms: int = TICK_MS) -> list[Any]:
    """What some seconds bring, decoded; they are published."""
    found: list[Any] = []
    for number in range(count):
        tick = exchange.prepare(at_ms + number * SECOND_MS)
        found += [json.loads(frame.payload) for frame in tick.frames(session)]
        tick.published()
    return found


def get(exchange: Okx, path: str, now_ms: int = NOW_MS, **query: Any) -> RestReply:
    """The reply to a REST call."""
    texts = {key: str(value) for key, value in query.items()}
    return exchange.rest(RestCall("GET", f"/api/v5/{path}", texts, b"", "127.0.0.1", now_ms))


def data(exchange: Okx, path: str, now_ms: int = NOW_MS, **query: Any) -> list[Any]:
    """The rows of a call that succeeds."""
    reply = get(exchange, path, now_ms, **query)
    body = json.loads(reply.body)
    assert (reply.status, body["code"], body["msg"]) == (200, "0", "")
    rows: list[Any] = body["data"]
    return rows


def refusal(exchange: Okx, path: str, **query: Any) -> tuple[int, str]:
    """HTTP status and code of a call that fails."""
    reply = get(exchange, path, **query)
    body = json.loads(reply.body)
    assert body["data"] == []
    return reply.status, body["code"]
