"""One connection to simulated OKX: subscriptions and their answers (okx.md §1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from infra.simulator.exchange import Close, Frame, SocketRules

RULES = SocketRules(silence_s=30.0)
RATES = "funding-rate"
BAD_ARG = ("alone", "frame")
"""What one unknown contract does to the request that holds it: it alone is refused, or all are."""
_OTHER_CHANNELS = frozenset({"mark-price", "tickers", "open-interest", "trades", "books"})
_OPERATIONS_PER_HOUR = 480
_MAX_TEXT_BYTES = 65_536
_HOUR_MS = 3_600_000
_PONG = Frame(b"pong")


class OkxSession:
    """The channels of a connection, and which contracts have not been pushed on it yet."""

    def __init__(
        self, number: int, is_known: Callable[[str], bool], bad_arg: str, now_ms: int
    ) -> None:
        self.rules = RULES
        self.rates: dict[str, None] = {}
        """The contracts whose rates are subscribed."""
        self.fresh: set[str] = set()
        """Those of them that have not been pushed here."""
        self._others: dict[str, None] = {}
        self._is_known = is_known
        self._bad_arg = bad_arg
        self._id = f"{number:08x}"
        self._tokens = float(_OPERATIONS_PER_HOUR)
        self._counted_ms = now_ms
        self._counts_told = False

    def opened(self) -> Sequence[Frame | Close]:
        """OKX greets nobody."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a request, or the bare text `ping`."""
        if text == "ping":
            return (_PONG,)
        try:
            request = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            request = None
        asked = request if isinstance(request, dict) else {}
        if asked.get("op") not in {"subscribe", "unsubscribe"}:
            return (self._refused(asked, "60012", f"Invalid request: {text[:60]}"),)
        if not self._may(now_ms):
            return (self._refused(asked, "60014", "Requests too frequent"),)
        return self._changed(asked, asked.get("args"))

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """What becomes of binary frames is not documented: refused as unreadable text is."""
        del data, now_ms
        return (self._refused({}, "60012", "Invalid request"),)

    def subscribed(self) -> Sequence[str]:
        """The channels."""
        return [*(f"{RATES}:{symbol}" for symbol in self.rates), *self._others]

    def _may(self, now_ms: int) -> bool:
        """Take one of the operations of the hour, whatever its number of args."""
        grown = max(0, now_ms - self._counted_ms) * _OPERATIONS_PER_HOUR / _HOUR_MS
        self._tokens = min(self._tokens + grown, float(_OPERATIONS_PER_HOUR)) - 1.0
        self._counted_ms = now_ms
        if self._tokens < 0.0:
            self._tokens = 0.0
            return False
        return True

    def _changed(self, request: dict[str, Any], args: object) -> list[Frame]:
        if not isinstance(args, list) or not all(isinstance(arg, dict) for arg in args):
            return [self._refused(request, "60013", "Invalid args")]
        if request["op"] == "unsubscribe":
            return [self._left(request, arg) for arg in args]
        return self._subscribe(request, args)

    def _subscribe(self, request: dict[str, Any], args: list[dict[str, Any]]) -> list[Frame]:
        unknown = [arg for arg in args if not self._exists(arg)]
        if unknown and self._bad_arg == "frame":
            return [self._not_found(request, unknown[0])]
        if sum(map(len, self.subscribed())) + len(str(args)) > _MAX_TEXT_BYTES:
            return [self._refused(request, "60012", "Invalid request: too many channels")]
        answers = [self._taken(request, arg) for arg in args]
        if not self._counts_told:
            # Seen beside the acks; nobody asked for it.
            self._counts_told = True
            counts = {"event": "channel-conn-count", "channel": RATES, "connCount": "1"}
            answers.append(self._frame({**counts, "connId": self._id}))
        return answers

    def _exists(self, arg: dict[str, Any]) -> bool:
        symbol, channel = arg.get("instId"), arg.get("channel")
        known = isinstance(symbol, str) and self._is_known(symbol)
        return known and (channel == RATES or channel in _OTHER_CHANNELS)

    def _taken(self, request: dict[str, Any], arg: dict[str, Any]) -> Frame:
        if not self._exists(arg):
            return self._not_found(request, arg)
        symbol = arg["instId"]
        if arg["channel"] == RATES:
            self.rates[symbol] = None
            self.fresh.add(symbol)
        else:
            self._others[f"{arg['channel']}:{symbol}"] = None
        return self._acked(request, arg)

    def _left(self, request: dict[str, Any], arg: dict[str, Any]) -> Frame:
        symbol = arg.get("instId")
        if isinstance(symbol, str):
            self.rates.pop(symbol, None)
            self.fresh.discard(symbol)
            self._others.pop(f"{arg.get('channel')}:{symbol}", None)
        return self._acked(request, arg)

    def _acked(self, request: dict[str, Any], arg: dict[str, Any]) -> Frame:
        return self._frame({
            **_named(request), "event": request["op"], "arg": arg, "connId": self._id,
        })  # fmt: skip

    def _not_found(self, request: dict[str, Any], arg: dict[str, Any]) -> Frame:
        named = f"channel:{arg.get('channel')},instId:{arg.get('instId')}"
        text = (
            f"Wrong URL or {named} doesn't exist. Please use the correct URL, channel and "
            "parameters referring to API document."
        )
        return self._refused(request, "60018", text)

    def _refused(self, request: dict[str, Any], code: str, text: str) -> Frame:
        return self._frame({
            **_named(request), "event": "error", "code": code, "msg": text, "connId": self._id,
        })  # fmt: skip

    def _frame(self, message: dict[str, Any]) -> Frame:
        return Frame(msgspec.json.encode(message))


def _named(request: dict[str, Any]) -> dict[str, str]:
    """The id of a request, which its answers repeat."""
    named = request.get("id")
    return {"id": named} if isinstance(named, str) else {}
