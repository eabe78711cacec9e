"""Simulated KuCoin and COIN-M over real sockets: what clients get is what the truth says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from infra.simulator.exchange import SocketRules
from infra.simulator.kucoin import classic as kucoin_classic
from infra.simulator.options import SimulatorOptions
from tests.support.simulator_clients import serving

OPTIONS = SimulatorOptions(seed=7, tick_ms=50, own={"kucoin_push_s": 0.2})
SUBSCRIBE_ALL = '{"id":"1","action":"SUBSCRIBE","channel":"funding-fee-all-symbols"}'
INSTRUMENTS = (
    '{"id":1,"type":"subscribe","topic":"/contract/instrument:XBTUSDTM,ETHUSDTM","response":true}'
)


def simulator(data_dir: Path, feed: str, contracts: int = 12) -> AbstractAsyncContextManager[str]:
    """The URL of a simulator of one feed, on a free port."""
    return serving(data_dir, [feed], OPTIONS, contracts)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[ClientConnection]:
    """A websockets client."""
    ws_url = "ws" + url.removeprefix("http").removeprefix("ws")
    async with websockets.connect(ws_url, max_size=None, ping_interval=None) as ws:
        yield ws


async def next_json(ws: ClientConnection, *, binary: bool = False) -> Any:
    """The next frame, decoded, of the expected kind."""
    async with asyncio.timeout(5):
        frame = await ws.recv()
    assert isinstance(frame, bytes) is binary
    return json.loads(frame)


async def to_the_end(ws: ClientConnection) -> int | None:
    """Read until the connection is closed; the close code."""
    async with asyncio.timeout(5):
        with contextlib.suppress(websockets.ConnectionClosedError):
            async for _ in ws:
                pass
    return ws.close_code


async def classic_url(url: str) -> str:
    """Where a new token leads."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/kucoin/api/v1/bullet-public") as reply,
    ):
        document = json.loads(await reply.read())["data"]
    return f"{document['instanceServers'][0]['endpoint']}?token={document['token']}&connectId=c7"


def truth_of(data_dir: Path, feed: str) -> dict[tuple[str, int], float]:
    """The recorded updates; fails on a repeated one."""
    path = data_dir / "truth" / f"{feed}.ndjson"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = {(row["contract_id"], row["event_time"]): row["rate"] for row in rows}
    assert len(found) == len(rows)
    return found


