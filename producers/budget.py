"""Rate limits in the exchange's own units, as sliding windows. Pure: times are passed in.

Not responsible for: waiting, HTTP (rest.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from producers.exchanges.description import RateLimit

_WHOLE = 1.0


class Budget:
    """Draws on the pools of one host, each at most `share` of its limit in any window."""

    def __init__(self, limits: Mapping[str, RateLimit], share: float = _WHOLE) -> None:
        self._limits = limits
        self._share = share
        self._drawn: dict[str, deque[tuple[float, int]]] = {name: deque() for name in limits}
        self._blocked_until_s = 0.0

    def wait_s(self, costs: Mapping[str, int], now_s: float) -> float:
        """Return how long a call of these costs has to wait; 0: it may go now."""
        waits = [max(0.0, self._blocked_until_s - now_s)]
        for pool, cost in costs.items():
            limit = self._limits[pool]
            allowed = max(cost, int(limit.limit * self._share))
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
