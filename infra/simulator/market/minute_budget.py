"""A budget per client and minute: what several exchanges limit REST weights and messages with."""

from __future__ import annotations

from collections import OrderedDict

_MINUTE_MS = 60_000
_MAX_CLIENTS = 1_024


class MinuteBudget:
    """Counts per client in minutes of the clock; of more than 1,024 the oldest are forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def charge(self, client: str, amount: int, now_ms: int) -> bool:
        """Book an amount; False when the client has now used more than the limit."""
        minute = now_ms // _MINUTE_MS
        known, used = self._used.get(client, (minute, 0))
        used = used + amount if known == minute else amount
        self._used[client] = minute, used
        self._used.move_to_end(client)
        if len(self._used) > _MAX_CLIENTS:
            self._used.popitem(last=False)
        return used <= self._limit


def seconds_left(now_ms: int) -> int:
    """Whole seconds until the budgets are new."""
    return -(-(_MINUTE_MS - now_ms % _MINUTE_MS) // 1_000)
