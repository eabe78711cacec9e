"""MEXC's REST limits (docs/exchanges/mexc.md §4): 20 requests in 2 s for each endpoint and address,
of the list of contracts one in 5 s.
"""

from __future__ import annotations

from collections import OrderedDict, deque

DETAIL = "detail"
_MAX_CLIENTS = 1_024


class MexcLimits:
    """Counts per client address; the least recently seen of more than 1,024 are forgotten."""

    def __init__(self, per_2_s: int = 20, lists_per_5_s: int = 1) -> None:
        self._limits = {True: (lists_per_5_s, 5_000), False: (per_2_s, 2_000)}
        self._calls: OrderedDict[tuple[str, str], deque[int]] = OrderedDict()

    def charge(self, client_ip: str, endpoint: str, now_ms: int) -> bool:
        """Book one request; False when it is one too many, which costs nothing."""
        limit, window_ms = self._limits[endpoint == DETAIL]
        calls = self._calls.setdefault((client_ip, endpoint), deque())
        self._calls.move_to_end((client_ip, endpoint))
        if len(self._calls) > _MAX_CLIENTS:
            self._calls.popitem(last=False)
        while calls and calls[0] <= now_ms - window_ms:
            calls.popleft()
        if len(calls) >= limit:
            return False
        calls.append(now_ms)
        return True
