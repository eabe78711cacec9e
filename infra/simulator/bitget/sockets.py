"""One connection to simulated Bitget, v2 or v3 (docs/exchanges/bitget.md §1).

Each argument of a subscription is answered by itself: with an ack, or with an error if no product
has such a contract. A contract of another product type than the one that was named is acknowledged
and silent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from infra.simulator.exchange import Close, Frame, SocketRules

SILENCE_S = 130.0
MAX_TEXT_BYTES = 4_096
MAX_CHANNELS = 1_000
MAX_REQUESTS = 240
V3_ARGS = 24
"""More arguments in a frame have closed the v3 socket."""
RULES = SocketRules(messages_per_s=10, silence_s=SILENCE_S)
_HOUR_MS = 3_600_000
_UNKNOWN, _PARAM_ERROR = 30_001, 30_016
_CONNECTION = "7a1f0c"
"""v3 names the connection in its answers."""
_OTHER_CHANNELS = frozenset({"books", "books1", "books5", "books15", "trade", "candle1m"})


class BitgetSession:
    """One connection.

    Args:
        version: 2 or 3.
        rows: the row of each contract, by product type and symbol.
        exists: whether any product has a contract of that name.
    """

    def __init__(
        self,
        version: int,
        rows: Mapping[tuple[str, str], int],
        exists: Callable[[str], bool],
        rules: SocketRules = RULES,
    ) -> None:
        self.rules = rules
        self.version = version
        self.wanted: dict[int, bool] = {}
        """The rows that are subscribed, and whether one of their frames was sent."""
        self._rows = rows
        self._exists = exists
        self._channels: dict[str, None] = {}
        self._requests: list[int] = []

    def opened(self) -> Sequence[Frame | Close]:
        """Bitget greets nobody."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer `ping` with `pong`, and each argument of a request by itself."""
        if text == "ping":
            return (Frame(b"pong"),)
        request = _object(text)
        op, args = request.get("op"), request.get("args")
        if (
            op not in {"subscribe", "unsubscribe"}
            or not isinstance(args, list)
            or not args
            or len(text.encode()) > MAX_TEXT_BYTES
        ):
            return (self._refuse(None, _PARAM_ERROR, "Param error", op),)
        self._requests = [at_ms for at_ms in self._requests if at_ms > now_ms - _HOUR_MS]
        self._requests.append(now_ms)
        if len(self._requests) > MAX_REQUESTS or (self.version == 3 and len(args) > V3_ARGS):
            return (Close(1006, "too much at once"),)
        return [self._answer(str(op), arg) for arg in args]

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """What becomes of binary frames is not documented: read like text here."""
        return self.on_text(data.decode(errors="replace"), now_ms)

    def subscribed(self) -> Sequence[str]:
        """The channels that were acknowledged, as they were asked for."""
        return list(self._channels)

    def is_first(self, row: int) -> bool:
        """Tell whether no frame of a row was sent before, and count one as sent."""
        is_first = not self.wanted[row]
        self.wanted[row] = True
        return is_first

    def _answer(self, op: str, arg: Any) -> Frame:
        arg = arg if isinstance(arg, dict) else {}
        names = ("channel", "instId") if self.version == 2 else ("topic", "symbol")
        channel, symbol = (arg.get(name) for name in names)
        product = arg.get("instType")
        if not all(isinstance(text, str) for text in (channel, symbol, product)):
            return self._refuse(arg, _PARAM_ERROR, "Param error", op)
        if channel not in _OTHER_CHANNELS | {"ticker"}:
            return self._refuse(arg, _PARAM_ERROR, "Param error", op)
        if not self._exists(symbol):
            return self._refuse(arg, _UNKNOWN, f"{self._named(arg)} doesn't exist", op)
        # A wrong product is acknowledged, and brings nothing.
        row = self._rows.get((product.upper(), symbol)) if channel == "ticker" else None
        key = f"{product}/{channel}/{symbol}"
        if op == "subscribe" and len(self._channels) >= MAX_CHANNELS:
            return self._refuse(arg, _PARAM_ERROR, "Too many channels", op)
        if op == "subscribe":
            self._channels[key] = None
            if row is not None:
                self.wanted[row] = False
        else:
            self._channels.pop(key, None)
            if row is not None:
                self.wanted.pop(row, None)
        ack: dict[str, Any] = {"event": op, "arg": arg}
        if self.version == 3:
            ack["connId"] = _CONNECTION
        return Frame(msgspec.json.encode(ack))

    def _named(self, arg: dict[str, Any]) -> str:
        """How an error's text names an argument: v3 quotes it as JSON."""
        if self.version == 3:
            quoted = {name: arg[name] for name in ("instType", "symbol", "topic")}
            return msgspec.json.encode(quoted).decode()
        fields = ",".join(f"{name}:{arg[name]}" for name in ("instType", "channel", "instId"))
        return f"{fields},precision:null"

    def _refuse(self, arg: dict[str, Any] | None, code: int, message: str, op: object) -> Frame:
        """An error: v2 repeats the argument, v3 names it in the text alone."""
        body: dict[str, Any] = {"event": "error"}
        if self.version == 2 and arg is not None:
            body["arg"] = arg
        body |= {"code": code, "msg": message}
        if self.version == 2:
            body["op"] = op if isinstance(op, str) else ""
        else:
            body["connId"] = _CONNECTION
        return Frame(msgspec.json.encode(body))


def _object(text: str) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return request if isinstance(request, dict) else {}
