"""Two clients of dYdX that are not ours get from the simulator what is true.

ccxt asks for markets and settled rates over REST, and its socket does not know the channel of the
markets; dydx-v4-client, the exchange's own, does. Each test is skipped without its client.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.simulated_feed import CONTRACTS, simulator

pytestmark = pytest.mark.integration

SYMBOL = "BTC/USDC:USDC"
TIMEOUT_S = 20


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


async def test_dydx_s_own_client(tmp_path: Path) -> None:
    """Its socket, which asks for batches: whole rows, then changes, all in the truth."""
    sdk: Any = pytest.importorskip("dydx_v4_client.indexer.socket.websocket")
    told: queue.Queue[Any] = queue.Queue()

    def talk(url: str) -> list[Any]:
        socket = sdk.IndexerSocket(url, on_message=lambda _socket, message: told.put(message))
        thread = threading.Thread(target=socket.run_forever, daemon=True)
        thread.start()
        try:
            received = [told.get(timeout=TIMEOUT_S)]
            socket.markets.subscribe()
            received += [told.get(timeout=TIMEOUT_S) for _ in range(40)]
        finally:
            socket.close()
            thread.join(TIMEOUT_S)
        return received

    async with simulator(tmp_path, "dydx") as simulated:
        received = await asyncio.to_thread(talk, f"{simulated.ws_url}/v4/ws")
        updates = simulated.updates()
    greeting, snapshot, *changes = received
    assert greeting["type"] == "connected"
    assert [message["message_id"] for message in received] == list(range(len(received)))
    rates = {
        ticker: row["nextFundingRate"]
        for ticker, row in snapshot["contents"]["markets"].items()
        if row["status"] == "ACTIVE" and row["oraclePrice"] is not None
    }
    assert len(rates) == CONTRACTS
    assert {message["type"] for message in changes} == {"channel_batch_data"}
    for message in changes:
        for part in message["contents"]:
            for ticker, row in part.get("trading", {}).items():
                rates[ticker] = row.get("nextFundingRate", rates[ticker])
    assert {(ticker, float(rate)) for ticker, rate in rates.items()} <= updates
