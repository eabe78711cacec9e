"""Rows of ticker/24hr of simulated Binance: what was traded in the last 24 hours.

USD-M has a quote volume. COIN-M counts contracts and coins instead, and names the pair
(docs/exchanges/binance-usdm.md §9e, binance-coinm.md §6e).
"""

from __future__ import annotations

import json

from infra.simulator.binance.universe import pair
from infra.simulator.market.history import DAY_MS
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.universe import Contract

_CONTRACT_USD = 100
_IDS = 10**9


def usdm_ticker(feed: str, contract: Contract, now_ms: int) -> dict[str, object]:
    """Return the row of a USD-M contract."""
    turnover = liquidity(feed, contract.symbol, now_ms).turnover_24h
    return {
        "symbol": contract.symbol,
        **_prices(contract),
        "volume": f"{turnover / contract.price_usd:.3f}",
        "quoteVolume": f"{turnover:.8f}",
        **_span(now_ms),
    }


def coinm_ticker(feed: str, contract: Contract, now_ms: int) -> dict[str, object]:
    """Return the row of a COIN-M contract."""
    turnover = liquidity(feed, contract.symbol, now_ms).turnover_24h
    return {
        "symbol": contract.symbol,
        "pair": pair(contract),
        **_prices(contract),
        "volume": f"{turnover / _CONTRACT_USD:.0f}",
        "baseVolume": f"{turnover / contract.price_usd:.8f}",
        **_span(now_ms),
    }


def array(rows: list[dict[str, object]]) -> bytes:
    """Return rows as the body of a reply."""
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()


def _prices(contract: Contract) -> dict[str, object]:
    price = f"{contract.price_usd:.8f}"
    moved = {"priceChange": "0.00000000", "priceChangePercent": "0.000"}
    names = ("weightedAvgPrice", "lastPrice", "openPrice", "highPrice", "lowPrice")
    return {**moved, **dict.fromkeys(names, price), "lastQty": "1.000"}


def _span(now_ms: int) -> dict[str, object]:
    times = {"openTime": now_ms - DAY_MS, "closeTime": now_ms}
    return {**times, "firstId": _IDS, "lastId": _IDS + 9_999, "count": 10_000}
