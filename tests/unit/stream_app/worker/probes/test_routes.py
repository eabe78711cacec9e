"""The worker's probes over HTTP, on a processor in memory: what they say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from schemas.records import FeedStatus
from stream_app.worker.probes.routes import Probes
from stream_app.worker.probes.view import FRESH_S, WorkerView
from tests.support.processors import Bench, Message, settled, tick
from tests.unit.stream_app.worker.probes.test_readiness import report

FEED = "binance-usdm"


class Site:
    """The probes of a worker, and what its producers report."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.reports: dict[str, FeedStatus] = {}
        self.url = ""
        self._offset = 0

    async def receive(self, *values: bytes) -> None:
        """Let raw records come, and let the newest picture grow old."""
        for value in values:
            await self.bench.feed(Message(self._offset, value))
            self._offset += 1
        self.bench.clock.advance(FRESH_S)

    def reported(self, **changes: Any) -> None:
        """Let the feed's producer report now, a picture later."""
        self.bench.clock.advance(FRESH_S)
        now = self.bench.clock.now_us()
        status = {**report(feed=FEED, expected=1, done=1), "reported_at": now, "since": now}
        self.reports = {FEED: {**status, **changes}}  # type: ignore[typeddict-item]

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text of an answer."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}{path}") as reply:
            return reply.status, await reply.text()

    async def json(self, path: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        status, text = await self.get(path)
        return status, json.loads(text)


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    """The probes on a free port."""
    site = Site()
    app = web.Application()
    bench = site.bench
    view = WorkerView(bench.processor, lambda: site.reports, bench.clock, lambda: True)
    Probes(view, asyncio.get_running_loop, lambda: b"more 1\n").add_to(app)
    async with TestServer(app) as server:
        site.url = str(server.make_url("")).rstrip("/")
        yield site


async def test_a_worker_says_when_it_has_started_and_when_it_is_ready(site: Site) -> None:
    """Started: it has its state. Ready: its feeds are delivered."""
    assert (await site.json("/healthz"))[0] == 200
    assert await site.json("/startupz") == (503, {"started": False})
    status, body = await site.json("/readyz")
    assert status == 503
    assert body["why"] == [
        "the worker has no partitions yet, or still loads their state",
        "no producer has reported",
    ]
    await site.receive(tick(0.0001, site.bench.clock.now_us()))
    assert await site.json("/startupz") == (200, {"started": True})
    assert (await site.json("/readyz"))[1]["why"] == ["no producer has reported"]
    site.reported(state="down", detail="HTTP <451>")
    status, body = await site.json("/readyz")
    assert (status, body["why"]) == (503, ["binance-usdm: down for 0 s: HTTP <451>"])
    site.reported()
    status, body = await site.json("/readyz")
    assert (status, body["ready"], body["why"], body["warming_up"]) == (200, True, [], None)
    assert body["idle_s"] >= 0.0


async def test_baselines_that_load_do_not_make_a_worker_unready(site: Site) -> None:
    """How many there are is told until the settlements are there."""
    site.reported(backfill_done=0)
    await site.receive(tick(0.0001, site.bench.clock.now_us()))
    status, body = await site.json("/readyz")
    assert (status, body["warming_up"]) == (200, {"loaded": 0, "expected": 1})
    await site.receive(settled(0))
    assert (await site.json("/readyz"))[1]["warming_up"] is None


async def test_metrics_are_the_worker_s_and_what_else_the_process_has(site: Site) -> None:
    """Each feed has its gauges, also one without contracts."""
    site.reported(state="down", detail="<script>alert(1)</script>")
    await site.receive(tick(0.0001, site.bench.clock.now_us()))
    site.reports = {**site.reports, "kucoin": report(feed="kucoin", reported_s=0)}
    status, metrics = await site.get("/metrics")
    assert status == 200
    assert "fundingstream_worker_ready 0.0" in metrics
    assert f'fundingstream_contracts{{feed="{FEED}"}} 1.0' in metrics
    assert 'fundingstream_contracts{feed="kucoin"} 0.0' in metrics
    assert metrics.endswith("more 1\n")


async def test_a_worker_whose_loop_stands_still_is_not_healthy(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has a loop of its own and says so, instead of letting the probe wait."""
    monkeypatch.setattr("stream_app.worker.probes.routes.ANSWERED_WITHIN_S", 0.05)
    still = asyncio.new_event_loop()
    app = web.Application()
    view = WorkerView(site.bench.processor, dict, site.bench.clock, lambda: True)
    Probes(view, lambda: still, lambda: b"").add_to(app)
    async with TestServer(app) as server:
        site.url = str(server.make_url("")).rstrip("/")
        assert await site.json("/healthz") == (
            503,
            {"status": "the worker's event loop does not answer"},
        )
    await asyncio.to_thread(still.run_until_complete, asyncio.sleep(0))
    still.close()
