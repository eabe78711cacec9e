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
from tests.venues.clients import Client, Row, by_name

BY_NAME = by_name()
CLIENTS = tuple(name for name, (_, client) in BY_NAME.items() if client.connect is not None)
"""The clients of sockets."""
FEEDS = tuple(feed for feed in dict.fromkeys(feed for feed, _ in BY_NAME.values()))
STREAMING = tuple(feed for feed in FEEDS if feed in CLIENTS)
OPTIONS = SimulatorOptions(
    seed=7,
    tick_ms=25,
    own={key: value for _, client in BY_NAME.values() for key, value in client.own.items()},
    open_limits=True,
)


@dataclass
class Simulated:
    """A running simulator of one feed."""

    server: SimulatorServer
    exchange: Exchange
    client: Client
    http: aiohttp.ClientSession
    data_dir: Path

    @property
    def url(self) -> str:
        """Where the feed is."""
        return f"http://127.0.0.1:{self.server.port}/{self.exchange.name}"

    @property
    def symbols(self) -> list[str]:
        """The contracts that stream to the client."""
        contracts = self.exchange.market.contracts
        return [
            contracts[row].symbol
            for row in self.exchange.listings.rows()
            if contracts[row].kind in {"crypto", "tradfi"}
            and not contracts[row].frozen
            and self.client.takes(contracts[row].symbol)
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
        path, _, body = (call or self.client.current).partition(" ")
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

    async def history_call(self, symbol: str, from_ms: int) -> str:
        """The call for a contract's settlements since a time."""
        key = symbol
        if self.client.key is not None:
            listed = json.loads((await self.rest(self.client.contracts))[1])
            key = self.client.key(listed, symbol)
        return self.client.history(key, from_ms, self.server._wall_ns() // 1_000_000)

    async def ticks(self, count: int) -> None:
        """Wait for so many more whole ticks."""
        name = f"ticks:{self.exchange.name}"
        wanted = self.server.counts[name] + count
        await eventually(lambda: self.server.counts[name] >= wanted)

    def truth(self, name: str) -> list[dict[str, Any]]:
        """The records of a truth file about what the client takes; none without the file."""
        self.server._truth.flush()
        path = self.data_dir / "truth" / f"{name}.ndjson"
        if not path.exists():
            return []
        records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        return [record for record in records if self._concerns(record)]

    def _concerns(self, record: dict[str, Any]) -> bool:
        _, colon, symbol = record.get("contract_id", "").partition(":")
        return not colon or self.client.takes(symbol)


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

    feed, venue = BY_NAME[client]
    with TruthLog(data_dir, OPTIONS.seed) as truth:
        (exchange,) = create_exchanges([feed], OPTIONS, contracts, wall_ns() // 1_000_000)
        server = SimulatorServer(
            [exchange], truth, port=0, wall_ns=wall_ns, housekeeping_s=0.02, faults=faults,
            truth_missed=truth_missed,
        )  # fmt: skip
        await server.start()
        try:
            async with aiohttp.ClientSession() as http:
                yield Simulated(server, exchange, venue, http, data_dir)
        finally:
            await server.stop()


@dataclass
class Reader:
    """A client that has asked for everything, and keeps each frame that it gets."""

    ws: ClientConnection
    client: Client
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
                data = self.client.same(data)
                self.everything.append(data)
                rows = self.rows(data)
                if rows == []:
                    self.answers.append(data)
                else:
                    self.frames.append(data)

    def rows(self, frame: bytes) -> list[Row] | None:
        """The rows with a rate in a frame; None for one that cannot be read."""
        if frame in self.client.answers:
            return []
        try:
            document = json.loads(self.client.decode(frame))
        except ValueError:
            return None
        return list(self.client.rows(document))

    def row(self, frame: bytes, symbol: str) -> Row | None:
        """A contract's row in a frame."""
        return next((row for row in self.rows(frame) or () if row.symbol == symbol), None)

    def symbols(self, frames: Sequence[bytes]) -> set[str]:
        """The contracts in some frames."""
        return {row.symbol for frame in frames for row in self.rows(frame) or ()}

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
    venue = BY_NAME[client][1]
    assert venue.connect is not None
    ws_url = await venue.connect(to.http, to.url)
    async with websockets.connect(ws_url, max_size=None, ping_interval=None, close_timeout=1) as ws:
        found = Reader(ws, venue)
        task = asyncio.create_task(found.read())
        try:
            if subscribe:
                for message in venue.subscriptions(to.symbols):
                    await ws.send(message)
            yield found
        finally:
            task.cancel()
