"""Clients that are not ours get from simulated Hyperliquid and Backpack what the truth says.

hyperliquid-python-sdk (the exchange's own) and ccxt.pro; each test is skipped without its client.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import queue
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.simulator.backpack.exchange import Backpack, BackpackOptions
from infra.simulator.exchange import Exchange
from infra.simulator.hyperliquid.exchange import Hyperliquid, HyperliquidOptions
from infra.simulator.hyperliquid.frames import rate_text
from infra.simulator.market.truth import TruthLog
from infra.simulator.server.server import SimulatorServer

pytestmark = pytest.mark.integration


@asynccontextmanager
async def serving(exchange: Exchange, data_dir: Path) -> AsyncIterator[str]:
    """Host one exchange; yields host, port and feed."""
    with TruthLog(data_dir, seed=7) as truth:
        server = SimulatorServer([exchange], truth, port=0)
        await server.start()
        try:
            yield f"127.0.0.1:{server.port}/{exchange.name}"
        finally:
            await server.stop()


def hyperliquid() -> Hyperliquid:
    """An exchange of 60 contracts that starts now."""
    options = HyperliquidOptions(contracts=60, tick_ms=250, all_mids_ms=500)
    return Hyperliquid(7, options, time.time_ns() // 1_000_000)


def movers(exchange: Hyperliquid) -> list[str]:
    """Coins of two dexs, first those whose rate is not at rest: they can be wrong."""
    snapshot = exchange.market.snapshot(time.time_ns() // 1_000_000)
    live = [row for row in exchange.listings.rows() if not exchange.contracts[row].frozen]
    coins = {
        exchange.contracts[row].symbol: rate_text(
            exchange.contracts[row].symbol, int(snapshot.rate_units[row])
        )
        for row in live
    }
    moving = sorted(coins, key=lambda coin: coins[coin] in {"0.0000125", "0.00000625"})
    main = [coin for coin in moving if ":" not in coin]
    return [*main[:3], next(coin for coin in moving if coin.startswith("xyz:"))]


def truth_of(data_dir: Path, name: str) -> dict[str, list[float]]:
    """The rates of each contract in their order: updates of a feed, or `settlements`."""
    found: dict[str, list[float]] = {}
    text = (data_dir / "truth" / f"{name}.ndjson").read_text(encoding="utf-8")
    for row in map(json.loads, text.splitlines()):
        found.setdefault(row["contract_id"], []).append(row["rate"])
    return found


async def test_the_exchanges_own_sdk(tmp_path: Path) -> None:
    """Streamed rates in the truth's order, contexts by REST, settled history, and mid prices."""
    sdk = pytest.importorskip("hyperliquid.info")
    exchange = hyperliquid()
    coins = movers(exchange)
    frames: queue.Queue[Any] = queue.Queue()

    mids: queue.Queue[Any] = queue.Queue()

    def talk(host: str) -> tuple[dict[str, list[float]], Any, Any, Any]:
        info = sdk.Info(f"http://{host}", perp_dexs=["", "xyz"])
        try:
            for coin in coins:
                info.subscribe({"type": "activeAssetCtx", "coin": coin}, frames.put)
            info.subscribe({"type": "allMids"}, mids.put)
            pushed = mids.get(timeout=20)["data"]["mids"]
            assert set(coins[:3]) <= pushed.keys() == info.all_mids().keys()
            received: dict[str, list[float]] = {}
            while min((len(rates) for rates in received.values()), default=0) < 4 or len(
                received
            ) < len(coins):
                data = frames.get(timeout=20)["data"]
                rates = received.setdefault(f"hyperliquid:{data['coin']}", [])
                rates.append(float(data["ctx"]["funding"]))
            shown = info.meta_and_asset_ctxs()
            history = info.funding_history(coins[0], 0)
            return received, shown, history, info.meta(dex="xyz")
        finally:
            info.disconnect_websocket()

    async with serving(exchange, tmp_path) as host:
        received, (meta, contexts), history, xyz = await asyncio.to_thread(talk, host)
    truth = truth_of(tmp_path, "hyperliquid")
    assert {key: truth[key][: len(rates)] for key, rates in received.items()} == received
    named = zip(meta["universe"], contexts, strict=True)
    shown = {f"hyperliquid:{asset['name']}": float(ctx["funding"]) for asset, ctx in named}
    assert all(shown[f"hyperliquid:{coin}"] in truth[f"hyperliquid:{coin}"] for coin in coins[:3])
    assert coins[3] in {asset["name"] for asset in xyz["universe"]}
    settled = truth_of(tmp_path, "settlements")[f"hyperliquid:{coins[0]}"]
    assert [float(row["fundingRate"]) for row in history] == settled[:500]


