"""ccxt gets from simulated Aster what is true (docs/exchanges/aster.md)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.ccxt_client import client, symbol_of
from tests.support.simulated_feed import CONTRACTS, simulator

pytestmark = pytest.mark.integration


async def test_ccxt(tmp_path: Path) -> None:
    """The list, streamed rates, current rates with their intervals, settled rates."""

    async def no_spot(_params: object = None) -> dict[str, object]:
        return {"symbols": []}

    async with simulator(tmp_path, "aster") as simulated:
        fapi = f"{simulated.url}/fapi"
        urls = {"fapiPublic": fapi, "ws": {"public": {"swap": f"{simulated.ws_url}/stream"}}}
        async with client("aster", urls) as one, asyncio.timeout(30):
            # It lists the spot exchange at the same time, which is not simulated.
            one.sapiPublicGetV3ExchangeInfo = no_spot
            markets = await one.load_markets()
            swaps = sorted(m["symbol"] for m in markets.values() if m["swap"] and m["active"])
            assert len(swaps) == CONTRACTS
            while len(one.tickers) < CONTRACTS:
                await one.watch_mark_prices(swaps)
            streamed = {symbol_of(one, u): float(t["info"]["r"]) for u, t in one.tickers.items()}
            rates = await one.fetch_funding_rates(swaps)
            intervals = await one.fetch_funding_intervals(swaps)
            tickers = await one.fetch_tickers(swaps)
            history = await one.fetch_funding_rate_history(swaps[0], since=1, limit=1_000)
            first = symbol_of(one, swaps[0])
            current = {symbol_of(one, u): rates[u]["fundingRate"] for u in swaps}
            hours = {symbol_of(one, u): intervals[u]["interval"] for u in swaps}
    updates, settled = simulated.updates(), simulated.settlements()
    assert streamed.keys() == current.keys() == settled.keys() == hours.keys()
    assert {*streamed.items(), *current.items()} <= updates
    assert set(hours.values()) <= {"1h", "4h", "8h"}
    assert all(ticker["quoteVolume"] > 0 for ticker in tickers.values())
    # The stamps of settlements are up to 3 ms late.
    got = [(row["timestamp"] // 1_000 * 1_000, row["fundingRate"]) for row in history]
    assert len(got) >= 90
    assert got == settled[first]
