"""One connection to simulated Bybit: subscriptions and their answers (bybit.md §1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from infra.simulator.exchange import Close, Frame, SocketRules

RULES = SocketRules(silence_s=600.0)
"""How long a client may say nothing is not documented for public sockets; so long a private one
may."""
MAX_ARGS_CHARACTERS = 21_000
BAD_TOPIC = ("named", "unnamed", "ignored")
"""What one unknown topic does to the request that holds it: it fails, and the answer names the
topic or does not; or all the others are subscribed."""
_TICKERS = "tickers."
_OTHER_TOPICS = ("orderbook.", "publicTrade.", "kline.", "allLiquidation.")


class BybitSession:
    """The topics of a connection, and which of them have not brought a whole row yet."""

    def __init__(self, number: int, is_known: Callable[[str], bool], bad_topic: str) -> None:
        """`is_known`: whether a contract of the socket's family has that symbol."""
        self.rules = RULES
        self.topics: dict[str, None] = {}
        """The symbols whose tickers are subscribed."""
        self.fresh: set[str] = set()
        """Those of them that begin with a whole row."""
        self._others: dict[str, None] = {}
        self._is_known = is_known
        self._bad_topic = bad_topic
        self._id = f"sim{number:04d}"

    def opened(self) -> Sequence[Frame | Close]:
        """Bybit greets nobody."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a request; what is no JSON has no answer that is known, and is refused here."""
        del now_ms
        try:
            request = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return (self._answer({}, refusal="Param validation for 'op' failed"),)
        op = request.get("op")
        if op == "ping":
            return (self._answer(request, told="pong"),)
        topics = request.get("args")
        if op not in {"subscribe", "unsubscribe"}:
            return (self._answer(request, refusal="Invalid op"),)
        if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
            return (self._answer(request, refusal="Params Error"),)
        if op == "unsubscribe":
            self._leave(topics)
            return (self._answer(request),)
        return (self._subscribe(request, topics),)

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """What becomes of binary frames is not documented: refused as unreadable text is."""
        del data, now_ms
        return (self._answer({}, refusal="Param validation for 'op' failed"),)

    def subscribed(self) -> Sequence[str]:
        """The topics."""
        return [*(f"{_TICKERS}{symbol}" for symbol in self.topics), *self._others]

    def begin_anew(self, symbol: str) -> None:
        """The next push of a topic is a whole row."""
        if symbol in self.topics:
            self.fresh.add(symbol)

    def _subscribe(self, request: dict[str, Any], topics: list[str]) -> Frame:
        wanted = {*self.subscribed(), *topics}
        if sum(map(len, wanted)) > MAX_ARGS_CHARACTERS:
            return self._answer(request, refusal="args size >21000")
        unknown = [topic for topic in topics if not self._exists(topic)]
        if unknown and self._bad_topic == "named":
            return self._answer(request, refusal=f"error:handler not found,topic:{unknown[0]}")
        if unknown and self._bad_topic == "unnamed":
            return self._answer(request, refusal="Params Error")
        for topic in topics:
            if topic in unknown:
                continue
            if not topic.startswith(_TICKERS):
                self._others[topic] = None
                continue
            symbol = topic.removeprefix(_TICKERS)
            self.topics[symbol] = None
            self.fresh.add(symbol)
        return self._answer(request)

    def _leave(self, topics: list[str]) -> None:
        for topic in topics:
            self._others.pop(topic, None)
            self.topics.pop(topic.removeprefix(_TICKERS), None)
            self.fresh.discard(topic.removeprefix(_TICKERS))

    def _exists(self, topic: str) -> bool:
        if topic.startswith(_TICKERS):
            return self._is_known(topic.removeprefix(_TICKERS))
        return topic.startswith(_OTHER_TOPICS)

    def _answer(self, request: dict[str, Any], *, told: str = "", refusal: str = "") -> Frame:
        named, op = request.get("req_id"), request.get("op")
        answer = {
            "success": not refusal,
            "ret_msg": refusal or told,
            "conn_id": self._id,
            "req_id": named if isinstance(named, str) else "",
            "op": op if isinstance(op, str) else "",
        }
        return Frame(msgspec.json.encode(answer))