async def test_both_kucoin_sockets_are_in_the_truth(tmp_path: Path) -> None:
    """Each update of either socket, with the event time that its frame says, and nothing else."""
    received: dict[tuple[str, int], float] = {}
    enough = asyncio.Event()

    def take(key: tuple[str, int], rate: float) -> None:
        received[key] = rate
        if len(received) >= 48 and len({at for _, at in received}) >= 8:
            enough.set()

    async def read_uta(ws: ClientConnection) -> None:
        async for frame in ws:
            document = json.loads(frame)
            for row in document.get("d", ()):
                take((f"kucoin:{row['s']}", document["P"] // 1_000), float(row["fr"]))

    async def read_classic(ws: ClientConnection) -> None:
        async for frame in ws:
            document = json.loads(frame)
            row = document.get("data", {})
            if document.get("subject") == "funding.rate" and row["granularity"] == 60_000:
                key = f"kucoin:{document['topic'].split(':')[1]}", row["timestamp"] * 1_000
                take(key, row["fundingRate"])

    async with (
        simulator(tmp_path, "kucoin") as url,
        client(f"{url}/kucoin") as uta,
        client(await classic_url(url)) as classic,
        aiohttp.ClientSession() as session,
    ):
        assert (await next_json(uta, binary=True))["message"] == "welcome"
        assert await next_json(classic) == {"id": "c7", "type": "welcome"}
        readers = [asyncio.create_task(read_uta(uta)), asyncio.create_task(read_classic(classic))]
        await uta.send(SUBSCRIBE_ALL)
        await classic.send(INSTRUMENTS)
        async with asyncio.timeout(10):
            await enough.wait()
        await session.post(f"{url}/control/close", json={})
        await asyncio.gather(*readers)
    assert truth_of(tmp_path, "kucoin") == received


async def test_a_spent_token_is_refused_and_a_ping_flood_dropped(tmp_path: Path) -> None:
    """An error and the end; and no farewell for two pings at once."""
    async with simulator(tmp_path, "kucoin") as url:
        classic = await classic_url(url)
        async with client(classic) as ws:
            await next_json(ws)
        async with client(classic) as ws:
            assert (await next_json(ws))["code"] == 401
            assert await to_the_end(ws) == 1000
        async with client(f"{url}/kucoin/") as ws:
            await next_json(ws, binary=True)
            for _ in range(2):
                await ws.send('{"id":"1","type":"ping"}')
            assert await to_the_end(ws) == 1006


async def test_only_json_pings_keep_a_classic_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that streams and protocol PINGs do not count."""
    silence_s = 0.5
    monkeypatch.setattr(kucoin_classic, "RULES", SocketRules(silence_s=silence_s))
    async with simulator(tmp_path, "kucoin") as url, client(await classic_url(url)) as ws:
        await next_json(ws)
        until_s = time.monotonic() + 2 * silence_s
        while time.monotonic() < until_s:
            await ws.send('{"id":"1","type":"ping"}')
            assert (await next_json(ws))["type"] == "pong"
        await ws.send(INSTRUMENTS)
        pings = data = 0
        with contextlib.suppress(websockets.ConnectionClosed):
            async with asyncio.timeout(5):
                while True:
                    await ws.ping()
                    pings, data = pings + 1, data + len(await ws.recv())
        assert pings > 1
        assert data > 0
        assert ws.close_code == 1006


async def test_300_messages_in_ten_seconds(tmp_path: Path) -> None:
    """The 301st ends the connection; every one before it is answered."""
    async with simulator(tmp_path, "kucoin", 2) as url, client(f"{url}/kucoin") as ws:
        await next_json(ws, binary=True)
        for _ in range(301):
            await ws.send('{"id":"1"}')
        answers = [await next_json(ws, binary=True) for _ in range(300)]
        assert {answer["result"] for answer in answers} == {False}
        assert await to_the_end(ws) == 1008


async def test_coinm_over_a_socket(tmp_path: Path) -> None:
    """The combined path of docs/exchanges/binance-coinm.md §1: frames, truth, REST, listing and
    delisting.
    """
    received: dict[tuple[str, int], float] = {}
    async with simulator(tmp_path, "binance-coinm", 4) as url:
        path = "stream?streams=btcusd_perp@markPrice@1s/ethusd@markPrice@1s"
        async with client(f"{url}/binance-coinm/{path}") as ws, aiohttp.ClientSession() as session:
            while len(received) < 8:
                data = (await next_json(ws))["data"]
                for row in data if isinstance(data, list) else [data]:
                    if row["r"]:
                        key = f"binance-coinm:{row['s']}", row["E"] * 1_000
                        received[key] = float(row["r"])
            reply = await session.post(f"{url}/control/list", json={"feed": "binance-coinm"})
            symbol = (await reply.json())["symbol"]
            await ws.send(
                json.dumps({"method": "SUBSCRIBE", "params": [f"{symbol.lower()}@markPrice@1s"],
                            "id": 1})
            )  # fmt: skip
            async with asyncio.timeout(5):
                while symbol.lower() not in json.loads(await ws.recv()).get("stream", ""):
                    pass
            gone = await session.post(
                f"{url}/control/delist", json={"feed": "binance-coinm", "symbol": symbol}
            )
            assert await gone.json() == {"symbol": symbol}
            index = await session.get(f"{url}/binance-coinm/dapi/v1/premiumIndex")
            assert symbol in {row["symbol"] for row in await index.json()}
    truth = truth_of(tmp_path, "binance-coinm")
    assert {key: truth[key] for key in received} == received


@pytest.mark.parametrize(
    "body",
    [{}, {"feed": "nosuch"}, {"feed": "kucoin", "symbol": 7}, {"feed": "kucoin", "symbol": "X"}],
)
async def test_bad_listing_requests(tmp_path: Path, body: dict[str, Any]) -> None:
    """400 with a reason, also when nothing is left to list."""
    async with simulator(tmp_path, "kucoin", 2) as url, aiohttp.ClientSession() as session:
        for action in ("list", "delist"):
            reply = await session.post(f"{url}/control/{action}", json=body)
            assert (reply.status, bool((await reply.json())["error"])) == (400, True)
        statuses = [
            (await session.post(f"{url}/control/list", json={"feed": "kucoin"})).status
            for _ in range(3)
        ]
        assert statuses == [200, 200, 400]
