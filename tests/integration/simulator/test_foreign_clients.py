"""A client that we did not write reads the simulated exchanges: ccxt must get the truth.

A misreading of the exchanges' documents that our producers and our simulator share
would show here.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from infra.simulator.registry import create_exchanges
from tests.support.ccxt_client import client, symbol_of
from tests.support.simulated_feed import CONTRACTS, OPTIONS, Simulated, simulator


@pytest.mark.parametrize(
    ("feed", "name", "api", "subtype"),
    [
        ("binance-usdm", "binanceusdm", "fapi", "linear"),
        ("binance-coinm", "binancecoinm", "dapi", "inverse"),
    ],
)
async def test_binance(tmp_path: Path, feed: str, name: str, api: str, subtype: str) -> None:
    """Streamed rates, current rates, settled rates: each as in the truth."""
    async with simulator(tmp_path, feed) as simulated:
        rest = f"{simulated.url}/{api}/v1"
        # ccxt itself puts /market before /ws, on USD-M alone.
        ws = {subtype: f"ws{simulated.url.removeprefix('http')}/ws"}
        urls = {f"{api}Public": rest, f"{api}PublicV2": rest, "ws": ws}
        async with client(name, urls) as one, asyncio.timeout(30):
            markets = await one.load_markets()
            swaps = sorted(m["symbol"] for m in markets.values() if m["swap"] and m["active"])
            assert len(swaps) == CONTRACTS
            while len(one.tickers) < CONTRACTS:
                await one.watch_mark_prices(swaps)
            streamed = {symbol_of(one, u): float(t["info"]["r"]) for u, t in one.tickers.items()}
            rates = await one.fetch_funding_rates()
            current = {symbol_of(one, u): rates[u] for u in swaps}
            symbol = symbol_of(one, swaps[0])
            history = await one.fetch_funding_rate_history(swaps[0], since=1, limit=1_000)
    updates = simulated.updates()
    assert set(streamed.items()) <= updates
    assert {(name, rate["fundingRate"]) for name, rate in current.items()} <= updates
    settled = simulated.settlements()
    assert current.keys() == streamed.keys() == settled.keys()
    for contract, rate in current.items():
        assert rate["fundingTimestamp"] > settled[contract][-1][0]
    # The stamps of settlements are up to 3 ms late.
    got = [(row["timestamp"] // 1_000 * 1_000, row["fundingRate"]) for row in history]
    assert len(got) >= 90
    assert got == settled[symbol]


async def test_kucoin(tmp_path: Path) -> None:
    """The UTA socket, UTA's and the classic current rates, settled rates."""
    async with simulator(tmp_path, "kucoin") as simulated:
        futures = f"ws{simulated.url.removeprefix('http')}/"
        kinds = ("public", "futuresPublic", "webExchange", "uta", "utaV2")
        urls = {**dict.fromkeys(kinds, simulated.url), "ws": {"futures": futures}}
        async with client("kucoinfutures", urls) as one, asyncio.timeout(30):
            markets = await one.load_markets()
            swaps = [m["symbol"] for m in markets.values() if m["swap"]]
            assert len(swaps) == CONTRACTS
            assert [m["id"] for m in markets.values() if m["future"]] == [
                c.symbol for c in _dated(simulated)
            ]

            async def watched() -> dict[str, Any]:
                found = await asyncio.gather(*map(one.watch_funding_rate, swaps))
                return {symbol_of(one, rate["symbol"]): rate for rate in found}

            streamed = await watched()
            rates = await one.fetch_funding_rates(swaps)
            single = await one.fetch_funding_rate(swaps[0])
            # What REST showed has been pushed when the next push is here.
            await watched()
            history = await one.fetch_funding_rate_history(swaps[0], since=1)
    updates, settled = simulated.updates(), simulated.settlements()
    assert len(streamed) == CONTRACTS
    for symbol, rate in streamed.items():
        assert (symbol, rate["fundingRate"]) in updates
        # What ccxt calls the funding timestamp of a push is the start of its interval.
        assert rate["fundingTimestamp"] == settled[symbol][-1][0]
    current = {rate["info"]["symbol"]: rate["fundingRate"] for rate in rates.values()}
    assert current.keys() == settled.keys()
    assert {*current.items(), ("XBTUSDTM", single["fundingRate"])} <= updates
    assert single["previousFundingTimestamp"] == settled["XBTUSDTM"][-1][0]
    # A page holds the newest 100.
    page = [(row["timestamp"], row["fundingRate"]) for row in history]
    assert len(page) == 100
    assert page == settled["XBTUSDTM"][-100:]


def _dated(simulated: Simulated) -> list[Any]:
    now_ms = time.time_ns() // 1_000_000
    (exchange,) = create_exchanges([simulated.feed], OPTIONS, CONTRACTS, now_ms)
    return [c for c in exchange.contracts if c.kind == "dated"]  # type: ignore[attr-defined]
