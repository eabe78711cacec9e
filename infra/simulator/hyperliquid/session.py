"""One connection to simulated Hyperliquid: subscriptions and their answers.

It answers subscribe, unsubscribe and ping (docs/exchanges/hyperliquid.md §3), tells which errors
are answered and which cut the connection, and keeps the limits of an address (§4): all clients of a
simulator count as one address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from infra.simulator.exchange import Close, Frame, SocketRules
from infra.simulator.hyperliquid.frames import error_frame
from infra.simulator.hyperliquid.universe import DEXS, MAIN
from infra.simulator.json_requests import object_in
from infra.simulator.market.minute_budget import MinuteBudget

CUT = Close(1006, "Bad subscription")
"""TCP ends without a close frame and without a message (§3)."""

RULES = SocketRules()
_CUT_RULES = SocketRules(silence_s=1e-6)
_PONG = Frame(b'{"channel":"pong"}')
_COIN_TYPES = frozenset({"activeAssetCtx", "bbo", "trades", "l2Book"})
_PLAIN_TYPES = frozenset({"allDexsAssetCtxs", "fastAssetCtxs"})
_ALL_MIDS = "allMids"


class SocketLimits:
    """What one address may have open and send (§4).

    The server says nothing when a connection ends, but shows every open one to each tick: what a
    whole tick has not seen is gone.
    """

    def __init__(
        self,
        connections: int = 10,
        connections_per_minute: int = 30,
        subscriptions: int = 1_000,
        messages_per_minute: int = 2_000,
    ) -> None:
        self._connections = connections
        self._subscriptions = subscriptions
        self._openings = MinuteBudget(connections_per_minute)
        self._messages = MinuteBudget(messages_per_minute)
        self._tick = 0
        self._now_ms = 0
        self._seen: dict[HyperliquidSession, int] = {}

    def begin_tick(self, now_ms: int) -> None:
        """A tick begins: forget what the last one has not seen."""
        self._now_ms = now_ms
        self._seen = {s: tick for s, tick in self._seen.items() if tick >= self._tick}
        self._tick += 1

    def saw(self, session: HyperliquidSession) -> None:
        """The running tick has met an open connection."""
        self._seen[session] = self._tick

    def open(self, session: HyperliquidSession) -> bool:
        """Count a new connection; False when it is one too many."""
        allowed = self._openings.charge("", 1, self._now_ms)
        if not allowed or len(self._seen) >= self._connections:
            return False
        self.saw(session)
        return True

    def message(self, now_ms: int) -> bool:
        """Count an incoming message; False when it is one too many."""
        return self._messages.charge("", 1, now_ms)

    def room(self) -> bool:
        """Whether one more subscription is allowed."""
        return sum(len(s.subscriptions) for s in self._seen) < self._subscriptions


class HyperliquidSession:
    """One connection.

    Args:
        limits: shared by all connections.
        exists: whether a coin is in the universe, spelled exactly so.
        quiet_ms: cut when the server has sent nothing for so long (§5).
    """

    def __init__(
        self, limits: SocketLimits, exists: Callable[[str], bool], quiet_ms: int = 60_000
    ) -> None:
        self.rules = RULES
        self.subscriptions: dict[str, str] = {}
        """By the JSON text of the subscription: its coin or dex, empty where it has none."""
        self._limits = limits
        self._exists = exists
        self._quiet_ms = quiet_ms
        self._sent_ms: int | None = None

    def opened(self) -> Sequence[Frame | Close]:
        """Hyperliquid greets nobody."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a message; what the exchange cannot read is quoted back."""
        if not self._limits.message(now_ms):
            return (Close(1006, "Too many messages"),)
        answer = self._answer(text)
        if isinstance(answer, Frame):
            self.sent(now_ms)
        return (answer,)

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """Frames are text; what becomes of others is not documented: read like text here."""
        return self.on_text(data.decode(errors="replace"), now_ms)

    def subscribed(self) -> Sequence[str]:
        """The subscriptions as JSON."""
        return list(self.subscriptions)

    def dexs_of_mids(self) -> list[str]:
        """The dexs whose `allMids` the client wants."""
        return [dex for key, dex in self.subscriptions.items() if f'"{_ALL_MIDS}"' in key]

    def sent(self, now_ms: int) -> None:
        """Something is on its way to the client."""
        self._sent_ms = now_ms
        self.rules = RULES

    def nothing_sent(self, now_ms: int) -> None:
        """A tick had nothing for the client: after a minute of that the connection is cut."""
        if self._sent_ms is None:
            self._sent_ms = now_ms
        if now_ms - self._sent_ms >= self._quiet_ms:
            self.rules = _CUT_RULES

    def _answer(self, text: str) -> Frame | Close:
        request = object_in(text)
        method, subscription = request.get("method"), request.get("subscription")
        if method == "ping":
            return _PONG
        target = _target(subscription)
        if method not in {"subscribe", "unsubscribe"} or target is None:
            message = f"Error parsing JSON into valid websocket request: {text}"
            return Frame(error_frame(message))
        kind, name = target
        if (kind in _COIN_TYPES and not self._exists(name)) or (
            kind == _ALL_MIDS and name not in DEXS
        ):
            return CUT
        key = msgspec.json.encode(subscription).decode()
        refusal = self._refusal(method, key)
        if refusal:
            return Frame(error_frame(refusal))
        if method == "subscribe":
            self.subscriptions[key] = name
        else:
            del self.subscriptions[key]
        data = {"method": method, "subscription": subscription}
        return Frame(msgspec.json.encode({"channel": "subscriptionResponse", "data": data}))

    def _refusal(self, method: str, key: str) -> str:
        known = key in self.subscriptions
        if method == "unsubscribe":
            return "" if known else f"Already unsubscribed: {key}"
        if known:
            return f"Already subscribed: {key}"
        # The limit is documented (§4), its message is not.
        return "" if self._limits.room() else "Cannot track more subscriptions"


def coin_key(coin: str) -> str:
    """The key in `subscriptions` of a coin's `activeAssetCtx`."""
    return msgspec.json.encode({"type": "activeAssetCtx", "coin": coin}).decode()


ALL_DEXS_KEY = '{"type":"allDexsAssetCtxs"}'


def _target(subscription: Any) -> tuple[str, str] | None:
    """Type and coin or dex, empty where it has none; None: no subscription we can read."""
    if not isinstance(subscription, dict):
        return None
    kind, coin = subscription.get("type"), subscription.get("coin")
    if isinstance(kind, str) and kind in _PLAIN_TYPES and len(subscription) == 1:
        return kind, ""
    if kind == _ALL_MIDS and subscription.keys() <= {"type", "dex"}:
        dex = subscription.get("dex", MAIN)
        return (_ALL_MIDS, dex) if isinstance(dex, str) else None
    if isinstance(kind, str) and kind in _COIN_TYPES and isinstance(coin, str):
        return kind, coin
    return None
