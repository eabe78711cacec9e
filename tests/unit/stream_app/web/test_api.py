"""The worker's pages over HTTP, on an ingest in memory: what they say, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from stream_app.web.pages import add_pages

from schemas.records import FeedStatus
from stream_app.worker.probes.view import FRESH_S, WorkerView
from tests.support.processors import Bench, Message, S, settled, tick
from tests.unit.stream_app.web.test_readiness import report

FEED = "binance-usdm"


class Site:
    """The pages of a worker, and what its producers report."""

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
        """Status and text of a page."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}{path}") as reply:
            return reply.status, await reply.text()

    async def json(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a page."""
        status, text = await self.get(path)
        return status, json.loads(text)


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    """Pages on a free port."""
    site = Site()
    app = web.Application()
    bench = site.bench
    view = WorkerView(bench.processor, lambda: site.reports, bench.clock, lambda: True)
    add_pages(app, view)
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


async def test_baselines_that_load_are_a_calm_line(site: Site) -> None:
    """On the page, in the summary and in /readyz, until the settlements are there."""
    site.reported(backfill_done=0)
    await site.receive(tick(0.0001, site.bench.clock.now_us()))
    warming = {"loaded": 0, "expected": 1}
    assert (await site.json("/readyz"))[1]["warming_up"] == warming
    assert (await site.json("/api/summary"))[1]["warming_up"] == warming
    page = (await site.get("/"))[1]
    assert '<p class="warming">warming up, 0 of 1 baselines</p>' in page
    assert "not ready" not in page
    await site.receive(settled(0))
    assert (await site.json("/readyz"))[1]["warming_up"] is None
    assert "warming up" not in (await site.get("/"))[1]


async def test_the_page_and_the_summary_tell_each_feeds_state(site: Site) -> None:
    """A feed without contracts too; a producer's text is escaped."""
    site.reported(state="down", detail="<script>alert(1)</script>")
    await site.receive(tick(0.0001, site.bench.clock.now_us()))
    site.reports = {**site.reports, "kucoin": report(feed="kucoin", reported_s=0)}
    status, summary = await site.json("/api/summary")
    assert status == 200
    assert summary["ready"] is False
    feeds = {feed["feed"]: feed for feed in summary["feeds"]}
    assert feeds[FEED]["state"] == "down"
    assert (feeds[FEED]["contracts"], feeds[FEED]["stale"], feeds[FEED]["by_rest"]) == (1, 0, 0)
    assert feeds["kucoin"]["contracts"] == 0
    assert feeds["kucoin"]["newest_age_s"] is None
    assert await site.json("/api/feeds") != (200, [])
    page = (await site.get("/"))[1]
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<td>down</td>" in page
    status, metrics = await site.get("/metrics")
    assert status == 200
    assert "fundingstream_worker_ready 0.0" in metrics


async def test_bars_of_a_contract_that_nobody_knows_are_refused(site: Site) -> None:
    """404 with a reason; a known contract without bars has an empty list."""
    await site.receive(tick(0.0001, site.bench.clock.now_us()))
    assert await site.json(f"/api/bars?contract={FEED}:AUSDT") == (200, [])
    for contract in ("nope", "binance-usdm:NOPE", "kucoin:AUSDT", "x" * 5_000):
        status, body = await site.json(f"/api/bars?contract={contract}")
        assert status == 404, contract
        assert "is not known to this worker" in body["error"]
        assert len(body["error"]) < 300
    assert (await site.json("/api/bars"))[0] == 400


async def test_contracts_are_narrowed_by_feed_and_limit(site: Site) -> None:
    """Both do what they say."""
    now = site.bench.clock.now_us()
    await site.receive(*(tick(0.0001, now + n * S, f"C{n}USDT") for n in range(3)))
    assert len((await site.json("/api/contracts"))[1]) == 3
    assert len((await site.json("/api/contracts?limit=2"))[1]) == 2
    assert len((await site.json(f"/api/contracts?feed={FEED}&limit=10000"))[1]) == 3
    assert await site.json("/api/contracts?feed=kucoin") == (200, [])


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api/contracts?feed=nope", "feed must be one of binance-usdm, "),
        ("/api/contracts?limit=0", "limit must be a number from 1 to 10000"),
        ("/api/contracts?limit=10001", "limit must be"),
        ("/api/contracts?limit=-1", "limit must be"),
        ("/api/contracts?limit=%D9%A3", "limit must be"),
        ("/api/contracts?limit=" + "9" * 6_000, "limit must be"),
        ("/api/contracts?limit=", "limit must be"),
        ("/api/contracts?limit=1&limit=2", "limit is given more than once"),
        ("/api/contracts?Feed=kucoin", "unknown parameter 'Feed': /api/contracts takes feed"),
        ("/api/bars?contract=a&from=1", "unknown parameter 'from': /api/bars takes contract"),
        ("/api/feeds?x=1", "unknown parameter 'x': /api/feeds takes none"),
        ("/api/summary?" + "y" * 3_000, "unknown parameter 'yyy"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(site: Site, path: str, told: str) -> None:
    """400, and one short JSON line that says what would."""
    status, body = await site.json(path)
    assert status == 400
    assert told in body["error"]
    assert len(body["error"]) < 400
