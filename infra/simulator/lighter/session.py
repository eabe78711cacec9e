"""One connection to simulated Lighter: greeting, subscriptions, pings (docs/exchanges/lighter.md).

All clients of a simulator count as one address for the limit of messages (§4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from infra.simulator.exchange import Close, Frame, SocketRules
from infra.simulator.json_requests import object_in
from infra.simulator.lighter.frames import PONG, error_frame
from infra.simulator.market.minute_budget import MinuteBudget

RULES = SocketRules(silence_s=120.0, max_age_s=86_400.0)
ALL = "all"
_CHANNEL = "market_stats"
_NOT_SUBSCRIBED, _ALREADY, _INVALID, _TOO_MANY = 30002, 30003, 30005, 30009


class LighterSession:
    """One connection.

    Args:
        number: makes its session id.
        exists: whether a market id is in the list.
        messages: the budget of the address.
        rules: what the server enforces.
    """

    def __init__(
        self,
        number: int,
        exists: Callable[[int], bool],
        messages: MinuteBudget,
        rules: SocketRules = RULES,
    ) -> None:
        self.rules = rules
        self.targets: dict[str, bool] = {}
        """`all`, or the ids of single markets; whether its first frame has been sent."""
        self.pinged_ms = 0
        self._number = number
        self._exists = exists
        self._messages = messages

    def opened(self) -> Sequence[Frame | Close]:
        """The first frame names the session."""
        name = f"{self._number:08x}-9ef8-4080-8f02-{self._number:012x}"
        return (Frame(msgspec.json.encode({"session_id": name, "type": "connected"})),)

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a message; a subscription is answered by its first frame, with the next tick."""
        if not self._messages.charge("", 1, now_ms):
            return (_error(_TOO_MANY, "Too Many Websocket Messages!"),)
        request = object_in(text)
        kind, channel = request.get("type"), request.get("channel")
        if kind == "ping":
            return (Frame(PONG),)
        if kind == "pong":
            return ()
        target = self._target(channel)
        if kind not in {"subscribe", "unsubscribe"} or target is None:
            shown = channel if isinstance(channel, str) else ""
            return (_error(_INVALID, f"Invalid Channel: {shown[:80]} (marketId)"),)
        return self._changed(kind, target)

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """Frames are text; what becomes of others is not documented: read like text here."""
        return self.on_text(data.decode(errors="replace"), now_ms)

    def subscribed(self) -> Sequence[str]:
        """The channels as answers spell them."""
        return [f"{_CHANNEL}:{target}" for target in self.targets]

    def _changed(self, kind: str, target: str) -> Sequence[Frame]:
        name = f"{_CHANNEL}:{target}"
        if kind == "subscribe":
            if target in self.targets:
                return (_error(_ALREADY, f"Already Subscribed to : {name}"),)
            self.targets[target] = False
            return ()
        if self.targets.pop(target, None) is None:
            return (_error(_NOT_SUBSCRIBED, f"Not Subscribed to : {name}"),)
        return (Frame(msgspec.json.encode({"type": "unsubscribed", "channel": name})),)

    def _target(self, channel: Any) -> str | None:
        """What a channel `market_stats/…` is about; None: it is none that is simulated."""
        if not isinstance(channel, str):
            return None
        name, slash, target = channel.partition("/")
        if name != _CHANNEL or not slash:
            return None
        if target == ALL:
            return ALL
        is_id = target.isascii() and target.isdigit() and len(target) < 6
        return str(int(target)) if is_id and self._exists(int(target)) else None


def _error(code: int, message: str) -> Frame:
    return Frame(error_frame(code, message))
