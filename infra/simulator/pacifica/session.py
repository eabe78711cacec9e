"""One connection to simulated Pacifica: subscriptions and pings (docs/exchanges/pacifica.md §3)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from infra.simulator.exchange import Close, Frame, SocketRules
from infra.simulator.json_requests import object_in

RULES = SocketRules(silence_s=60.0, max_age_s=86_400.0)
_PONG = Frame(b'{"channel":"pong"}')
_PRICES = {"source": "prices"}


class PacificaSession:
    """One connection."""

    def __init__(self, rules: SocketRules = RULES) -> None:
        self.rules = rules
        self.wants_prices = False
        self.has_all = False
        """Whether it has got all symbols once."""

    def opened(self) -> Sequence[Frame | Close]:
        """Pacifica greets nobody."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a message; what cannot be read is an error with a time."""
        request = object_in(text)
        method, params = request.get("method"), request.get("params")
        if method == "ping":
            return (_PONG,)
        if method not in {"subscribe", "unsubscribe"} or params != _PRICES:
            return (_error("Invalid subscription parameters.", now_ms),)
        self.wants_prices = method == "subscribe"
        self.has_all = False
        return (Frame(msgspec.json.encode({"channel": method, "data": params})),)

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """Frames are text; what becomes of others is not documented: read like text here."""
        return self.on_text(data.decode(errors="replace"), now_ms)

    def subscribed(self) -> Sequence[str]:
        """The channels."""
        return ["prices"] if self.wants_prices else []


def _error(message: str, now_ms: int) -> Frame:
    return Frame(msgspec.json.encode({"code": 400, "err": message, "t": now_ms}))
