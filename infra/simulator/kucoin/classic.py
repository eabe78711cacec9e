"""KuCoin's classic socket (docs/exchanges/kucoin.md §B): tokens, and one connection's state.

A token opens one connection. The session sends the welcome, answers subscribe and unsubscribe, and
answers JSON pings, which alone keep a connection open. tick.py holds the texts of messages.
"""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from infra.simulator.exchange import Close, Frame, SocketRules
from infra.simulator.kucoin.state import INSTRUMENT, KucoinState
from infra.simulator.kucoin.tick import ANNOUNCEMENT, KucoinTick

RULES = SocketRules(messages_per_10_s=100, silence_s=60.0, max_age_s=86_400.0)
_MAX_TOPICS_PER_FRAME = 100
_TOKEN_LIFE_MS = 86_400_000
_MAX_TOKENS = 10_000
_KINDS_BY_SYMBOL = frozenset({ANNOUNCEMENT, INSTRUMENT.rstrip(":")})
"""Topics that take contracts behind a colon. Announcements are served without one as well, as the
older documentation has it."""


class Tokens:
    """Tokens of bullet-public: each opens one connection, within 24 h."""

    def __init__(self) -> None:
        self._issued_ms: OrderedDict[str, int] = OrderedDict()

    def issue(self, now_ms: int) -> str:
        """A new token; the oldest of more than 10,000 unused ones are forgotten."""
        token = secrets.token_urlsafe(48)
        self._issued_ms[token] = now_ms
        if len(self._issued_ms) > _MAX_TOKENS:
            self._issued_ms.popitem(last=False)
        return token

    def spend(self, token: str, now_ms: int) -> bool:
        """Use a token up; False: it is unknown, used or too old."""
        issued_ms = self._issued_ms.pop(token, None)
        return issued_ms is not None and now_ms - issued_ms < _TOKEN_LIFE_MS


class ClassicSession:
    """One connection. `admitted` is False for one without a good token."""

    def __init__(self, exchange: KucoinState, connect_id: str, *, admitted: bool) -> None:
        self.rules = RULES
        self._exchange = exchange
        self._connect_id = connect_id
        self._admitted = admitted
        self._topics: dict[str, None] = {}

    def opened(self) -> Sequence[Frame | Close]:
        """The welcome, which a client has to wait for; or the refusal of its token."""
        if not self._admitted:
            error = {"type": "error", "code": 401, "data": "token is expired"}
            return _frame(error), Close(1000, "Bye")
        return (_frame({"id": self._connect_id, "type": "welcome"}),)

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a client frame."""
        try:
            request = json.loads(text)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return (_error(None, 400, "invalid json"),)
        kind = request.get("type")
        if kind == "ping":
            pong = {"id": request.get("id"), "type": "pong", "timestamp": now_ms * 1_000}
            return (_frame(pong),)
        if kind in {"subscribe", "unsubscribe"}:
            return self._change(request, subscribe=kind == "subscribe")
        return (_error(request.get("id"), 400, "type is not supported"),)

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """As text."""
        return self.on_text(data.decode(errors="replace"), now_ms)

    def subscribed(self) -> Sequence[str]:
        """The topics, one per symbol, known or not."""
        return list(self._topics)

    def due(self, tick: KucoinTick) -> Iterator[Frame]:
        """What a tick brings to these subscriptions."""
        if tick.announces:
            for topic in self._topics:
                if topic.startswith(ANNOUNCEMENT):
                    yield from tick.announcements(topic)
        names = self._exchange.instrument_topics
        for row in tick.instrument_rows:
            if names[row] in self._topics:
                yield from tick.instrument(row)

    def _change(self, request: dict[str, Any], *, subscribe: bool) -> Sequence[Frame]:
        request_id, topic = request.get("id"), request.get("topic")
        names = _topics(topic) if isinstance(topic, str) else ()
        if not names:
            return (_error(request_id, 404, "topic does not exist"),)
        if len(names) > _MAX_TOPICS_PER_FRAME:
            return (_error(request_id, 400, f"more than {_MAX_TOPICS_PER_FRAME} topics"),)
        for name in names:
            if subscribe:
                self._topics[name] = None
            else:
                self._topics.pop(name, None)
        return (_frame({"id": request_id, "type": "ack"}),) if request.get("response") else ()


def _topics(topic: str) -> Sequence[str]:
    if topic == ANNOUNCEMENT:
        return (topic,)
    kind, _, symbols = topic.partition(":")
    if kind not in _KINDS_BY_SYMBOL:
        return ()
    return [f"{kind}:{symbol}" for symbol in symbols.split(",") if symbol]


def _error(request_id: object, code: int, data: str) -> Frame:
    named = {} if request_id is None else {"id": request_id}
    return _frame({**named, "type": "error", "code": code, "data": data})


def _frame(value: object) -> Frame:
    return Frame(json.dumps(value, separators=(",", ":")).encode())
