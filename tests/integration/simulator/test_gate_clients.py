"""Clients that are not ours get from simulated Gate what is true (docs/exchanges/gate.md).

ccxt has the socket and REST, Gate's own SDK REST alone; each test is skipped without its client.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.ccxt_client import client, symbol_of
from tests.support.simulated_feed import CONTRACTS, simulator

pytestmark = pytest.mark.integration


async def test_ccxt(tmp_path: Path) -> None:
    """The list, streamed rates, current rates with their intervals, settled rates."""
    async with simulator(tmp_path, "gate") as simulated:
        rest = f"{simulated.url}/api/v4"
        urls = {
            "public": {"futures": rest, "spot": rest},
            "swap": {"usdt": f"{simulated.ws_url}/v4/ws/usdt"},
        }
        async with client("gate", urls) as one, asyncio.timeout(30):
            one.options["fetchMarkets"] = {"types": ["swap"]}
            one.options["swap"] = {"fetchMarkets": {"settlementCurrencies": ["usdt"]}}
            markets = await one.load_markets()
            swaps = sorted(m["symbol"] for m in markets.values() if m["swap"] and m["active"])
            listed = {symbol_of(one, unified) for unified in swaps}
            busy = next(unified for unified in swaps if symbol_of(one, unified) == "BTC_USDT")
            # Contracts that are quiet are pushed rarely; one socket carries them all.
            watched = asyncio.ensure_future(one.watch_tickers(swaps))
            while "BTC_USDT" not in {symbol_of(one, unified) for unified in one.tickers}:
                await one.watch_ticker(busy)
            streamed = {
                symbol_of(one, unified): float(ticker["info"]["funding_rate"])
                for unified, ticker in one.tickers.items()
            }
            rates = await one.fetch_funding_rates(swaps)
            history = await one.fetch_funding_rate_history(busy, limit=1_000)
            watched.cancel()
    updates, settled = simulated.updates(), simulated.settlements()
    trading = settled.keys() & listed
    assert len(trading) == CONTRACTS
    assert set(streamed.items()) <= updates
    current = {symbol_of(one, unified): rate for unified, rate in rates.items()}
    assert all(rate["interval"] in {"1h", "4h", "8h"} for rate in current.values())
    for name in trading:
        assert current[name]["fundingTimestamp"] > settled[name][-1][0]
    # The newest 90, with stamps that are up to 3 s late.
    got = [(row["timestamp"] // 10_000 * 10_000, row["fundingRate"]) for row in history]
    assert got == settled["BTC_USDT"][-90:]


async def test_gate_api(tmp_path: Path) -> None:
    """The exchange's own SDK, whose models hold each row to its documentation."""
    sdk: Any = pytest.importorskip("gate_api")

    def ask(base_url: str) -> tuple[list[Any], list[Any], Any]:
        futures = sdk.FuturesApi(sdk.ApiClient(sdk.Configuration(host=f"{base_url}/api/v4")))
        with pytest.raises(sdk.exceptions.GateApiException) as refused:
            futures.list_futures_funding_rate_history("usdt", "NOSUCH_USDT")
        return (
            futures.list_futures_contracts("usdt"),
            futures.list_futures_funding_rate_history("usdt", "BTC_USDT", limit=100),
            refused.value.label,
        )

    async with simulator(tmp_path, "gate") as simulated:
        listed, history, label = await asyncio.to_thread(ask, simulated.url)
    settled = simulated.settlements()
    (bitcoin,) = [contract for contract in listed if contract.name == "BTC_USDT"]
    assert bitcoin.funding_interval in {3_600, 14_400, 28_800}
    assert bitcoin.funding_next_apply * 1_000 > settled["BTC_USDT"][-1][0]
    got = [(row.t // 10 * 10_000, float(row.r)) for row in history[::-1]]
    assert got == settled["BTC_USDT"][-90:]
    assert label == "CONTRACT_NOT_FOUND"
