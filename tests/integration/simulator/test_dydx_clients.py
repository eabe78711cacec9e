"""ccxt gets from simulated dYdX what is true: markets and settled rates over REST.

Its socket client does not know the channel of the markets. Skipped without ccxt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.simulated_feed import CONTRACTS, simulator

pytestmark = pytest.mark.integration

SYMBOL = "BTC/USDC:USDC"


def redirected(urls: Any, to: str) -> Any:
    """The same addresses below another host."""
    if isinstance(urls, dict):
        return {name: redirected(url, to) for name, url in urls.items()}
    if isinstance(urls, str):
        return urls.replace("https://indexer.dydx.trade/v4", f"{to}/v4")
    return urls


async def test_ccxt(tmp_path: Path) -> None:
    """Every market of the list, and the settlements of one, ascending."""
    ccxt = pytest.importorskip("ccxt.async_support")
    client = ccxt.dydx()
    async with simulator(tmp_path, "dydx") as simulated:
        client.urls["api"] = redirected(client.urls["api"], simulated.url)
        try:
            markets = await client.load_markets()
            history = await client.fetch_funding_rate_history(SYMBOL, limit=100)
        finally:
            await client.close()
        settled = simulated.settlements()["BTC-USD"]
    assert len(markets) >= CONTRACTS
    assert markets[SYMBOL]["id"] == "BTC-USD"
    assert len(history) == 100
    assert [(row["timestamp"] // 1_000 * 1_000, row["fundingRate"]) for row in history] == (
        settled[-100:]
    )
