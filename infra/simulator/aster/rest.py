"""REST of simulated Aster, where it differs from Binance USD-M's (docs/exchanges/aster.md §9).

The same calls stand below `/fapi/v3/` and `/fapi/v1/`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from infra.simulator.aster import universe
from infra.simulator.binance.frames import premium_rows
from infra.simulator.binance.rest import BinanceRest
from infra.simulator.exchange import RestCall
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.market import Ints, Snapshot
from infra.simulator.market.terms import Terms
from infra.simulator.market.universe import UNITS_PER_ONE, Contract

_TICKER = "ticker/24hr"
_TICKER_WEIGHT = 40
_DAY_MS = 86_400_000


class AsterRest(BinanceRest):
    """Answers calls from the newest tick and the settled history."""

    prefixes = ("/fapi/v3/", "/fapi/v1/")
    pooled = frozenset()
    latest_rows = 1_000
    latest_by_default = 100

    def _handlers(self) -> Mapping[str, Callable[[RestCall], bytes]]:
        return {**super()._handlers(), _TICKER: self._tickers}

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

    def _tickers(self, call: RestCall) -> bytes:
        row = self._row(call.query)
        if row is not None:
            return _json(self._ticker(row, call.now_ms))
        return _json([self._ticker(row, call.now_ms) for row in self._rows.values()])

    def _ticker(self, row: int, now_ms: int) -> dict[str, object]:
        """What was traded in 24 h; prices are constant here: nobody of ours reads them."""
        contract = self._contracts[row]
        traded = liquidity(universe.FEED, contract.symbol, now_ms).turnover_24h
        price = f"{contract.price_usd:.8f}"
        return {
            "symbol": contract.symbol,
            "priceChange": "0.00000000",
            "priceChangePercent": "0.000",
            "weightedAvgPrice": price,
            "lastPrice": price,
            "lastQty": "1",
            "openPrice": price,
            "highPrice": price,
            "lowPrice": price,
            "volume": f"{traded / contract.price_usd:.3f}",
            "quoteVolume": f"{traded:.2f}",
            "openTime": now_ms - _DAY_MS,
            "closeTime": now_ms,
            "firstId": 1,
            "lastId": 2,
            "count": 2,
        }


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
