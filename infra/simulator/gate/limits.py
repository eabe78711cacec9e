"""Gate's limits (docs/exchanges/gate.md §9): so many requests of an endpoint in 10 s an address."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

WINDOW_MS = 10_000
_MAX_COUNTED = 4_096


class Charge(NamedTuple):
    """What became of a request."""

    passes: bool
    headers: Mapping[str, str]


class EndpointLimits:
    """Counts by address and endpoint; of more than 4,096 the oldest are forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def charge(self, client: str, endpoint: str, now_ms: int) -> Charge:
        """Book one request."""
        window, key = now_ms // WINDOW_MS, (client, endpoint)
        known, used = self._used.pop(key, (window, 0))
        used = used + 1 if known == window else 1
        self._used[key] = window, used
        if len(self._used) > _MAX_COUNTED:
            self._used.popitem(last=False)
        headers = {
            "X-Gate-RateLimit-Limit": str(self._limit),
            "X-Gate-RateLimit-Requests-Remain": str(max(0, self._limit - used)),
            "X-Gate-RateLimit-Reset-Timestamp": str((window + 1) * WINDOW_MS // 1_000),
        }
        return Charge(used <= self._limit, headers)
