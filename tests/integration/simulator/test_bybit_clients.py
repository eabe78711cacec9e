"""Two clients of Bybit that are not ours get from the simulator what is true: ccxt and pybit.

Each test is skipped without its client.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.simulated_feed import CONTRACTS, Simulated, simulator

pytestmark = pytest.mark.integration

TIMEOUT_S = 30
LINEAR, INVERSE = "BTCUSDT", "BTCUSD"


def ccxt_client(simulated: Simulated) -> Any:
    """The client that ccxt has, pointed at the simulator."""
    ccxt = pytest.importorskip("ccxt.pro")
    client = ccxt.bybit({"enableRateLimit": False})
    sockets = {
        family: f"{simulated.ws_url}/v5/public/{family}"
        for family in ("spot", "option", "linear", "inverse")
    }
    client.urls["api"] = {
        **dict.fromkeys(client.urls["api"], simulated.url),
        "ws": {**client.urls["api"]["ws"], "public": sockets},
    }
    client.has["fetchCurrencies"] = False
    return client


async def test_ccxt(tmp_path: Path) -> None:
    """Perpetuals of both families, rates completed from changes, current and settled ones."""
    async with simulator(tmp_path, "bybit") as simulated:
        client = ccxt_client(simulated)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                markets = await client.load_markets()
                swaps = [m for m in markets.values() if m["swap"] and m["active"]]
                linear = [m["symbol"] for m in swaps if m["linear"]]
                inverse = [m["symbol"] for m in swaps if m["inverse"]]
                streamed: dict[str, Any] = {}
                for _ in range(30):
                    for family in (linear, inverse):
                        for ticker in (await client.watch_tickers(family)).values():
                            streamed.setdefault(ticker["info"]["symbol"], set()).add(
                                float(ticker["info"]["fundingRate"])
                            )
                rates = await client.fetch_funding_rates(linear)
                history = await client.fetch_funding_rate_history("BTC/USD:BTC", limit=150)
                # What REST has shown is on the socket by the next turn of each contract.
                for _ in range(30):
                    await client.watch_tickers(linear)
        finally:
            await client.close()
    updates, settled = simulated.updates(), simulated.settlements()
    assert len(swaps) == CONTRACTS
    assert {m["id"] for m in swaps} == settled.keys()
    assert {m["id"] for m in swaps if m["inverse"]} == {INVERSE}
    assert {(symbol, rate) for symbol, found in streamed.items() for rate in found} <= updates
    current = {(rate["info"]["symbol"], rate["fundingRate"]) for rate in rates.values()}
    assert len(current) == len(linear)
    assert {symbol for symbol, _ in current} <= settled.keys()
    assert [(row["timestamp"], row["fundingRate"]) for row in history] == settled[INVERSE][-150:]


def streaming_client(simulated: Simulated, family: str) -> Any:
    """The SDK's socket, which connects when it is made; it has no setting for the address."""
    sdk: Any = pytest.importorskip("pybit.unified_trading")
    base: Any = sdk.WebSocket

    class Client(base):  # type: ignore[misc]
        # It notes a request after it has sent it: an answer from the same machine comes sooner.
        noting = threading.Lock()

        def _connect(self, _url: str) -> None:
            super()._connect(f"{simulated.ws_url}/v5/public/{family}")

        def subscribe(self, *args: Any, **more: Any) -> None:
            with self.noting:
                super().subscribe(*args, **more)

        def _handle_incoming_message(self, message: Any) -> None:
            with self.noting:
                super()._handle_incoming_message(message)

    return Client(channel_type=family, testnet=False, restart_on_error=False)


def resting_client(simulated: Simulated) -> Any:
    """The SDK's REST client."""
    sdk: Any = pytest.importorskip("pybit.unified_trading")
    client = sdk.HTTP(testnet=False)
    client.endpoint = simulated.url
    return client


@pytest.mark.parametrize(("family", "symbol"), [("linear", LINEAR), ("inverse", INVERSE)])
async def test_pybit(tmp_path: Path, family: str, symbol: str) -> None:
    """Rows that the SDK completes itself, the list, tickers and settled rates."""
    rows: queue.Queue[Any] = queue.Queue()

    def talk(simulated: Simulated) -> tuple[list[Any], Any, Any, Any]:
        rest = resting_client(simulated)
        socket = streaming_client(simulated, family)
        try:
            socket.ticker_stream(symbol=symbol, callback=rows.put)
            streamed = [dict(rows.get(timeout=TIMEOUT_S)["data"]) for _ in range(12)]
            tickers = rest.get_tickers(category=family, symbol=symbol)
            listed = rest.get_instruments_info(category=family, limit=1000)
            history = rest.get_funding_rate_history(category=family, symbol=symbol, limit=200)
            return streamed, tickers, listed, history
        finally:
            socket.exit()

    async with simulator(tmp_path, "bybit") as simulated:
        streamed, tickers, listed, history = await asyncio.to_thread(talk, simulated)
    updates, settled = simulated.updates(), simulated.settlements()[symbol]
    assert {(row["symbol"], float(row["fundingRate"])) for row in streamed} <= updates
    assert tickers["result"]["list"][0]["symbol"] == symbol
    (entry,) = [row for row in listed["result"]["list"] if row["symbol"] == symbol]
    interval_ms = entry["fundingInterval"] * 60_000
    assert settled[-1][0] - settled[-2][0] == interval_ms
    found = [
        (int(row["fundingRateTimestamp"]), float(row["fundingRate"]))
        for row in history["result"]["list"]
    ]
    assert found == settled[::-1][:200]


async def test_pybit_is_told_of_an_unknown_symbol(tmp_path: Path) -> None:
    """As an error of a request that came with HTTP 200."""
    errors: Any = pytest.importorskip("pybit.exceptions")

    def ask(simulated: Simulated) -> None:
        client = resting_client(simulated)
        with pytest.raises(errors.InvalidRequestError, match="10001"):
            client.get_tickers(category="linear", symbol="NOSUCHUSDT")

    async with simulator(tmp_path, "bybit") as simulated:
        await asyncio.to_thread(ask, simulated)
