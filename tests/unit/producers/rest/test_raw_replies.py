"""A reply that the exchange cuts into pages is put together, or not used at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from producers.exchanges.bybit import EXCHANGE
from producers.policy.rate_limiter import RateLimiter
from producers.rest.client import RestClient
from producers.rest.raw_replies import MAX_PAGES, RawReplies
from tests.support.clock import ManualClock
from tests.support.feed_parts import FakePublisher

CALL = EXCHANGE.fact_calls[0]


class PagedList:
    """A list of one contract a page; its cursor is the number of the next one."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.failing: int | None = None
        """This page is not answered as it should be."""
        self.asked: list[int] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a page."""
        page = int(request.query.get("cursor", 0))
        self.asked.append(page)
        if page == self.failing:
            return web.json_response({"retCode": 10_016, "result": {}})
        cursor = str(page + 1) if page + 1 < self.pages else ""
        result = {"list": [{"symbol": f"C{page}USDT"}], "nextPageCursor": cursor}
        return web.json_response({"retCode": 0, "result": result})


@pytest.fixture
async def paged() -> AsyncIterator[tuple[PagedList, RawReplies]]:
    """A list of three pages, and who asks for it."""
    found = PagedList(3)
    app = web.Application()
    app.router.add_get(CALL.path, found.answer)
    clock = ManualClock()
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        limiter = RateLimiter(EXCHANGE.limits)
        rest = RestClient(EXCHANGE, str(server.make_url("")), session, limiter, clock)
        yield found, RawReplies(EXCHANGE, rest, cast("Any", FakePublisher()), clock)


async def test_all_pages_make_one_reply(paged: tuple[PagedList, RawReplies]) -> None:
    """In their order."""
    pages, replies = paged
    reply = await replies.fetch(CALL)
    assert reply is not None
    assert [piece.symbol for piece in reply.slices] == ["C0USDT", "C1USDT", "C2USDT"]
    assert pages.asked == [0, 1, 2]


async def test_a_reply_that_lacks_a_page_is_not_used(paged: tuple[PagedList, RawReplies]) -> None:
    """The contracts of that page would count as delisted."""
    pages, replies = paged
    pages.failing = 1
    assert await replies.fetch(CALL) is None
    assert pages.asked == [0, 1]


async def test_pages_without_end_are_given_up(paged: tuple[PagedList, RawReplies]) -> None:
    """An exchange whose cursor never ends is not followed for ever."""
    pages, replies = paged
    pages.pages = 10**6
    assert await replies.fetch(CALL) is None
    assert len(pages.asked) == MAX_PAGES