async def test_ccxt_hyperliquid(tmp_path: Path) -> None:
    """watch_ticker, fetch_funding_rates and the history, on the main dex and on xyz."""
    ccxt = pytest.importorskip("ccxt.pro")
    exchange = hyperliquid()
    coins = movers(exchange)
    received: dict[str, list[float]] = {}
    async with serving(exchange, tmp_path) as host:
        client = ccxt.hyperliquid({"enableRateLimit": False})
        api = {"public": f"http://{host}", "private": f"http://{host}"}
        client.urls["api"] = {**api, "ws": {"public": f"ws://{host}/ws"}}
        try:
            async with asyncio.timeout(60):
                markets = await client.load_markets()
                names = {m["baseName"]: m["symbol"] for m in markets.values() if m["swap"]}
                for coin, _ in itertools.product(coins, range(3)):
                    ticker = await client.watch_ticker(names[coin])
                    rates = received.setdefault(f"hyperliquid:{coin}", [])
                    rates.append(float(ticker["info"]["funding"]))
                main = await client.fetch_funding_rates([names[coin] for coin in coins[:3]])
                stock = await client.fetch_funding_rates([names[coins[3]]])
                history = await client.fetch_funding_rate_history(names[coins[0]], limit=5)
        finally:
            await client.close()
    truth = truth_of(tmp_path, "hyperliquid")
    settled = truth_of(tmp_path, "settlements")
    for coin in coins:
        key = f"hyperliquid:{coin}"
        shown = {**main, **stock}[names[coin]]["fundingRate"]
        assert {shown, *received[key]} <= set(truth[key])
    rates = [row["fundingRate"] for row in history]
    assert len(rates) == 5
    assert set(rates) <= set(settled[f"hyperliquid:{coins[0]}"])


async def test_ccxt_backpack(tmp_path: Path) -> None:
    """It has no stream of rates: the estimate by REST equals the streamed one, then the history."""
    ccxt = pytest.importorskip("ccxt.pro")
    websockets = pytest.importorskip("websockets")
    options = BackpackOptions(contracts=30, tick_ms=1_000)
    exchange = Backpack(7, options, time.time_ns() // 1_000_000)
    async with serving(exchange, tmp_path) as host:
        client = ccxt.backpack({"enableRateLimit": False})
        client.urls["api"] = {"public": f"http://{host}", "private": f"http://{host}"}
        try:
            async with asyncio.timeout(60), websockets.connect(f"ws://{host}") as ws:
                markets = await client.load_markets()
                symbols = [m["symbol"] for m in markets.values() if m["swap"] and m["active"]][:4]
                ids = [client.market(symbol)["id"] for symbol in symbols]
                names = [f"markPrice.{market_id}" for market_id in ids]
                await ws.send(json.dumps({"method": "SUBSCRIBE", "params": names}))
                for _ in names:
                    await ws.recv()
                shown = [await client.fetch_funding_rate(symbol) for symbol in symbols]
                # What REST has shown is on the socket by the next tick at the latest.
                for _ in names:
                    await ws.recv()
                history = await client.fetch_funding_rate_history(symbols[1], limit=1_000)
        finally:
            await client.close()
    truth = truth_of(tmp_path, "backpack")
    for market_id, row in zip(ids, shown, strict=True):
        assert row["fundingRate"] in truth[f"backpack:{market_id}"]
    settled = truth_of(tmp_path, "settlements")[f"backpack:{ids[1]}"]
    rates = [row["fundingRate"] for row in history][:-1]
    assert len(rates) >= 720
    assert rates == settled[: len(rates)]
