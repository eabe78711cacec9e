"""Simulated KuCoin at a fixed time, and how its tests ask it; no assertion about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from infra.simulator.exchange import Frame, RestCall, RestReply
from infra.simulator.kucoin.classic import ClassicSession
from infra.simulator.kucoin.exchange import Kucoin
from infra.simulator.kucoin.uta import UtaSession

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FUNDING_MS = 1_790_118_000_000  # 23:00 UTC: the hourly contract and TRUSTUSDTM settle
NOW_MS = FUNDING_MS - 30 * 60_000
PUSH_MS = NOW_MS + 61_000  # a tick that carries estimates
HOURLY = "1000PEPEUSDTM"
ALL = '{"id":"1","action":"SUBSCRIBE","channel":"funding-fee-all-symbols"}'


def uta(exchange: Kucoin, *requests: str) -> UtaSession:
    """A UTA session after these requests, all of which are acked."""
    session = exchange.session("/", {})
    assert isinstance(session, UtaSession)
    for request in requests:
        assert ask(session, request)["result"] is True
    return session


def classic(exchange: Kucoin, *topics: str) -> ClassicSession:
    """A classic session with these topics."""
    token = data(post(exchange, "/api/v1/bullet-public"))["token"]
    session = exchange.session("/classic/", {"token": token, "connectId": "c7"})
    assert isinstance(session, ClassicSession)
    for topic in topics:
        request = {"id": 9, "type": "subscribe", "topic": topic, "response": True}
        assert ask(session, json.dumps(request)) == {"id": 9, "type": "ack"}
    return session


def ask(session: UtaSession | ClassicSession, text: str, now_ms: int = NOW_MS) -> Any:
    """The one reply to a client frame."""
    (answer,) = session.on_text(text, now_ms)
    assert isinstance(answer, Frame)
    return json.loads(answer.payload)


def frames(exchange: Kucoin, session: UtaSession | ClassicSession, at_ms: int) -> list[Frame]:
    """Return the frames of one tick."""
    return list(exchange.prepare(at_ms).frames(session))


def decoded(found: Sequence[Frame]) -> list[Any]:
    """The documents of frames."""
    return [json.loads(frame.payload) for frame in found]


def get(exchange: Kucoin, path: str, now_ms: int = NOW_MS, **query: Any) -> RestReply:
    """The reply to a GET; a final underscore of a name is left out."""
    texts = {key.rstrip("_"): str(value) for key, value in query.items()}
    return exchange.rest(RestCall("GET", path, texts, b"", "127.0.0.1", now_ms))


def post(exchange: Kucoin, path: str, base_url: str = "http://127.0.0.1:9443/kucoin") -> RestReply:
    """The reply to a POST."""
    return exchange.rest(RestCall("POST", path, {}, b"", "127.0.0.1", NOW_MS, base_url))


def data(reply: RestReply) -> Any:
    """What a successful reply holds."""
    document = json.loads(reply.body)
    assert (reply.status, document["code"]) == (200, "200000")
    return document["data"]


def active(exchange: Kucoin, now_ms: int = NOW_MS) -> dict[str, Any]:
    """contracts/active by symbol."""
    return {r["symbol"]: r for r in data(get(exchange, "/api/v1/contracts/active", now_ms))}
