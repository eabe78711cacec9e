"""Two clients of Lighter that are not ours get from the simulator what is true.

ccxt has the socket and REST, Lighter's own SDK REST alone; each test is skipped without its client.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from infra.simulator.lighter.universe import SPOTS
from tests.support.ccxt_client import client
from tests.support.simulated_feed import CONTRACTS, simulator

pytestmark = pytest.mark.integration

HOURS_8 = 8


async def test_ccxt(tmp_path: Path) -> None:
    """Streamed and current rates; ccxt passes on percent as the socket sends it."""
    async with simulator(tmp_path, "lighter") as simulated:
        urls = {
            **dict.fromkeys(("root", "public", "private"), simulated.url),
            "ws": f"{simulated.ws_url}/stream",
        }
        async with client("lighter", urls) as one, asyncio.timeout(30):
            markets = await one.load_markets()
            swaps = [m["symbol"] for m in markets.values() if m["swap"] and m["active"]]
            assert len(swaps) == CONTRACTS
            assert {m["id"] for m in markets.values() if m["spot"]} == set(map(str, SPOTS))
            while len(one.tickers) < CONTRACTS:
                await one.watch_tickers(swaps)
            streamed = {t["info"]["symbol"]: t["info"] for t in one.tickers.values()}
            rates = await one.fetch_funding_rates(swaps)
            # What REST showed is on the socket by the next step.
            await one.watch_tickers(swaps)
            await one.watch_tickers(swaps)
    updates, settled = simulated.updates(), simulated.settlements()
    assert len(streamed) == CONTRACTS
    for symbol, row in streamed.items():
        assert (symbol, float(f"{row['current_funding_rate']}e-2")) in updates
        at_ms, rate = settled[symbol][-1]
        assert 0 <= row["funding_timestamp"] - at_ms <= 1
        assert float(f"{row['funding_rate']}e-2") == rate
    current = {
        (rate["info"]["symbol"], round(float(rate["info"]["rate"]) / HOURS_8, 12))
        for rate in rates.values()
    }
    assert len(current) == CONTRACTS
    assert current <= updates


async def test_the_sdk_of_lighter(tmp_path: Path) -> None:
    """Its models are strict: the list has each of their fields. Settled rates are unsigned."""
    sdk: Any = pytest.importorskip("lighter")
    now_s = int(time.time())
    async with simulator(tmp_path, "lighter") as simulated:
        configuration = sdk.Configuration(host=simulated.url)
        async with sdk.ApiClient(configuration) as api, asyncio.timeout(30):
            listed = await sdk.OrderApi(api).order_book_details()
            perps = listed.order_book_details
            btc = next(perp for perp in perps if perp.symbol == "BTC")
            history = await sdk.CandlestickApi(api).fundings(
                btc.market_id, "1h", now_s - 100 * 3_600, now_s, 0
            )
    assert sum(perp.status == "active" for perp in perps) == CONTRACTS
    assert [spot.market_id for spot in listed.spot_order_book_details] == list(SPOTS)
    assert len(history.fundings) == 100
    signs = {"long": 1, "short": -1}
    got = [
        (row.timestamp * 1_000, signs[row.direction] * float(f"{row.rate}e-2"))
        for row in history.fundings
    ]
    assert got == simulated.settlements()["BTC"][-100:]
