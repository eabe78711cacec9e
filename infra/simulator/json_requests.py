"""Reads what clients send to the sockets of simulated exchanges."""

from __future__ import annotations

from typing import Any

import msgspec


def object_in(text: str) -> dict[str, Any]:
    """Return the JSON object that a text is; an empty one if it is none."""
    try:
        request = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return request if isinstance(request, dict) else {}
