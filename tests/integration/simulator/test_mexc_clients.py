"""ccxt gets from simulated MEXC what is true: pushed rates, current ones, settlements."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.simulated_feed import CONTRACTS, OPTIONS, Simulated, simulator

pytestmark = pytest.mark.integration

SYMBOLS = ("BTC/USDT:USDT", "BTC/USD:BTC")
TIMEOUT_S = 20


async def _nothing(_params: Any = None) -> list[Any]:
    return []


def redirected(client: Any, simulated: Simulated) -> Any:
    """The client with our address in the place of the exchange's; spot is not simulated."""
    client.urls["api"]["contract"]["public"] = f"{simulated.url}/api/v1/contract"
    client.urls["api"]["ws"]["swap"] = f"{simulated.ws_url}/edge"
    client.fetch_spot_markets = _nothing
    client.has["fetchCurrencies"] = False
    return client


async def test_ccxt(tmp_path: Path) -> None:
    """Linear and inverse contracts; an unknown one is refused with HTTP 200."""
    ccxt = pytest.importorskip("ccxt.pro")
    pushing = {"mexc_push_s": 0.05, "mexc_pushes": "all"}
    options = replace(OPTIONS, open_limits=True, own=pushing)
    async with (
        simulator(tmp_path, "mexc", options=options) as simulated,
        asyncio.timeout(TIMEOUT_S),
    ):
        client = redirected(ccxt.mexc(), simulated)
        try:
            markets = await client.load_markets()
            pushed = [await client.watch_funding_rate(s) for s in SYMBOLS for _ in range(3)]
            current = {symbol: await client.fetch_funding_rate(symbol) for symbol in SYMBOLS}
            # What REST has shown is on the socket by the next push.
            for symbol in SYMBOLS * 2:
                await client.watch_funding_rate(symbol)
            history = await client.fetch_funding_rate_history(SYMBOLS[0], limit=100)
            with pytest.raises(ccxt.BadSymbol, match="does not exist"):
                await client.contractPublicGetFundingRateSymbol({"symbol": "NOSUCH_USDT"})
        finally:
            await client.close()
        updates, settled = simulated.updates(), simulated.settlements()
    ids = {symbol: markets[symbol]["id"] for symbol in SYMBOLS}
    assert list(ids.values()) == ["BTC_USDT", "BTC_USD"]
    assert sum(market["swap"] for market in markets.values()) == CONTRACTS
    assert {rate["symbol"] for rate in pushed} == set(SYMBOLS)
    for rate in (*pushed, *current.values()):
        assert (ids[rate["symbol"]], rate["fundingRate"]) in updates
        assert rate["info"]["nextSettleTime"] % 3_600_000 == 0
    assert {rate["info"]["collectCycle"] for rate in current.values()} <= {1, 2, 4, 8, 24}
    assert [(row["timestamp"], row["fundingRate"]) for row in history] == settled["BTC_USDT"][-100:]
