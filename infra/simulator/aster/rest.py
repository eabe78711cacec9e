"""REST of simulated Aster, where it differs from Binance USD-M's (docs/exchanges/aster.md §9).

The same calls stand below `/fapi/v3/` and `/fapi/v1/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.simulator.aster import universe
from infra.simulator.binance.frames import premium_rows
from infra.simulator.binance.rest import BinanceRest
from infra.simulator.market.market import Ints, Snapshot
from infra.simulator.market.terms import Terms
from infra.simulator.market.universe import UNITS_PER_ONE, Contract

_TICKER = "ticker/24hr"
_TICKER_WEIGHT = 40


class AsterRest(BinanceRest):
    """Answers calls from the newest tick and the settled history."""

    prefixes = ("/fapi/v3/", "/fapi/v1/")
    pooled = frozenset()
    latest_rows = 1_000
    latest_by_default = 100

    def _weight(self, name: str, query: Mapping[str, str]) -> int:
        return _TICKER_WEIGHT if name == _TICKER and "symbol" not in query else 1

    def _premium_texts(self, snapshot: Snapshot, event_ms: Sequence[int]) -> list[bytes]:
        return premium_rows(
            self._contracts, snapshot, event_ms, dead=self._dead(), interest=universe.interest
        )

    def _settled_rows(self, positions: Ints) -> bytes:
        return self._plain_settled_rows(positions)

    def _funding_row(self, contract: Contract, terms: Terms, now_ms: int) -> dict[str, object]:
        """Caps are JSON numbers under names of their own (§9c)."""
        return {
            "symbol": contract.symbol,
            "interestRate": universe.interest(contract),
            "time": now_ms,
            "fundingIntervalHours": terms.interval_hours,
            "fundingFeeCap": terms.cap_units / UNITS_PER_ONE,
            "fundingFeeFloor": -terms.cap_units / UNITS_PER_ONE,
        }
