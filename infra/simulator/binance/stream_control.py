"""Binance's stream control messages: a pure reply machine that both feeds share.

It answers SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY and GET_PROPERTY with their acks
and the documented errors (docs/exchanges/binance-usdm.md §2, binance-coinm.md §3). Unknown stream
names are acked like any other. A request's id may be a number or a text, as clients send both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from infra.simulator.exchange import Close, Frame

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_MAX_ID = 2**64
_MAX_ID_LENGTH = 36
"""A UUID with its hyphens; the exchange documents this length for its other streams."""


class ControlError(Exception):
    """An entry of the error catalogue."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamControl:
    """The subscriptions of one connection and the answers to its control frames."""

    def __init__(
        self,
        streams: Sequence[str],
        *,
        combined: bool,
        max_streams: int,
        needs_id: bool = True,
    ) -> None:
        """`needs_id`: a request without an id is refused; else it is answered with null for it."""
        self.streams: dict[str, None] = dict.fromkeys(streams)
        self.combined = combined
        self._max_streams = max_streams
        self._needs_id = needs_id

    def on_text(self, text: str) -> Sequence[Frame | Close]:
        """Answer one control frame and apply it."""
        request_id: int | str | None = None
        try:
            request = _object(text)
            if self._needs_id or "id" in request:
                request_id = _request_id(request)
            result = self._apply(request)
        except ControlError as error:
            reply: dict[str, object] = {"error": {"code": error.code, "msg": str(error)}}
            if request_id is not None:
                reply["id"] = request_id
            return (Frame(_json(reply)),)
        if len(self.streams) > self._max_streams:
            return (Close(1008, "Too many streams"),)
        return (Frame(_json({"result": result, "id": request_id})),)

    def _apply(self, request: dict[str, Any]) -> object:
        method, params = request.get("method"), request.get("params")
        if method is None:
            raise ControlError(2, "Invalid request: missing field `method`")
        if method not in _METHODS:
            expected = ", ".join(f"`{name}`" for name in _METHODS)
            message = f"Invalid request: unknown variant `{method}`, expected one of {expected}"
            raise ControlError(2, message)
        if method == "LIST_SUBSCRIPTIONS":
            return list(self.streams)
        if not isinstance(params, list):
            raise ControlError(2, "Invalid request: params must be an array")
        if method in {"SUBSCRIBE", "UNSUBSCRIBE"}:
            self._change(method, params)
            return None
        return self._property(method, params)

    def _change(self, method: str, names: list[object]) -> None:
        if not all(isinstance(name, str) for name in names):
            raise ControlError(2, "Invalid request: stream name must be a string")
        for name in names:
            if method == "SUBSCRIBE":
                self.streams[str(name)] = None
            else:
                self.streams.pop(str(name), None)

    def _property(self, method: str, params: list[object]) -> object:
        if not params or not isinstance(params[0], str):
            raise ControlError(2, "Invalid request: property name must be a string")
        if params[0] != "combined":
            raise ControlError(0, "Unknown property")
        if method == "GET_PROPERTY":
            return self.combined
        if len(params) != 2:
            raise ControlError(2, "Invalid request: property must have a value")
        if not isinstance(params[1], bool):
            raise ControlError(1, "Invalid value type: expected Boolean")
        self.combined = params[1]
        return None


def _object(text: str) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        raise ControlError(3, "Invalid JSON: expected value at line 1 column 1") from None
    if not isinstance(request, dict):
        raise ControlError(2, "Invalid request: request must be an object")
    return request


def _request_id(request: dict[str, Any]) -> int | str:
    request_id = request.get("id")
    if isinstance(request_id, str) and 0 < len(request_id) <= _MAX_ID_LENGTH:
        return request_id
    if type(request_id) is not int or not 0 <= request_id < _MAX_ID:
        raise ControlError(2, "Invalid request: request ID must be an unsigned integer")
    return request_id


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
