"""The page's real server over a market that is made up: as many contracts as a test wants.

Only the topics are missing: records go into the Fleet as the reader would hand them over.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from infra.embedded.ports import free_port
from schemas.clock import SystemClock
from schemas.feeds import FEEDS
from schemas.records import Contract
from schemas.times import US_PER_HOUR, US_PER_MS, US_PER_S
from stream_app.settings import PageSettings
from stream_app.web.application import Mounted, application
from stream_app.web.fleet import Fleet
from stream_app.web.history.clickhouse import ClickHouse
from stream_app.web.history.history import History
from stream_app.web.history.raw_reader import RawReader
from stream_app.web.live.frames import FrameMaker
from stream_app.web.live.hub import Hub
from stream_app.web.rest.mount import add_rest
from stream_app.web.server.limits import Load
from stream_app.web.status import FleetStatus
from tests.support.fleet_records import alert, contract_facts, feed_status, worker_status, zscore

HOURS = (1.0, 4.0, 8.0)
UNPRICED = "B0001"
"""The base whose contracts have no mark price: its pairs are not checked."""


class MadeUpMarket:
    """Contracts of all feeds, with rates that walk about."""

    def __init__(self, contracts: int, seed: int = 1) -> None:
        self.fleet = Fleet()
        self.clock = SystemClock()
        self._chance = random.Random(seed)
        self._symbols = [
            (FEEDS[number % len(FEEDS)], f"M{number:04d}USDT") for number in range(contracts)
        ]
        self._bases = {
            symbol: f"B{number // len(FEEDS):04d}" for number, symbol in enumerate(self._symbols)
        }
        self._z = {symbol: self._chance.gauss(0.0, 1.6) for symbol in self._symbols}
        for feed, symbol in self._symbols:
            self.fleet.take_contract(b"", self._facts(feed, symbol))
        self.silent: set[str] = set()
        """Feeds that deliver nothing now."""
        self.tick()

    def tick(self) -> None:
        """Give every contract a new rate, every feed and a worker a report."""
        now_us = self.clock.now_us()
        counts = dict.fromkeys(FEEDS, 0)
        for feed, symbol in self._symbols:
            counts[feed] += 1
            if feed not in self.silent:
                self.fleet.take_zscore(self._record(feed, symbol, now_us), now_us - 20 * US_PER_MS)
        for feed in FEEDS:
            state = "stalled" if feed in self.silent else "live"
            self.fleet.take_feed(
                feed.encode(),
                feed_status(
                    feed, state=state, reported_at=now_us, since=now_us - 60_000_000,
                    contracts_expected=counts[feed], contracts_live=counts[feed],
                    backfill_done=counts[feed], last_data_at=now_us,
                ),
            )  # fmt: skip
        self.fleet.take_worker(b"one", worker_status(reported_at=now_us))

    def silence(self, feed: str, seconds: float) -> None:
        """Let a feed deliver nothing from now on, and its rates be so much older than they are."""
        self.silent.add(feed)
        past_us = self.clock.now_us() - round(seconds * US_PER_S)
        for known in list(self.fleet.contracts.values()):
            if known.zscore["feed"] == feed:
                self.fleet.remove(known.zscore["contract_id"])
                older = {**known.zscore, "event_time": past_us}
                self.fleet.take_zscore(older, past_us)  # type: ignore[arg-type]
        self.tick()

    def take_symbol(self, symbol: str) -> None:
        """List another contract of the first feed."""
        self._symbols.append((FEEDS[0], symbol))
        self._z[FEEDS[0], symbol] = 4.0
        self.tick()

    def take_alert(self, text: str) -> None:
        """Raise an alert whose texts are all this."""
        now_us = self.clock.now_us()
        self.fleet.take_alert(
            alert(text, subject=text, kind=text, message=text, created_at=now_us, event_time=now_us)
        )

    def _facts(self, feed: str, symbol: str) -> Contract:
        """What is traded of a contract: a million of the first, and another one of each further."""
        turnover = 1e6 * (int(symbol[1:5]) + 1)
        base = self._bases[feed, symbol]
        return contract_facts(
            f"{feed}:{symbol}", base=base, turnover_24h=turnover, open_interest=turnover / 2
        )

    def _record(self, feed: str, symbol: str, now_us: int) -> Any:
        key = (feed, symbol)
        z = self._z[key] = 0.98 * self._z[key] + self._chance.gauss(0.0, 0.2)
        hours = HOURS[hash(symbol) % len(HOURS)]
        base = self._bases.get(key, symbol)
        rate = (0.00005 + 0.00004 * z) * hours / 8.0
        return zscore(
            symbol, feed=feed, base=base, rate=rate, interval_hours=hours,
            rate_8h=rate * 8 / hours, apr=rate * 8_760 / hours, z=z, robust_z=z * 0.9,
            percentile=0.5 + 0.5 * math.tanh(z), event_time=now_us - 100 * US_PER_MS,
            received_at=now_us - 60 * US_PER_MS, computed_at=now_us - 40 * US_PER_MS,
            mark_price=None if base == UNPRICED else 97_412.5,
            next_funding_time=(now_us // US_PER_HOUR + 1) * US_PER_HOUR,
            stats_as_of=now_us // US_PER_HOUR * US_PER_HOUR,
        )  # fmt: skip


class PageSite:
    """A running server of a market, on one port for all its lives."""

    def __init__(self, contracts: int, **changes: Any) -> None:
        self._changes = changes
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/"
        self._lives = 0
        self._contracts = contracts
        self.market: MadeUpMarket
        self.hub: Hub

    async def start(self) -> None:
        """Serve; let rates come each second."""
        self._lives += 1
        self.market = MadeUpMarket(self._contracts)
        fleet, clock = self.market.fleet, self.market.clock
        fleet.take_alert(alert(created_at=clock.now_us(), event_time=clock.now_us()))
        settings = PageSettings(clickhouse_url="http://127.0.0.1:1", **self._changes)
        self._history = History(ClickHouse(settings, clock), clock)
        status = FleetStatus(fleet, lambda: True, self._history.state, clock)
        epoch = f"life-{self._lives}"
        self.hub = Hub(fleet, FrameMaker(fleet, status, epoch), clock, epoch)
        raw = RawReader(PageSettings(kafka_bootstrap="127.0.0.1:1"))

        def add_api(app: web.Application) -> None:
            add_rest(app, fleet, self._history, raw, clock, status)

        nothing = Mounted((), lambda _app: None)
        app = application(settings, self.hub, Load(), clock, add_api, nothing)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._tasks = [asyncio.create_task(self.hub.run()), asyncio.create_task(self._ticking())]

    def freeze(self) -> None:
        """Send nothing more, and leave the sockets open."""
        for task in self._tasks:
            task.cancel()

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.market.tick()

    async def stop_serving(self) -> None:
        """End this life of the server."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._history.close()
        await self._runner.cleanup()

    async def serve_again(self, contracts: int) -> None:
        """Begin another life, with another market."""
        self._contracts = contracts
        await self.start()


@asynccontextmanager
async def page_site(contracts: int, **changes: Any) -> AsyncIterator[PageSite]:
    """The page of a made-up market on a free port; `changes` are settings."""
    site = PageSite(contracts, **changes)
    await site.start()
    try:
        yield site
    finally:
        await site.stop_serving()


if __name__ == "__main__":

    async def serve() -> None:
        """Serve a market of so many contracts for a look at it."""
        site = PageSite(int(sys.argv[1]))
        await site.start()
        print(site.url, flush=True)  # noqa: T201 - for a person
        await asyncio.Event().wait()

    asyncio.run(serve())
