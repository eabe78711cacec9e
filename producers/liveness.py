"""Who delivers: data frames alone count, never acks. Pure: times are passed in (monotonic, s).

Not responsible for: what is done about silence (feed.py).
"""

from __future__ import annotations

from collections.abc import Iterable


class Liveness:
    """When each contract, and the feed as a whole, last delivered."""

    def __init__(self, stale_s: float) -> None:
        self._stale_s = stale_s
        self._expected: dict[str, float | None] = {}
        self.last_data_s: float | None = None

    def expect(self, symbols: Iterable[str]) -> None:
        """Set the contracts that should deliver; others are forgotten."""
        self._expected = {symbol: self._expected.get(symbol) for symbol in symbols}

    def data(self, symbols: Iterable[str | None], now_s: float) -> list[str]:
        """Note a data frame; return symbols in it that are not expected."""
        self.last_data_s = now_s
        unknown = []
        for symbol in symbols:
            if symbol in self._expected:
                self._expected[symbol] = now_s
            elif symbol is not None:
                unknown.append(symbol)
        return unknown

    @property
    def expected(self) -> int:
        """Contracts that should deliver."""
        return len(self._expected)

    def live(self, now_s: float) -> int:
        """Of them, those that delivered within the stale threshold."""
        oldest = now_s - self._stale_s
        return sum(1 for at in self._expected.values() if at is not None and at >= oldest)

    def silent_for_s(self, now_s: float) -> float | None:
        """Seconds since the last data frame; None: there was none yet."""
        return None if self.last_data_s is None else now_s - self.last_data_s
