"""Two clients of OKX that are not ours get from the simulator what is true: ccxt and python-okx.

Each test is skipped without its client.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.simulated_feed import CONTRACTS, Simulated, simulator

pytestmark = pytest.mark.integration

TIMEOUT_S = 30
SYMBOLS = ("BTC-USDT-SWAP", "ETH-USDT-SWAP", "BTC-USD-SWAP")
HOUR_MS = 3_600_000
LEFT_OUT = {"SPACEX-USDT-SWAP", "TEST-USDT-SWAP"}


def ccxt_client(simulated: Simulated) -> Any:
    """The client that ccxt has, pointed at the simulator."""
    ccxt = pytest.importorskip("ccxt.pro")
    client = ccxt.okx({"enableRateLimit": False, "options": {"fetchMarkets": {"types": ["swap"]}}})
    client.urls["api"] = {"rest": simulated.url, "ws": f"{simulated.ws_url}/ws/v5"}
    client.has["fetchCurrencies"] = False
    return client


async def test_ccxt(tmp_path: Path) -> None:
    """Swaps of each kind, streamed, current and settled rates, times and intervals."""
    async with simulator(tmp_path, "okx") as simulated:
        client = ccxt_client(simulated)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                markets = await client.load_markets()
                swaps = {m["id"]: m["symbol"] for m in markets.values() if m["swap"]}
                perpetuals = [swaps[symbol] for symbol in swaps if symbol not in LEFT_OUT]
                streamed: dict[str, set[float]] = {}
                for _ in range(3 * CONTRACTS):
                    for rate in (await client.watch_funding_rates(perpetuals)).values():
                        symbol = rate["info"]["instId"]
                        streamed.setdefault(symbol, set()).add(rate["fundingRate"])
                single = await client.fetch_funding_rate(swaps["BTC-USDT-SWAP"])
                history = await client.fetch_funding_rate_history(swaps["BTC-USDT-SWAP"], limit=100)
        finally:
            await client.close()
    updates, settled = simulated.updates(), simulated.settlements()
    assert swaps.keys() - LEFT_OUT == settled.keys()
    assert {"BTC-USD-SWAP", "BTC-USDC-SWAP"} <= swaps.keys()
    assert streamed.keys() == settled.keys()
    assert {(symbol, rate) for symbol, found in streamed.items() for rate in found} <= updates
    last_ms, before_ms = (at for at, _ in settled["BTC-USDT-SWAP"][:-3:-1])
    assert single["fundingTimestamp"] == last_ms + (last_ms - before_ms)
    assert single["interval"] == f"{(last_ms - before_ms) // HOUR_MS}h"
    page = [(row["timestamp"], row["fundingRate"]) for row in history]
    assert page == settled["BTC-USDT-SWAP"][-100:]


def rest_client(simulated: Simulated) -> Any:
    """The REST client of python-okx."""
    sdk: Any = pytest.importorskip("okx.PublicData")
    return sdk.PublicAPI(flag="0", domain=simulated.url, debug=False)


async def test_python_okx_rest(tmp_path: Path) -> None:
    """The list, current and settled rates, open interest, and the words for an unknown contract."""

    def talk(simulated: Simulated) -> list[Any]:
        client = rest_client(simulated)
        return [
            client.get_instruments("SWAP"),
            client.get_funding_rate("ANY"),
            client.funding_rate_history(SYMBOLS[0], limit="50"),
            client.get_open_interest("SWAP"),
            client.get_funding_rate("NOPE-USDT-SWAP"),
        ]

    async with simulator(tmp_path, "okx") as simulated:
        listed, rates, history, held, refused = await asyncio.to_thread(talk, simulated)
    settled = simulated.settlements()
    swaps = {row["instId"] for row in listed["data"] if row["ruleType"] == "normal"}
    assert swaps - LEFT_OUT == settled.keys()
    current = {row["instId"] for row in rates["data"] if row["instType"] == "SWAP"}
    assert settled.keys() <= current
    rows = [(int(row["fundingTime"]), float(row["realizedRate"])) for row in history["data"]]
    assert rows == settled[SYMBOLS[0]][::-1][:50]
    assert {row["instId"] for row in held["data"]} == current
    assert refused["code"] == "51001"


async def test_python_okx_socket(tmp_path: Path) -> None:
    """Each contract has an answer and rates; an unknown one is refused beside the others."""
    sdk: Any = pytest.importorskip("okx.websocket.WsPublicAsync")
    heard: asyncio.Queue[Any] = asyncio.Queue()
    args = [{"channel": "funding-rate", "instId": symbol} for symbol in (*SYMBOLS, "NOPE")]
    async with simulator(tmp_path, "okx") as simulated:
        client = sdk.WsPublicAsync(url=f"{simulated.ws_url}/ws/v5/public")
        # It opens no socket without TLS of its own accord.
        client.factory.connect = lambda: _connected(client.factory)
        task = await client.start()
        answers: list[Any] = []
        rates: dict[str, float] = {}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await client.subscribe(args, lambda text: heard.put_nowait(json.loads(text)))
                while len(rates) < len(SYMBOLS):
                    message = await heard.get()
                    if "data" in message:
                        (row,) = message["data"]
                        rates[row["instId"]] = float(row["fundingRate"])
                    else:
                        answers.append(message)
        finally:
            await client.stop()
            task.cancel()
    assert set(rates.items()) <= simulated.updates()
    acked = {answer["arg"]["instId"] for answer in answers if answer["event"] == "subscribe"}
    assert acked == set(SYMBOLS)
    assert [answer["code"] for answer in answers if answer["event"] == "error"] == ["60018"]


async def _connected(factory: Any) -> Any:
    """Connect as the SDK does, without TLS."""
    websockets = pytest.importorskip("websockets")
    factory.websocket = await websockets.connect(factory.url)
    return factory.websocket
