"""Rate limits in the exchange's own units, as sliding windows. Pure: times are passed in.

Not responsible for: waiting, HTTP (rest.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from producers.exchanges.spec import Exchange, RateLimit

_WHOLE = 1.0


class RateLimiter:
    """Draws on the pools of one host, shared by all who call it from here."""

    def __init__(self, limits: Mapping[str, RateLimit]) -> None:
        self._limits = limits
        self._drawn: dict[str, deque[tuple[float, int]]] = {name: deque() for name in limits}
        self._blocked_until_s = 0.0

    def wait_s(self, costs: Mapping[str, int], now_s: float, share: float = _WHOLE) -> float:
        """Return how long a call has to wait until no window holds more than `share` of its limit.

        0: it may go now.
        """
        waits = [max(0.0, self._blocked_until_s - now_s)]
        for pool, cost in costs.items():
            limit = self._limits[pool]
            allowed = max(cost, int(limit.limit * share))
            drawn = self._current(pool, now_s)
            excess = sum(units for _, units in drawn) + cost - allowed
            for at, units in drawn:
                if excess <= 0:
                    break
                excess -= units
                waits.append(at + limit.window_s - now_s)
        return max(waits)

    def draw(self, costs: Mapping[str, int], now_s: float) -> None:
        """Note a call."""
        for pool, cost in costs.items():
            self._drawn[pool].append((now_s, cost))

    def observe(self, used: Mapping[str, int], now_s: float) -> None:
        """Take over what the exchange says is used, where it is more than we drew.

        Others may share our address, and a restart forgets what was drawn before.
        """
        for pool, units in used.items():
            missing = units - sum(drawn for _, drawn in self._current(pool, now_s))
            if missing > 0:
                self._drawn[pool].append((now_s, missing))

    def block(self, until_s: float) -> None:
        """Make no call before `until_s`: the exchange refused one."""
        self._blocked_until_s = max(self._blocked_until_s, until_s)

    def _current(self, pool: str, now_s: float) -> deque[tuple[float, int]]:
        """Return what was drawn from a pool within its window; older draws are forgotten."""
        drawn = self._drawn[pool]
        while drawn and drawn[0][0] <= now_s - self._limits[pool].window_s:
            drawn.popleft()
        return drawn


def rate_limiters(exchanges: Iterable[Exchange], factor: float) -> Mapping[str, RateLimiter]:
    """Return one budget for each limits group: what its exchanges name, times `factor`.

    Two exchanges of a group that name a pool mean the same pool.
    """
    pools: dict[str, dict[str, RateLimit]] = {}
    for exchange in exchanges:
        group = pools.setdefault(exchange.limits_group, {})
        for name, limit in exchange.limits.items():
            group[name] = RateLimit(int(limit.limit * factor), limit.window_s)
    return {name: RateLimiter(limits) for name, limits in pools.items()}
