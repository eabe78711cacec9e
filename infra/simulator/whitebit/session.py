"""One connection to simulated WhiteBIT: requests and their answers (docs/exchanges/whitebit.md §1).

All answers repeat the id. Text that is no JSON ends the connection without a farewell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from infra.simulator.exchange import Close, Frame, SocketRules

RULES = SocketRules(messages_per_10_s=12_000, silence_s=60.0)
_PREMIUM = "premiumIndex"
_OTHER = frozenset({"depth", "bookTicker", "market", "market_today", "lastprice", "trades"})
_CUT = Close(1006, "not JSON")
_INVALID_ARGUMENT = 1, "invalid argument"
_UNKNOWN_METHOD = 4, "method not found"


class WhiteBitSession:
    """One connection.

    Args:
        exists: whether a market is known.
    """

    def __init__(self, rules: SocketRules, exists: Callable[[str], bool]) -> None:
        self.rules = rules
        self.all_markets = False
        """Whether one push brings all markets."""
        self.markets: tuple[str, ...] = ()
        """Markets that are pushed one by one."""
        self._exists = exists

    def opened(self) -> Sequence[Frame | Close]:
        """WhiteBIT greets nobody."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a request."""
        del now_ms
        try:
            request = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return (_CUT,)
        if not isinstance(request, dict):
            return (_error(_INVALID_ARGUMENT, None),)
        return (self._answer(request),)

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """What becomes of binary frames is not documented: read like text here."""
        return self.on_text(data.decode(errors="replace"), now_ms)

    def subscribed(self) -> Sequence[str]:
        """What is pushed: everything, or named markets."""
        return [f"{_PREMIUM}:*"] if self.all_markets else list(self.markets)

    def _answer(self, request: dict[str, Any]) -> Frame:
        number, params = request.get("id"), request.get("params")
        if not isinstance(number, int) or not isinstance(params, list):
            return _error(_INVALID_ARGUMENT, number)
        if request.get("method") == "ping":
            return _result('"pong"', number)
        channel, _, action = str(request.get("method")).rpartition("_")
        if action not in {"subscribe", "unsubscribe"} or channel not in {_PREMIUM, *_OTHER}:
            return _error(_UNKNOWN_METHOD, number)
        if channel == _PREMIUM:
            refusal = self._subscribe(params if action == "subscribe" else None)
            if refusal is not None:
                return _error(refusal, number)
        return _result('{"status": "success"}', number)

    def _subscribe(self, markets: list[Any] | None) -> tuple[int, str] | None:
        """Replace what was subscribed before; None ends it. Returns why that cannot be."""
        for market in markets or ():
            if not isinstance(market, str) or not market.endswith("_PERP"):
                return _INVALID_ARGUMENT
            if not self._exists(market):
                return 9, f"market {market} does not exist"
        self.all_markets = markets == []
        self.markets = tuple(dict.fromkeys(markets or ()))
        return None


def _result(result: str, number: Any) -> Frame:
    return Frame(f'{{"error": null, "result": {result}, "id": {number}}}'.encode())


def _error(error: tuple[int, str], number: Any) -> Frame:
    code, message = error
    told = {"error": {"code": code, "message": message}, "result": None, "id": number}
    return Frame(msgspec.json.encode(told))
