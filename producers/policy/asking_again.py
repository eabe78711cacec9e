"""When a socket asks the exchange again for whole rows that it lacks. Pure.

An exchange that never sends them must not be asked all the time, nor make each connection end.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.backoff import ceiling_s

AGAIN_S = 30.0
"""The least time between two requests for one contract; it doubles with each in vain."""
MAX_AGAIN_S = 3_600.0
"""The longest time; a request that is as long ago is forgotten."""
MAX_REMEMBERED = 10_000
"""Contracts that are remembered; for further ones nothing is asked until some are forgotten."""


class AskingAgain:
    """The requests of one socket, over all of its connections. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[float, int]] = {}
        """When each contract was asked for last, and how often before."""

    def due(self, symbols: Iterable[str], now_s: float) -> frozenset[str]:
        """Return the contracts that are to be asked for now, and note that they are."""
        return frozenset(symbol for symbol in symbols if self._is_due(symbol, now_s))

    def _is_due(self, symbol: str, now_s: float) -> bool:
        asked_s, times = self._asked.get(symbol, (float("-inf"), 0))
        passed_s = now_s - asked_s
        if passed_s < ceiling_s(max(0, times - 1), AGAIN_S, MAX_AGAIN_S):
            return False
        if passed_s > MAX_AGAIN_S:
            times = 0
            self._forget(now_s)
            if len(self._asked) >= MAX_REMEMBERED:
                return False
        self._asked[symbol] = (now_s, times + 1)
        return True

    def _forget(self, now_s: float) -> None:
        """Make room; only where there is little, since it looks at all."""
        if len(self._asked) >= MAX_REMEMBERED:
            self._asked = {
                symbol: entry
                for symbol, entry in self._asked.items()
                if now_s - entry[0] <= MAX_AGAIN_S
            }
