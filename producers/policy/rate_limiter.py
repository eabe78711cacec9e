"""Rate limits in the exchange's own units, as sliding windows. Pure: the caller waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from producers.exchanges.spec import Exchange, RateLimit

_WHOLE = 1.0


class RateLimiter:
    """Keeps the calls to one host within its limits, for all callers of this process.

    A pool is one of the host's limits, named in the exchange's description.
    """

    def __init__(self, limits: Mapping[str, RateLimit]) -> None:
        self._limits = limits
        self._drawn: dict[str, deque[tuple[float, int]]] = {name: deque() for name in limits}
        self._blocked_until_s = 0.0

    def wait_s(self, costs: Mapping[str, int], now_s: float, share: float = _WHOLE) -> float:
        """Return how long a call has to wait so that no window exceeds `share` of its limit.

        0: the call may be made now. `costs`: what it costs, by pool.
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
        """Note a call that is made now."""
        for pool, cost in costs.items():
            self._drawn[pool].append((now_s, cost))

    def observe(self, used: Mapping[str, int], now_s: float) -> None:
        """Take over what the exchange says is used, by pool, where it is more than we have noted.

        Other programs may share our address, and a restart forgets the calls made before it.
        """
        for pool, units in used.items():
            missing = units - sum(drawn for _, drawn in self._current(pool, now_s))
            if missing > 0:
                self._drawn[pool].append((now_s, missing))

    def used(self, now_s: float) -> float:
        """Return which share of its limit is used, of the pool that is fullest."""
        shares = [
            sum(units for _, units in self._current(name, now_s)) / limit.limit
            for name, limit in self._limits.items()
        ]
        return max(shares, default=0.0)

    def block(self, until_s: float) -> None:
        """Allow no call before `until_s`, because the exchange has refused one."""
        self._blocked_until_s = max(self._blocked_until_s, until_s)

    def _current(self, pool: str, now_s: float) -> deque[tuple[float, int]]:
        """Return (time, units) of the calls within a pool's window; forget older ones."""
        drawn = self._drawn[pool]
        while drawn and drawn[0][0] <= now_s - self._limits[pool].window_s:
            drawn.popleft()
        return drawn


def rate_limiters(exchanges: Iterable[Exchange], factor: float) -> Mapping[str, RateLimiter]:
    """Return one limiter for each limits group, with the limits of its exchanges times `factor`.

    If two exchanges of a group name the same pool, they share it.
    """
    pools: dict[str, dict[str, RateLimit]] = {}
    for exchange in exchanges:
        group = pools.setdefault(exchange.limits_group, {})
        for name, limit in exchange.limits.items():
            group[name] = RateLimit(int(limit.limit * factor), limit.window_s)
    return {name: RateLimiter(limits) for name, limits in pools.items()}
