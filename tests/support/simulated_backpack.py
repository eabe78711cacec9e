"""Simulated Backpack at a fixed time, and how its tests ask it; no assertion about it."""

from __future__ import annotations

import json
from typing import Any

from infra.simulator.backpack import universe
from infra.simulator.backpack.exchange import (
    Backpack,
    BackpackSession,
)
from infra.simulator.exchange import RestCall, RestReply

NOW_MS = 1_791_269_856_400
TICK_MS = NOW_MS // 1_000 * 1_000 + 1_000
HOUR_MS = 3_600_000
CRYPTO = universe.contracts(20, 0)[0]
STOCK = next(c for c in universe.contracts(20, 0) if universe.is_halved(c))


def opened(exchange: Backpack) -> BackpackSession:
    """A new connection."""
    session = exchange.session("/", {})
    assert session is not None
    return session


def control(method: str, *streams: str, **more: Any) -> str:
    """A control frame."""
    return json.dumps({"method": method, "params": list(streams), **more})


def subscribed(exchange: Backpack, *symbols: str) -> BackpackSession:
    """A connection with mark prices."""
    session = opened(exchange)
    names = [f"markPrice.{symbol}" for symbol in symbols]
    assert session.on_text(control("SUBSCRIBE", *names), NOW_MS) == ()
    return session


def delivered(exchange: Backpack, session: BackpackSession, at_ms: int = TICK_MS) -> list[Any]:
    """What a tick brings; it is published."""
    tick = exchange.prepare(at_ms)
    frames = [json.loads(frame.payload) for frame in tick.frames(session)]
    tick.published()
    return frames


def get(exchange: Backpack, name: str, now_ms: int = NOW_MS, **query: Any) -> RestReply:
    """The reply to a REST call."""
    texts = {key: str(value) for key, value in query.items()}
    return exchange.rest(RestCall("GET", f"/api/v1/{name}", texts, b"", "127.0.0.1", now_ms))


def rows(exchange: Backpack, name: str, now_ms: int = NOW_MS, **query: Any) -> Any:
    """The decoded body of a call that succeeds."""
    reply = get(exchange, name, now_ms, **query)
    assert reply.status == 200
    return json.loads(reply.body)


def open_perps(exchange: Backpack) -> list[str]:
    """The symbols that stream rates."""
    markets = rows(exchange, "markets", marketType="PERP")
    return [m["symbol"] for m in markets if m["orderBookState"] == "Open"]
