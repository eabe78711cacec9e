"""One connection to simulated dYdX: greeting, subscriptions, the count of messages (dydx.md §1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from infra.simulator.exchange import Close, Frame, SocketRules
from infra.simulator.market.truth import TickLedger

RULES = SocketRules(ping_every_s=30.0, pong_within_s=10.0)
CHANNEL = "v4_markets"
_OTHER = frozenset({"v4_orderbook", "v4_trades", "v4_candles", "v4_subaccounts"})
_VERSION = "1.0.0"


class DydxSession:
    """Whether its connection wants the markets, and the number of its next message."""

    def __init__(self, number: int, rules: SocketRules) -> None:
        self.rules = rules
        self.wants_markets = False
        self.is_batched = False
        self.is_fresh = False
        """The whole rows that begin a subscription are still to be sent."""
        self._id = f"00000000-0000-4000-8000-{number:012d}"
        self._messages = 0
        self._others: set[str] = set()

    def opened(self) -> Sequence[Frame | Close]:
        """Greet a new connection."""
        return (self._message({"type": "connected"}),)

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a request; the whole rows come with the next tick."""
        del now_ms
        try:
            request = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            request = None
        kind = request.get("type") if isinstance(request, dict) else None
        if kind not in {"subscribe", "unsubscribe"}:
            return (self._error(f"Invalid message type: {kind}"),)
        channel = request.get("channel")
        if channel in _OTHER:
            self._others.add(channel)
            return ()
        if channel != CHANNEL:
            return (self._error(f"Invalid channel: {channel}"),)
        if kind == "unsubscribe":
            self.wants_markets = self.is_fresh = False
            return (self._message({"type": "unsubscribed", "channel": CHANNEL}),)
        if self.wants_markets:
            return (self._error("Invalid subscribe message: already subscribed (v4_markets)"),)
        self.wants_markets = self.is_fresh = True
        self.is_batched = bool(request.get("batched"))
        return ()

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """What becomes of binary frames is not documented: read like text here."""
        return self.on_text(data.decode(errors="replace"), now_ms)

    def subscribed(self) -> Sequence[str]:
        """The channels."""
        return [*([CHANNEL] if self.wants_markets else []), *sorted(self._others)]

    def snapshot(self, contents: bytes, ledger: TickLedger, rows: Sequence[int]) -> Frame:
        """The message that begins a subscription."""
        self.is_fresh = False
        return Frame(self._framed("subscribed", b"", contents), ledger=ledger, rows=rows)

    def change(self, contents: bytes, ledger: TickLedger, rows: Sequence[int]) -> Frame:
        """A message of changes."""
        version = b'"version":"%b",' % _VERSION.encode()
        kind = "channel_data"
        if self.is_batched:
            kind, contents = "channel_batch_data", b"[" + contents + b"]"
        return Frame(self._framed(kind, version, contents), ledger=ledger, rows=rows)

    def _framed(self, kind: str, more: bytes, contents: bytes) -> bytes:
        head = (
            f'{{"type":"{kind}","connection_id":"{self._id}","message_id":{self._messages},'
            f'"channel":"{CHANNEL}",'
        )
        self._messages += 1
        return head.encode() + more + b'"contents":' + contents + b"}"

    def _message(self, told: dict[str, Any]) -> Frame:
        number = self._messages
        self._messages += 1
        return Frame(msgspec.json.encode({**told, "connection_id": self._id, "message_id": number}))

    def _error(self, message: str) -> Frame:
        return self._message({"type": "error", "message": message})
