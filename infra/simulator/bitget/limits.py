"""Bitget's REST limits (docs/exchanges/bitget.md §4): 20 requests a second an address and endpoint,
and 6,000 a minute an address over all.
"""

from __future__ import annotations

from collections import OrderedDict

from infra.simulator.market.minute_budget import MinuteBudget

_MAX_CLIENTS = 1_024


class BitgetLimits:
    """Counts per client address; the least recently seen of more than 1,024 are forgotten."""

    def __init__(self, per_second: int = 20, per_minute: int = 6_000) -> None:
        self._per_second = per_second
        self._minute = MinuteBudget(per_minute)
        self._used: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def charge(self, client_ip: str, endpoint: str, now_ms: int) -> int | None:
        """Book one request; return how many more this second allows, None: it is refused."""
        second, key = now_ms // 1_000, (client_ip, endpoint)
        known, used = self._used.get(key, (second, 0))
        used = used + 1 if known == second else 1
        self._used[key] = second, used
        self._used.move_to_end(key)
        if len(self._used) > _MAX_CLIENTS:
            self._used.popitem(last=False)
        if not self._minute.charge(client_ip, 1, now_ms) or used > self._per_second:
            return None
        return self._per_second - used
