"""`/api/v1` behind the checks that every request to the page passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from schemas.clock import SystemClock
from stream_app.settings import PageSettings
from stream_app.web.application import Mounted, application
from stream_app.web.history.clickhouse import ClickHouse
from stream_app.web.history.history import History
from stream_app.web.history.raw_reader import RawReader
from stream_app.web.live.frames import FrameMaker
from stream_app.web.live.hub import Hub
from stream_app.web.rest.mount import add_rest
from stream_app.web.server.limits import Load
from tests.support.rest_scene import BTC, STATUS, Site, nobody, small_market

TOKEN = "not-a-secret-0123456789"
PATH = f"/api/v1/contracts/{BTC}"


@asynccontextmanager
async def page(**changes: Any) -> AsyncIterator[Site]:
    """The whole page on a small market; `changes` are settings."""
    fleet, clock, behind = small_market(), SystemClock(), nobody()
    history = History(ClickHouse(behind, clock), clock)

    def add_api(app: web.Application) -> None:
        add_rest(app, fleet, history, RawReader(behind), clock, lambda: STATUS)

    hub = Hub(fleet, FrameMaker(fleet, lambda _now_us: STATUS, "e1"), clock, "e1")
    mounted = Mounted((), lambda _app: None)
    app = application(PageSettings(**changes), hub, Load(), clock, add_api, mounted)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield Site(fleet, session, str(server.make_url("")).rstrip("/"))
    await history.close()


async def test_the_api_requires_the_token() -> None:
    """In a header; without it the reason is JSON."""
    async with page(web_token=TOKEN) as site:
        status, reason = await site.error(PATH)
        assert status == 401
        assert "token" in reason
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await site.json(PATH, headers=bearer))["contract_id"] == BTC


async def test_a_foreign_page_gets_nothing() -> None:
    """By its origin, or by a name that the server does not have."""
    async with page() as site:
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            status, _ = await site.error(PATH, headers=headers)
            assert status == 403


async def test_refusals_stay_what_they_are() -> None:
    """With the methods that are allowed, and the headers that every answer has."""
    async with page() as site:
        reply, _ = await site.get(PATH, method="POST")
        assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert (await site.error(f"{PATH}?x=1"))[0] == 400
        assert (await site.error("/api/v1/nope"))[0] == 404


async def test_an_answer_may_be_asked_for_again_by_its_etag() -> None:
    """Nothing on the way keeps it longer, or forbids to keep it at all."""
    async with page() as site:
        reply, _ = await site.get(PATH)
        assert reply.headers["Cache-Control"] == "private, no-cache"
        again, _ = await site.get(PATH, headers={"If-None-Match": reply.headers["ETag"]})
        assert again.status == 304
        head, _ = await site.get(PATH, method="HEAD")
        assert (head.status, head.headers["ETag"]) == (200, reply.headers["ETag"])
