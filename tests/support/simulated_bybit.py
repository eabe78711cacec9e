"""Simulated Bybit at a fixed time, and how its tests ask it; no assertion about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from infra.simulator.bybit.exchange import Bybit
from infra.simulator.bybit.session import BybitSession
from infra.simulator.exchange import Frame, RestCall, RestReply

NOW_MS = 1_791_269_856_400
TICK_MS = NOW_MS // 1_000 * 1_000 + 1_000
STEP_MS = 100
HOUR_MS = 3_600_000


def opened(exchange: Bybit, family: str = "linear") -> BybitSession:
    """A new connection."""
    session = exchange.session(f"/v5/public/{family}", {})
    assert session is not None
    return session


def asked(session: BybitSession, op: str, *symbols: str, **more: Any) -> dict[str, Any]:
    """The answer to a request about tickers."""
    args = [f"tickers.{symbol}" for symbol in symbols]
    (answer,) = session.on_text(json.dumps({"op": op, "args": args, **more}), NOW_MS)
    assert isinstance(answer, Frame)
    found: dict[str, Any] = json.loads(answer.payload)
    return found


def subscribed(exchange: Bybit, *symbols: str, family: str = "linear") -> BybitSession:
    """A connection with topics."""
    session = opened(exchange, family)
    assert asked(session, "subscribe", *symbols)["success"]
    return session


def steps(exchange: Bybit, sessions: Sequence[BybitSession], count: int) -> list[list[Any]]:
    """What some steps bring to each connection, decoded; they are published."""
    found: list[list[Any]] = [[] for _ in sessions]
    for number in range(count):
        tick = exchange.prepare(TICK_MS + number * STEP_MS)
        for session, frames in zip(sessions, found, strict=True):
            frames += [json.loads(frame.payload) for frame in tick.frames(session)]
        tick.published()
    return found


def unsized(row: Mapping[str, str]) -> dict[str, str]:
    """A row without the sizes in the book, which are not those of its last push in REST."""
    return {name: text for name, text in row.items() if name not in {"bid1Size", "ask1Size"}}


def get(exchange: Bybit, name: str, now_ms: int = NOW_MS, **query: Any) -> RestReply:
    """The reply to a REST call."""
    texts = {key: str(value) for key, value in query.items()}
    return exchange.rest(RestCall("GET", f"/v5/market/{name}", texts, b"", "127.0.0.1", now_ms))


def result(exchange: Bybit, name: str, now_ms: int = NOW_MS, **query: Any) -> Any:
    """The result of a call that succeeds."""
    reply = get(exchange, name, now_ms, **query)
    body = json.loads(reply.body)
    assert (reply.status, body["retCode"], body["time"]) == (200, 0, now_ms)
    return body["result"]


def refusal(exchange: Bybit, name: str, **query: Any) -> tuple[int, str]:
    """Code and text of a call that fails with HTTP 200."""
    reply = get(exchange, name, **query)
    body = json.loads(reply.body)
    assert (reply.status, body["result"]) == (200, {})
    return body["retCode"], body["retMsg"]
