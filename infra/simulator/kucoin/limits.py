"""KuCoin's REST limit (docs/exchanges/kucoin.md §5): 2000 weight in 30 s an address."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

_WINDOW_MS = 30_000
_MAX_CLIENTS = 1_024


@dataclass(slots=True)
class _Usage:
    until_ms: int
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left to a client. `reset_ms` is a countdown."""

    limit: int
    remaining: int
    reset_ms: int
    refused: bool

    def headers(self) -> dict[str, str]:
        """The headers of a reply."""
        return {
            "gw-ratelimit-limit": str(self.limit),
            "gw-ratelimit-remaining": str(self.remaining),
            "gw-ratelimit-reset": str(self.reset_ms),
        }


class KucoinLimits:
    """Counts per client address; the least recently seen of more than 1,024 are forgotten."""

    def __init__(self, weight_per_30_s: int = 2_000) -> None:
        self._limit = weight_per_30_s
        self._clients: OrderedDict[str, _Usage] = OrderedDict()

    def charge(self, client_ip: str, weight: int, now_ms: int) -> Quota:
        """Book one request; a refused one costs nothing."""
        usage = self._clients.setdefault(client_ip, _Usage(now_ms + _WINDOW_MS))
        self._clients.move_to_end(client_ip)
        if len(self._clients) > _MAX_CLIENTS:
            self._clients.popitem(last=False)
        if now_ms >= usage.until_ms:
            usage.until_ms, usage.weight = now_ms + _WINDOW_MS, 0
        refused = usage.weight + weight > self._limit
        if not refused:
            usage.weight += weight
        return Quota(self._limit, self._limit - usage.weight, usage.until_ms - now_ms, refused)
