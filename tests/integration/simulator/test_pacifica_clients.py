"""A client that is not ours reads simulated Pacifica: ccxt must get the truth."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from infra.simulator.pacifica.universe import SPOTS
from tests.support.ccxt_client import client
from tests.support.simulated_feed import CONTRACTS, simulator

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000


async def test_ccxt(tmp_path: Path) -> None:
    """Streamed, current and settled rates. What ccxt calls the rate is the last settled one."""
    async with simulator(tmp_path, "pacifica") as simulated:
        urls = {
            **dict.fromkeys(("public", "private"), simulated.url),
            "ws": {"public": f"{simulated.ws_url}/ws"},
        }
        async with client("pacifica", urls) as one, asyncio.timeout(30):
            markets = await one.load_markets()
            # Older editions of ccxt take spot markets for perpetuals.
            swaps = [m["symbol"] for m in markets.values() if m["id"] not in SPOTS]
            assert len(swaps) == CONTRACTS
            assert {m["id"] for m in markets.values()} >= SPOTS.keys()
            while len(set(swaps) & set(one.tickers)) < CONTRACTS:
                await one.watch_tickers(swaps)
            streamed = [one.tickers[symbol]["info"] for symbol in swaps]
            rates = await one.fetch_funding_rates(swaps)
            history = await one.fetch_funding_rate_history(swaps[0], limit=500)
            # What REST showed is on the socket by the next step.
            await one.watch_tickers(swaps)
            await one.watch_tickers(swaps)
            symbol = one.market(swaps[0])["id"]
    updates, settled = simulated.updates(), simulated.settlements()
    assert {row["symbol"] for row in streamed} == settled.keys()
    for row in streamed:
        assert (row["symbol"], float(row["next_funding"])) in updates
        assert float(row["funding"]) == settled[row["symbol"]][-1][1]
    assert {(rate["info"]["symbol"], rate["nextFundingRate"]) for rate in rates.values()} <= updates
    for rate in rates.values():
        assert rate["fundingRate"] == settled[rate["info"]["symbol"]][-1][1]
    # A row is written up to a second after its hour.
    got = [(row["timestamp"] // HOUR_MS * HOUR_MS, row["fundingRate"]) for row in history]
    assert got == settled[symbol][-500:]
