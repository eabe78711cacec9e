"""ccxt gets from simulated WhiteBIT what is true: markets and current rates over REST.

Its socket client knows neither the channel of the rates nor the present address; each test is
skipped without ccxt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import websockets

from tests.support.simulated_feed import CONTRACTS, simulator

pytestmark = pytest.mark.integration

SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT")


def redirected(urls: Any, to: str) -> Any:
    """The same addresses below another host."""
    if isinstance(urls, dict):
        return {name: redirected(url, to) for name, url in urls.items()}
    return urls.replace("https://whitebit.com", to) if isinstance(urls, str) else urls


async def test_ccxt(tmp_path: Path) -> None:
    """Perpetuals are told from spot markets; rates and funding times are those that are pushed."""
    ccxt = pytest.importorskip("ccxt.async_support")
    client = ccxt.whitebit()
    async with simulator(tmp_path, "whitebit") as simulated:
        client.urls["api"] = redirected(client.urls["api"], simulated.url)
        client.session = None
        try:
            markets = await client.load_markets()
            swaps = {symbol: market for symbol, market in markets.items() if market["swap"]}
            async with websockets.connect(f"{simulated.ws_url}/ws") as socket:
                await socket.send('{"id":1,"method":"premiumIndex_subscribe","params":[]}')
                await socket.recv()
                await socket.recv()
                rates = await client.fetch_funding_rates(list(SYMBOLS))
                for _ in range(3):
                    await socket.recv()
        finally:
            await client.close()
        updates = simulated.updates()
    assert len(swaps) == CONTRACTS
    assert all(market["linear"] and market["settle"] == "USDT" for market in swaps.values())
    assert {symbol.partition("_")[0] for symbol, _ in updates} == {
        market["base"] for market in swaps.values()
    }
    assert set(rates) == set(SYMBOLS)
    for symbol, rate in rates.items():
        assert (swaps[symbol]["id"], rate["fundingRate"]) in updates
        assert rate["fundingTimestamp"] % (4 * 3_600_000) == 0
