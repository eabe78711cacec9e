"""One connection to simulated Gate: its subscriptions and the answers to requests (§2 to §4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from infra.simulator.exchange import Close, Frame, SocketRules
from infra.simulator.gate.frames import CHANNEL, SYSTEM, compact

IDLE_S = 30.0
"""A socket without subscriptions is cut after this time."""
UPGRADE_NOTICE_S = 60
"""A connection is closed so long after an upgrade was announced on it (assumed, §3)."""
_BAD_REQUEST = 1, "request payload does not follow json schema"


class GateSession:
    """The state of a connection.

    Args:
        settle: the family of its path.
        is_known: whether any family has a contract of a name.
        rules: what holds while something is subscribed.
        upgrade_ms: an upgrade is announced on a connection of that age; 0 never.
    """

    def __init__(
        self,
        settle: str,
        is_known: Callable[[str], bool],
        rules: SocketRules,
        upgrade_ms: int = 0,
    ) -> None:
        self.settle = settle
        self.contracts: dict[str, None] = {}
        self._is_known = is_known
        self._subscribed_rules = rules
        self.rules = replace(rules, silence_s=IDLE_S)
        self._upgrade_ms = upgrade_ms
        self._announce_at_ms: int | None = None

    def opened(self) -> Sequence[Frame | Close]:
        """Gate greets nobody."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a request. One answer is for its whole payload (§2)."""
        request = _object(text)
        if request is None or type(request.get("time")) is not int:
            return (_answer(now_ms, request or {}, _BAD_REQUEST),)
        channel, event = request.get("channel"), request.get("event")
        if channel == "futures.ping":
            return (_pong(now_ms),)
        names = request.get("payload")
        if event not in {"subscribe", "unsubscribe"} or not isinstance(channel, str):
            return (_answer(now_ms, request, _BAD_REQUEST),)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return (_answer(now_ms, request, _BAD_REQUEST),)
        unknown = next((name for name in names if not self._is_known(name)), None)
        if unknown is not None:
            error = 2, f"unknown currency pair: {unknown}"
            return (_answer(now_ms, request, error),)
        if channel == CHANNEL:
            self._change(event, names)
        return (_answer(now_ms, request, None),)

    def announcement(self, now_ms: int) -> Frame | None:
        """Announce the upgrade once it is due; to be asked at each step of the exchange (§3)."""
        if not self._upgrade_ms:
            return None
        if self._announce_at_ms is None:
            self._announce_at_ms = now_ms + self._upgrade_ms
        if now_ms < self._announce_at_ms:
            return None
        self._upgrade_ms = 0
        result = {"type": "upgrade", "msg": "The connection will soon be closed for an upgrade"}
        body = {**_stamps(now_ms), "channel": SYSTEM, "event": "update", "result": result}
        return Frame(compact(body))

    def _change(self, event: str, names: Sequence[str]) -> None:
        for name in names:
            if event == "subscribe":
                self.contracts[name] = None
            else:
                self.contracts.pop(name, None)
        silence_s = 0.0 if self.contracts else IDLE_S
        self.rules = replace(self._subscribed_rules, silence_s=silence_s)

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """What becomes of binary frames is not documented: refused like unreadable text here."""
        del data
        return (_answer(now_ms, {}, _BAD_REQUEST),)

    def subscribed(self) -> Sequence[str]:
        """The contracts, of other families too."""
        return list(self.contracts)


def _object(text: str) -> dict[str, Any] | None:
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return request if isinstance(request, dict) else None


def _stamps(now_ms: int) -> dict[str, object]:
    return {"time": now_ms // 1_000, "time_ms": now_ms, "conn_id": "6b1e40c29d57f380"}


def _answer(now_ms: int, request: dict[str, Any], error: tuple[int, str] | None) -> Frame:
    """Repeat the request, with its id where it has one, and say what became of it."""
    body = _stamps(now_ms)
    if "id" in request:
        body["id"] = request["id"]
    body["channel"] = request.get("channel", "")
    body["event"] = request.get("event", "")
    if "payload" in request:
        body["payload"] = request["payload"]
    if error is not None:
        body["error"] = {"code": error[0], "message": error[1]}
    body["result"] = {"status": "success" if error is None else "fail"}
    return Frame(compact(body))


def _pong(now_ms: int) -> Frame:
    return Frame(
        compact({**_stamps(now_ms), "channel": "futures.pong", "event": "", "result": None})
    )
