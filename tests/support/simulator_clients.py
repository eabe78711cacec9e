"""A simulator of one feed, and clients that know how to ask each feed for everything.

Responsible for: what the tests of faults have in common. Written from docs/exchanges, and not with
our parsers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import websockets
from websockets.asyncio.client import ClientConnection

from infra.simulator.exchange import Exchange
from infra.simulator.faults.schedule import Entry
from infra.simulator.market.truth import TruthLog
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import create_exchanges
from infra.simulator.server.server import SimulatorServer
from tests.support.waiting import eventually

CLIENTS = (
    "binance-usdm", "binance-coinm", "kucoin", "kucoin-classic", "hyperliquid", "backpack",
)  # fmt: skip
FEEDS = tuple(client for client in CLIENTS if client != "kucoin-classic")
CURRENT = {
    "binance-usdm": "/fapi/v1/premiumIndex",
    "binance-coinm": "/dapi/v1/premiumIndex",
    "kucoin": "/api/ua/v2/market/funding-rate",
    "hyperliquid": '/info {"type":"metaAndAssetCtxs"}',
    "backpack": "/api/v1/markPrices",
}
"""The call for current rates; what follows a space is posted."""
OPTIONS = SimulatorOptions(seed=7, tick_ms=25, own={"kucoin_push_s": 0.025}, open_limits=True)


@dataclass
class Simulated:
    """A running simulator of one feed."""

    server: SimulatorServer
    exchange: Exchange
    http: aiohttp.ClientSession
    data_dir: Path

    @property
    def url(self) -> str:
        """Where the feed is."""
        return f"http://127.0.0.1:{self.server.port}/{self.exchange.name}"

    @property
    def symbols(self) -> list[str]:
        """The contracts that stream."""
        contracts = self.exchange.market.contracts
        return [
            contracts[row].symbol
            for row in self.exchange.listings.rows()
            if contracts[row].kind in {"crypto", "tradfi"} and not contracts[row].frozen
        ]

    async def control(self, action: str, **body: Any) -> Any:
        """Ask fault control, which must agree."""
        status, reply = await self.asked(action, body)
        assert status == 200, reply
        return reply

    async def asked(self, action: str, body: Any) -> tuple[int, Any]:
        """Ask fault control; status and reply."""
        url = f"http://127.0.0.1:{self.server.port}/control/{action}"
        async with self.http.post(url, json=body) as reply:
            return reply.status, await reply.json()

    async def rest(self, call: str = "") -> tuple[int, str, dict[str, str]]:
        """Call the exchange (for current rates); status, body, headers."""
        path, _, body = (call or CURRENT[self.exchange.name]).partition(" ")
        headers = {"Content-Type": "application/json"} if body else {}
        method = "POST" if body else "GET"
        async with self.http.request(
            method, self.url + path, data=body or None, headers=headers
        ) as reply:
            return (
                reply.status,
                await reply.text(),
                {k.lower(): v for k, v in reply.headers.items()},
            )

    async def ticks(self, count: int) -> None:
        """Wait for so many more whole ticks."""
        name = f"ticks:{self.exchange.name}"
        wanted = self.server.counts[name] + count
        await eventually(lambda: self.server.counts[name] >= wanted)

    def truth(self, name: str) -> list[dict[str, Any]]:
        """The records of a truth file; none without the file."""
        self.server._truth.flush()
        path = self.data_dir / "truth" / f"{name}.ndjson"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@asynccontextmanager
async def serving(
    data_dir: Path, feeds: Sequence[str], options: SimulatorOptions, contracts: int
) -> AsyncIterator[str]:
    """The URL of a simulator of some feeds, on a free port."""
    with TruthLog(data_dir, options.seed) as truth:
        exchanges = create_exchanges(feeds, options, contracts, time.time_ns() // 1_000_000)
        server = SimulatorServer(exchanges, truth, port=0, housekeeping_s=0.02)
        await server.start()
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            await server.stop()


@asynccontextmanager
async def simulated(
    data_dir: Path,
    client: str,
    contracts: int = 5,
    *,
    shift_ms: int = 0,
    faults: Sequence[Entry] = (),
    truth_missed: bool = False,
) -> AsyncIterator[Simulated]:
    """The simulator that a client is for, on a free port; its clock runs shift_ms ahead."""

    def wall_ns() -> int:
        return time.time_ns() + shift_ms * 1_000_000

    feed = client.removesuffix("-classic")
    with TruthLog(data_dir, OPTIONS.seed) as truth:
        (exchange,) = create_exchanges([feed], OPTIONS, contracts, wall_ns() // 1_000_000)
        server = SimulatorServer(
            [exchange], truth, port=0, wall_ns=wall_ns, housekeeping_s=0.02, faults=faults,
            truth_missed=truth_missed,
        )  # fmt: skip
        await server.start()
        try:
            async with aiohttp.ClientSession() as http:
                yield Simulated(server, exchange, http, data_dir)
        finally:
            await server.stop()


@dataclass
class Reader:
    """A client that has asked for everything, and keeps each frame that it gets."""

    ws: ClientConnection
    frames: list[bytes] = field(default_factory=list)
    """With rates, or unreadable."""
    answers: list[Any] = field(default_factory=list)
    everything: list[bytes] = field(default_factory=list)
    """Frames and answers as they came."""

    async def read(self) -> None:
        """Until the connection is closed."""
        with contextlib.suppress(websockets.ConnectionClosed):
            async for frame in self.ws:
                data = frame if isinstance(frame, bytes) else frame.encode()
                self.everything.append(data)
                if rows_of(data) is None or updates(data):
                    self.frames.append(data)
                else:
                    self.answers.append(json.loads(data))

    async def more(self, count: int) -> list[bytes]:
        """Wait for so many more frames; these."""
        known = len(self.frames)
        await eventually(lambda: len(self.frames) >= known + count)
        return self.frames[known:]

    async def closed(self) -> int | None:
        """Wait for the end; its close code."""
        async with asyncio.timeout(8):
            await self.ws.wait_closed()
        return self.ws.close_code


@asynccontextmanager
async def reader(client: str, to: Simulated, *, subscribe: bool = True) -> AsyncIterator[Reader]:
    """A client of one of the CLIENTS."""
    url = to.url
    if client == "binance-usdm":
        url += "/market/ws"
    elif client in {"binance-coinm", "hyperliquid"}:
        url += "/ws"
    elif client == "kucoin-classic":
        async with to.http.post(to.url + "/api/v1/bullet-public") as reply:
            document = json.loads(await reply.read())["data"]
        url = f"{document['instanceServers'][0]['endpoint']}?token={document['token']}&connectId=c"
    ws_url = "ws" + url.removeprefix("http").removeprefix("ws")
    async with websockets.connect(ws_url, max_size=None, ping_interval=None, close_timeout=1) as ws:
        found = Reader(ws)
        task = asyncio.create_task(found.read())
        try:
            if subscribe:
                for message in _subscriptions(client, to.symbols):
                    await ws.send(message)
            yield found
        finally:
            task.cancel()


def question(client: str) -> str:
    """A message that the exchange answers at any time."""
    return {
        "binance-usdm": '{"method":"LIST_SUBSCRIPTIONS","id":77}',
        "binance-coinm": '{"method":"LIST_SUBSCRIPTIONS","id":77}',
        "kucoin": '{"id":"77","type":"ping"}',
        "kucoin-classic": '{"id":"77","type":"ping"}',
        "hyperliquid": '{"method":"ping"}',
        "backpack": '{"method":"nonsense","id":77}',
    }[client]


def rows_of(frame: bytes) -> list[dict[str, Any]] | None:
    """The objects that can hold a rate; None for what is no JSON."""
    try:
        document = json.loads(frame)
    except ValueError:
        return None
    if isinstance(document, list):
        return document
    if document.get("channel") == "activeAssetCtx":
        return [document["data"]]
    inner = document.get("data", document.get("d"))
    if "T" in document and inner is not None:
        return [{**row, "P": document["P"]} for row in (inner if type(inner) is list else [inner])]
    if document.get("subject") == "funding.rate":
        return [{**inner, "topic": document["topic"]}]
    return [inner] if isinstance(inner, dict) else [document]


def updates(frame: bytes) -> list[tuple[str, int | None, str]]:
    """Symbol, event time as on the wire, and rate of each row with a rate."""
    found: list[tuple[str, int | None, str]] = []
    for row in rows_of(frame) or ():
        if "ctx" in row:
            found.append((row["coin"], None, row["ctx"]["funding"]))
        elif "fr" in row:
            found.append((row["s"], row["P"], row["fr"]))
        elif "topic" in row:
            if row["granularity"] == 60_000:
                symbol = row["topic"].split(":")[1]
                found.append((symbol, row["timestamp"], str(row["fundingRate"])))
        elif row.get("e") in {"markPriceUpdate", "markPrice"}:
            rate = row.get("r") or row.get("f")
            if rate:
                found.append((row["s"], row["E"], rate))
    return found


def symbols(frames: Sequence[bytes]) -> set[str]:
    """The contracts in some frames."""
    return {symbol for frame in frames for symbol, _, _ in updates(frame)}


def _subscriptions(client: str, names: Sequence[str]) -> list[str]:
    if client == "binance-usdm":
        return ['{"method":"SUBSCRIBE","params":["!markPrice@arr@1s"],"id":1}']
    if client == "binance-coinm":
        params = [f"{name.lower()}@markPrice@1s" for name in names]
        return [json.dumps({"method": "SUBSCRIBE", "params": params, "id": 1})]
    if client == "kucoin":
        return ['{"id":"1","action":"SUBSCRIBE","channel":"funding-fee-all-symbols"}']
    if client == "kucoin-classic":
        topic = f"/contract/instrument:{','.join(names)}"
        return [json.dumps({"id": 1, "type": "subscribe", "topic": topic, "response": True})]
    if client == "backpack":
        params = [f"markPrice.{name}" for name in names]
        return [json.dumps({"method": "SUBSCRIBE", "params": params})]
    return [
        json.dumps({"method": "subscribe", "subscription": {"type": "activeAssetCtx", "coin": n}})
        for n in names
    ]
