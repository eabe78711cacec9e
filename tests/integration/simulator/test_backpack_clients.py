"""Two clients of Backpack that are not ours get from the simulator what is true.

backpack-exchange-sdk has the socket and REST, bpx-py REST alone; each test is skipped without its
client. ccxt's is in test_hyperliquid_clients.py.
"""

from __future__ import annotations

import asyncio
import json
import queue
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests.support.simulated_feed import Simulated, simulator

pytestmark = pytest.mark.integration

SYMBOLS = ("BTC_USDC_PERP", "ETH_USDC_PERP")
TIMEOUT_S = 20


def assert_history(rows: list[dict[str, Any]], settled: list[tuple[int, float]]) -> None:
    """Newest first; the first row is the interval that is still running."""
    assert len(rows) >= 90
    assert [float(row["fundingRate"]) for row in rows[1:]] == [
        rate for _, rate in settled[::-1][: len(rows) - 1]
    ]


def streaming_client(url: str) -> Any:
    """The SDK's client, which connects when it is made; it has no setting for the address."""
    sdk: Any = pytest.importorskip("backpack_exchange_sdk.websocket")
    base: Any = sdk.WebSocketClient

    class Client(base):  # type: ignore[misc]
        base_url = property(lambda _self: url, lambda _self, _value: None)
        ended = False

        def _connect(self) -> None:
            # It would connect anew, for ever, once it is closed.
            if not self.ended:
                super()._connect()

    return Client()


async def test_backpack_exchange_sdk(tmp_path: Path) -> None:
    """Streamed, current and settled rates, intervals, and the words for an unknown symbol."""
    public = pytest.importorskip("backpack_exchange_sdk.public")
    errors = pytest.importorskip("backpack_exchange_sdk._base.errors")
    frames: queue.Queue[Any] = queue.Queue()

    def talk(simulated: Simulated) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        rest = public.PublicClient(base_url=f"{simulated.url}/")
        socket = streaming_client(simulated.ws_url)
        try:
            socket.subscribe([f"markPrice.{symbol}" for symbol in SYMBOLS], frames.put)
            streamed = [frames.get(timeout=TIMEOUT_S) for _ in range(4)]
            shown = [row for symbol in SYMBOLS for row in rest.get_mark_price(symbol)]
            history = rest.get_funding_interval_rates(SYMBOLS[0], limit=1_000)
            with pytest.raises(errors.BackpackInvalidRequestError, match="Symbol not found"):
                rest.get_mark_price("NOSUCH_USDC_PERP")
            # What REST has shown is on the socket by the next tick.
            for _ in range(2 * len(SYMBOLS)):
                frames.get(timeout=TIMEOUT_S)
            return streamed, shown, history, rest.get_markets()
        finally:
            socket.ended = True
            socket.close()

    async with simulator(tmp_path, "backpack") as simulated:
        streamed, shown, history, markets = await asyncio.to_thread(talk, simulated)
    updates = simulated.updates()
    assert {row["s"] for row in streamed} == set(SYMBOLS)
    assert {(row["s"], float(row["f"])) for row in streamed} <= updates
    assert {(row["symbol"], float(row["fundingRate"])) for row in shown} <= updates
    intervals_ms = {m["symbol"]: m["fundingInterval"] for m in markets}
    assert all(
        row["n"] % intervals_ms[row["s"]]
        == 0
        < row["n"] - row["E"] // 1_000
        <= intervals_ms[row["s"]]
        for row in streamed
    )
    assert_history(history, simulated.settlements()[SYMBOLS[0]])


async def test_bpx_py(tmp_path: Path) -> None:
    """It has no socket: the current rates of all markets equal the streamed ones, then history."""
    bpx: Any = pytest.importorskip("bpx.public")
    base: Any = bpx.Public
    async with (
        simulator(tmp_path, "backpack") as simulated,
        websockets.connect(simulated.ws_url) as socket,
        asyncio.timeout(TIMEOUT_S),
    ):

        class Public(base):  # type: ignore[misc]
            # The address is the class's; there is no setting for it.
            BASE_URL = f"{simulated.url}/"

        client = Public()
        markets = await asyncio.to_thread(client.get_markets)
        trading = {m["symbol"] for m in markets if m["orderBookState"] == "Open"}
        names = [f"markPrice.{symbol}" for symbol in SYMBOLS]
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": names}))
        for _ in names:
            await socket.recv()
        # Its one coroutine blocks all the same: it has a loop of its own here.
        shown = await asyncio.to_thread(lambda: asyncio.run(client.get_all_mark_prices()))
        for _ in range(2 * len(names)):
            await socket.recv()
        history = await asyncio.to_thread(client.get_funding_interval_rates, SYMBOLS[0], 1_000)
    updates, settled = simulated.updates(), simulated.settlements()
    rates = {row["symbol"]: float(row["fundingRate"]) for row in shown}
    assert {(symbol, rates[symbol]) for symbol in SYMBOLS} <= updates
    assert rates.keys() & trading == settled.keys()
    assert_history(history, settled[SYMBOLS[0]])
