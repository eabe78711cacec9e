"""ccxt gets from simulated Bitget what is true: tickers of both sockets, rates, settlements.

Its unified ticker has prices alone; the funding fields are in the row that it keeps beside them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.simulated_feed import CONTRACTS, Simulated, simulator

pytestmark = pytest.mark.integration

SYMBOLS = ("BTC/USDT:USDT", "BTC/USDC:USDC", "BTC/USD:BTC")
TIMEOUT_S = 20


def redirected(client: Any, simulated: Simulated) -> Any:
    """The client with our address in the place of the exchange's."""
    rest = client.urls["api"]
    client.urls["api"] = {name: simulated.url for name in rest if name != "ws"}
    client.urls["api"]["ws"] = {
        name: simulated.ws_url + url[url.index("/v") :]
        for name, url in rest["ws"].items()
    }  # fmt: skip
    client.options["fetchMarkets"] = {"types": ["swap"]}
    client.has["fetchCurrencies"] = False
    return client


async def test_ccxt(tmp_path: Path) -> None:
    """Three products, demos apart; v2 names the contract in the row, v3 in the frame."""
    ccxt = pytest.importorskip("ccxt.pro")
    async with simulator(tmp_path, "bitget") as simulated, asyncio.timeout(TIMEOUT_S):
        client = redirected(ccxt.bitget(), simulated)
        try:
            markets = await client.load_markets()
            v2 = {symbol: (await client.watch_ticker(symbol))["info"] for symbol in SYMBOLS}
            v3 = {s: (await client.watch_ticker(s, {"uta": True}))["info"] for s in SYMBOLS[:1]}
            method = {"method": "publicMixGetV2MixMarketCurrentFundRate"}
            rates = await client.fetch_funding_rates([SYMBOLS[0]], method)
            # What REST has shown is on the socket by the next frame.
            await client.watch_ticker(SYMBOLS[0])
            await client.watch_ticker(SYMBOLS[0])
            history = await client.fetch_funding_rate_history(SYMBOLS[0], limit=100)
            with pytest.raises(ccxt.ExchangeError, match="does not exist"):
                await client.publicMixGetV2MixMarketTickers({"productType": "SPOT"})
        finally:
            await client.close()
        updates, settled = simulated.updates(), simulated.settlements()
    ids = {symbol: markets[symbol]["id"] for symbol in SYMBOLS}
    assert list(ids.values()) == ["BTCUSDT", "BTCPERP", "BTCUSD"]
    swaps = {s for s, market in markets.items() if market["swap"] and market["quote"] != "SUSDT"}
    assert len(swaps) == CONTRACTS
    for symbol, row in v2.items():
        assert row["instId"] == ids[symbol]
        assert (ids[symbol], float(row["fundingRate"])) in updates
        assert int(row["nextFundingTime"]) > int(row["ts"])
    for symbol, row in v3.items():
        assert "instId" not in row
        assert (ids[symbol], float(row["fundingRate"])) in updates
    assert (ids[SYMBOLS[0]], rates[SYMBOLS[0]]["fundingRate"]) in updates
    assert [(row["timestamp"], row["fundingRate"]) for row in history] == settled["BTCUSDT"][-100:]
