"""One connection to simulated MEXC (docs/exchanges/mexc.md §1).

A request subscribes one contract. Its ack names the method alone, an error the contract in a text,
and an unknown method has no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from infra.simulator.exchange import Close, Frame, SocketRules
from infra.simulator.json_requests import object_in

RULES = SocketRules(silence_s=64.0)
"""A connection without a ping was closed after 60 to 68 s."""
FUNDING = "funding.rate"
_OTHERS = frozenset({"ticker", "tickers", "fair.price", "index.price", "depth", "deal", "kline"})


class MexcSession:
    """One connection. `row_of` returns the row of a contract that is listed; None: it is not."""

    def __init__(self, row_of: Callable[[str], int | None], rules: SocketRules = RULES) -> None:
        self.rules = rules
        self.wanted: dict[int, str] = {}
        """The symbols of the rows that are subscribed."""
        self._row_of = row_of

    def opened(self) -> Sequence[Frame | Close]:
        """MEXC greets nobody."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a request."""
        request = object_in(text)
        method = request.get("method")
        if method == "ping":
            return (_answer("pong", now_ms, now_ms),)
        if not isinstance(method, str):
            return ()
        verb, _, channel = method.partition(".")
        if verb not in {"sub", "unsub"} or channel not in _OTHERS | {FUNDING}:
            return ()
        param = request.get("param")
        symbol = param.get("symbol") if isinstance(param, dict) else None
        row = self._row_of(symbol) if isinstance(symbol, str) else None
        if row is None and channel != "tickers":
            return (_answer("rs.error", f"Contract [{symbol}] not exists", now_ms),)
        if channel == FUNDING and row is not None:
            if verb == "sub":
                self.wanted[row] = str(symbol)
            else:
                self.wanted.pop(row, None)
        return (_answer(f"rs.{method}", "success", now_ms),)

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """What becomes of binary frames is not documented: read like text here."""
        return self.on_text(data.decode(errors="replace"), now_ms)

    def subscribed(self) -> Sequence[str]:
        """The contracts whose rates are subscribed."""
        return list(self.wanted.values())


def _answer(channel: str, data: object, now_ms: int) -> Frame:
    return Frame(msgspec.json.encode({"channel": channel, "data": data, "ts": now_ms}))
