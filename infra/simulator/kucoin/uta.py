"""KuCoin's UTA socket (docs/exchanges/kucoin.md §A): one connection's protocol state.

The session sends the welcome, answers SUBSCRIBE, UNSUBSCRIBE and pings, and ends a connection that
is not used. tick.py holds the texts of pushes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from infra.simulator.exchange import Close, Frame, SocketRules
from infra.simulator.kucoin.state import KucoinState
from infra.simulator.kucoin.tick import KucoinTick

PING_INTERVAL_MS = 18_000
_MAX_TOPICS = 600
_MIN_PING_GAP_MS = 1_000
_ALL = "funding-fee-all-symbols"
_CHANNELS = ("funding-fee", "mark-price")
_FUTURES = "FUTURES"
"""The `tradeType` of this socket; spot has a socket of its own."""

UNUSED_RULES = SocketRules(messages_per_10_s=300, silence_s=60.3)
USED_RULES = SocketRules(messages_per_10_s=300)
"""With a subscription a connection stays open without client frames."""


class UtaSession:
    """One connection. Every frame of the server is binary, and holds UTF-8 JSON."""

    def __init__(self, exchange: KucoinState) -> None:
        self.rules = UNUSED_RULES
        self._exchange = exchange
        self._topics: dict[tuple[str, str], None] = {}
        self._pinged_ms = 0

    def opened(self) -> Sequence[Frame]:
        """The welcome, which a client has to wait for."""
        welcome = {
            "sessionId": str(uuid.uuid4()),
            "message": "welcome",
            "pingInterval": PING_INTERVAL_MS,
        }
        return (_frame(welcome),)

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a client frame; what is not JSON gets no answer."""
        try:
            request = json.loads(text)
        except (ValueError, RecursionError):
            return ()
        if not isinstance(request, dict):
            return (_refusal(None),)
        if request.get("type") == "ping":
            return self._pong(request, now_ms)
        return (self._apply(request),)

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """As text."""
        return self.on_text(data.decode(errors="replace"), now_ms)

    def subscribed(self) -> Sequence[str]:
        """The topics, known or not."""
        return [f"{channel}:{symbol}" if symbol else channel for channel, symbol in self._topics]

    def due(self, tick: KucoinTick) -> Iterator[Frame]:
        """What a tick brings to these subscriptions."""
        for channel, symbol in self._topics:
            if channel == _ALL:
                if tick.is_push:
                    yield tick.all_estimates
                continue
            row = self._exchange.live_row(symbol)
            if row is None:
                continue
            if channel == "mark-price":
                if row in tick.priced:
                    yield tick.mark_price(row)
            elif tick.is_push and self._exchange.is_rated(row):
                yield tick.estimate(row)

    def _pong(self, request: dict[str, Any], now_ms: int) -> Sequence[Frame | Close]:
        if now_ms - self._pinged_ms < _MIN_PING_GAP_MS:
            return (Close(1006, "more than one ping per second"),)
        self._pinged_ms = now_ms
        return (_frame({"type": "pong", "id": request.get("id"), "ts": now_ms * 1_000_000}),)

    def _apply(self, request: dict[str, Any]) -> Frame:
        request_id, channel = request.get("id"), request.get("channel")
        action, symbol = request.get("action"), request.get("symbol", "")
        # SDKs send lower case; the documentation has upper case.
        if action not in {"SUBSCRIBE", "UNSUBSCRIBE", "subscribe", "unsubscribe"}:
            return _refusal(request_id)
        if not isinstance(channel, str) or not isinstance(symbol, str):
            return _refusal(request_id)
        if channel not in {_ALL, *_CHANNELS} or (channel != _ALL and not symbol):
            return _refusal(request_id)
        if request.get("tradeType", _FUTURES) != _FUTURES:
            reason = f"topic {channel} not allowed in current environment"
            return _frame({"id": request_id, "result": False, "reason": reason})
        topic = channel, "" if channel == _ALL else symbol
        if action.upper() == "UNSUBSCRIBE":
            self._topics.pop(topic, None)
        elif topic not in self._topics and len(self._topics) >= _MAX_TOPICS:
            return _refusal(request_id)
        else:
            self._topics[topic] = None
        self.rules = USED_RULES if self._topics else UNUSED_RULES
        return _frame({"id": request_id, "result": True})


def _refusal(request_id: object) -> Frame:
    return _frame({"id": request_id, "result": False, "message": "invalid request data"})


def _frame(value: object) -> Frame:
    return Frame(json.dumps(value, separators=(",", ":")).encode(), binary=True)
