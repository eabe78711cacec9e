"""The REST client: refusals are honoured, limits drawn, failures told by one kind of error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from producers.exchanges import exchange
from producers.exchanges.binance_usdm import EXCHANGE, BinanceUsdm
from producers.exchanges.spec import RateLimit, RestCall
from producers.policy.rate_limiter import RateLimiter
from producers.rest import client as rest
from producers.rest.client import RestClient, RestError, barred_s
from tests.support.clock import START_S, START_US, ManualClock

NOW_MS, NOW_S = START_US // 1_000, START_S
BANNED = (
    b'{"code":-1003,"msg":"Way too many requests; IP(203.0.113.7) banned until %d. Please use the '
    b'websocket for live updates to avoid bans."}'
)
DAY_S = 86_400.0
PING = RestCall("ping", "/ping", costs={"weight": 1})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (200, {"Retry-After": "9"}, b"", None),
        (503, {"Retry-After": "9"}, b"", None),
        (403, {}, b"", 60.0),
        (403, {"Retry-After": "3"}, b"", 3.0),
        (429, {}, b"", 60.0),
        (418, {}, b"", 300.0),
        (429, {"Retry-After": "7"}, b"", 7.0),
        (429, {"Retry-After": "0"}, b"", 1.0),
        (418, {"Retry-After": "120"}, BANNED % (NOW_MS + 5_000), 120.0),
        (418, {"Retry-After": "0"}, BANNED % (NOW_MS + 45_000), 45.0),
        (418, {"Retry-After": "0"}, BANNED % (NOW_MS - 1), 1.0),
        (418, {"Retry-After": "soon"}, BANNED % (NOW_MS + 2_000), 2.0),
        (418, {}, BANNED % (NOW_MS * 10), 300.0),
        (418, {}, BANNED % (NOW_MS + 120_000), 120.0),
        (429, {}, BANNED % (NOW_MS + 1_500), 1.5),
        (418, {}, BANNED % (NOW_MS - 60_000), 1.0),
        (418, {}, BANNED % (NOW_MS + 30 * 86_400_000), 3 * DAY_S),
        (429, {"Retry-After": "9" * 400}, b"", 3 * DAY_S),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"", 60.0),
        (429, {"Retry-After": "-5"}, b"", 60.0),
        (429, {"Retry-After": "٣"}, b"", 60.0),
        (418, {}, b"banned until soon", 300.0),
    ],
)
def test_how_long_a_refusal_bars_us(
    status: int, headers: Mapping[str, str], body: bytes, expected: float | None
) -> None:
    """The later of Retry-After and the message, else 60 s or 5 min; never beyond three days."""
    assert barred_s(status, EXCHANGE.retry_after_s(headers, body, NOW_MS)) == expected


@asynccontextmanager
async def client_of(
    handler: Handler,
    limits: Mapping[str, RateLimit] | None = None,
    *,
    clock: ManualClock | None = None,
    max_body_bytes: int = rest.MAX_BODY_BYTES,
) -> AsyncIterator[tuple[RestClient, RateLimiter]]:
    """A client of a server on loopback that answers each GET by `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    rate_limiter = RateLimiter(
        limits or {"weight": RateLimit(100, 60.0), "funding": RateLimit(1, 60.0)}
    )
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url, clock = str(server.make_url("/")), clock or ManualClock()
        client = RestClient(EXCHANGE, url, session, rate_limiter, clock, max_body_bytes)
        yield client, rate_limiter


async def test_a_reply_is_returned_as_sent_with_its_parameters_asked() -> None:
    """Body byte for byte; the call counts, and draws on its pools."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path_qs)
        return web.Response(body=b"[ 1 ]")

    async with client_of(answer) as (client, rate_limiter):
        call = RestCall("x", "/fapi/x", {"startTime": "5"}, {"weight": 60})
        assert await client.fetch(call) == b"[ 1 ]"
        assert seen == ["/fapi/x?startTime=5"]
        assert (client.calls, client.failures) == (1, 0)
        assert rate_limiter.wait_s({"weight": 41}, NOW_S) > 0


@pytest.mark.parametrize(
    ("status", "body", "blocked"),
    [(418, BANNED % 10**12, True), (429, b"", True), (403, b"", True), (500, b"", False)],
)
async def test_a_bad_status_is_an_error_and_a_refusal_blocks_the_host(
    status: int,
    body: bytes,
    blocked: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    """429, 418 and 403 stop every further call; a server error stops none."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    async with client_of(answer) as (client, rate_limiter):
        with pytest.raises(RestError) as caught:
            await client.fetch(PING)
        assert caught.value.status == status
        assert (client.failures, client.refusals) == (1, blocked)
        assert (client.barred_until_s > NOW_S) == blocked
        assert (rate_limiter.wait_s({}, NOW_S) > 0) == blocked


async def test_a_dead_server_and_a_cut_reply_are_errors_of_ours() -> None:
    """No library's own exception gets through."""

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"[")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with client_of(cut) as (client, _rate_limiter):
        with pytest.raises(RestError) as caught:
            await client.fetch(PING)
        assert caught.value.status is None
    with pytest.raises(RestError):
        async with aiohttp.ClientSession() as session:
            await RestClient(
                EXCHANGE,
                "http://127.0.0.1:1",
                session,
                RateLimiter(EXCHANGE.limits),
                ManualClock(),
            ).fetch(PING)


async def test_an_endless_reply_is_refused() -> None:
    """A body beyond the bound is an error, not memory."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.query["size"]))

    async with client_of(answer, max_body_bytes=1_000) as (client, _rate_limiter):
        assert len(await client.fetch(RestCall("x", "/x", {"size": "1000"}))) == 1_000
        with pytest.raises(RestError, match="longer than 1000 bytes"):
            await client.fetch(RestCall("x", "/x", {"size": "1001"}))


async def test_what_the_exchange_counts_is_taken_over() -> None:
    """Its usage header holds us back where others use our address."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(headers={"X-MBX-USED-WEIGHT-1M": "79"})

    async with client_of(answer) as (client, rate_limiter):
        await client.fetch(PING)
        assert rate_limiter.wait_s({"weight": 21}, NOW_S) == 0.0
        assert rate_limiter.wait_s({"weight": 22}, NOW_S) > 0


async def test_a_call_that_waits_for_its_pool_holds_up_no_other_pool() -> None:
    """The snapshot after a reconnect must not stand behind a paced backfill."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b"[]")

    history = RestCall("fundingRate", "/h", costs={"funding": 1})
    async with client_of(answer) as (client, _rate_limiter):
        await client.fetch(history)
        waiting = asyncio.create_task(client.fetch(history))
        await asyncio.sleep(0)  # let it find its pool used up
        async with asyncio.timeout(5):
            assert await client.fetch(PING) == b"[]"
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_one_call_at_a_time() -> None:
    """Calls to one host do not run side by side."""
    running = most = 0

    async def answer(_request: web.Request) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)  # long enough for another to arrive, were it sent
        running -= 1
        return web.Response()

    async with client_of(answer) as (client, _rate_limiter):
        await asyncio.gather(*(client.fetch(PING) for _ in range(5)))
    assert most == 1
    assert client.calls == 5


async def test_a_post_carries_its_json_body() -> None:
    """With a content type, else Hyperliquid answers 415 (docs/exchanges/hyperliquid.md §9)."""
    seen: list[tuple[str, str, bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.content_type, await request.read()))
        return web.Response(body=b"[]")

    async with client_of(answer) as (client, _rate_limiter):
        await client.fetch(RestCall("meta", "/info", method="POST", body=b'{"type":"meta"}'))
    assert seen == [("POST", "application/json", b'{"type":"meta"}')]


async def test_a_failure_inside_a_200_is_an_error() -> None:
    """KuCoin's business errors (docs/exchanges/kucoin.md §5) are no replies to read."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b'{"code":"200003","msg":"symbol does not exist"}')

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    kucoin = exchange("kucoin")
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url, limiter = str(server.make_url("/")), RateLimiter(kucoin.limits)
        client = RestClient(kucoin, url, session, limiter, ManualClock())
        with pytest.raises(RestError, match="200003"):
            await client.fetch(kucoin.fact_calls[0])
        assert client.failures == 1


class Bars(BinanceUsdm):
    """An exchange that says in the body of a 200 alone that it refuses calls."""

    def barred_s(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> float | None:
        """Read a body that is a number, for the one call that may be refused so."""
        del headers
        return float(body) if call.resource == "ping" else None

    def fault(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> str | None:
        """Read a number as a failure, too."""
        del call, headers, body
        return "a number"


@pytest.mark.parametrize(
    ("body", "barred_for_s"), [(b"45", 45.0), (b"-3", 1.0), (b"1e99", 3 * DAY_S)]
)
async def test_a_refusal_inside_a_200_bars_every_call(body: bytes, barred_for_s: float) -> None:
    """As one with a status of its own; it is counted as a refusal and not as an odd reply."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    found = Bars()
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url, limiter = str(server.make_url("/")), RateLimiter(found.limits)
        client = RestClient(found, url, session, limiter, ManualClock())
        with pytest.raises(RestError, match="a number"):
            await client.fetch(RestCall("other", "/", costs={"weight": 1}))
        assert (client.refusals, client.barred_until_s) == (0, 0.0)
        with pytest.raises(RestError, match="one call too many"):
            await client.fetch(PING)
        assert (client.refusals, client.failures) == (1, 2)
        assert client.barred_until_s - NOW_S == barred_for_s
        assert limiter.wait_s({"funding": 1}, NOW_S, rest.SNAPSHOT_SHARE) == barred_for_s


async def test_background_calls_wait_while_others_go() -> None:
    """Beyond half of a pool history stands back."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    async with client_of(answer) as (client, _rate_limiter):
        await client.fetch(RestCall("x", "/x", costs={"weight": 50}))
        waiting = asyncio.create_task(client.fetch(PING, rest.BACKGROUND_SHARE))
        async with asyncio.timeout(5):
            await client.fetch(PING)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_no_redirect_is_followed() -> None:
    """What answers elsewhere is not the exchange."""
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/other")

    async with client_of(elsewhere) as (client, _):
        with pytest.raises(RestError, match="HTTP 302"):
            await client.fetch(PING)
    assert asked == ["/ping"]


async def test_a_long_reply_costs_time_in_proportion() -> None:
    """All feeds share the loop: 24 MB in pieces are joined once, not once for each piece."""
    body = b"x" * (24 << 20)

    async def answer(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        for start in range(0, len(body), 1 << 14):
            await reply.write(body[start : start + (1 << 14)])
        return reply

    async with client_of(answer) as (client, _):
        started_s = time.process_time()
        assert await client.fetch(PING) == body
        assert time.process_time() - started_s < 2.0


@pytest.mark.parametrize(
    ("status", "headers", "body", "barred_for_s"),
    [
        (403, {}, b"<html>Access Denied</html>", 60.0),
        (403, {"Retry-After": "20"}, b"", 20.0),
        (418, {}, BANNED % (NOW_MS + 36_000_000), 36_000.0),
        (418, {}, b"teapot", 300.0),
        (429, {"Retry-After": "40"}, BANNED % (NOW_MS + 30_000), 40.0),
        (418, {"Retry-After": "0"}, BANNED % (NOW_MS + 725_000), 725.0),
        (429, {"Retry-After": "0"}, BANNED % (NOW_MS + 12_500), 12.5),
        (418, {"Retry-After": "0"}, BANNED % (NOW_MS * 2), 3 * DAY_S),
    ],
)
async def test_a_refusal_bars_every_call_for_as_long_as_it_says(
    status: int, headers: Mapping[str, str], body: bytes, barred_for_s: float
) -> None:
    """Of whatever pool and share; the exchange is not asked again meanwhile."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers=headers, body=body)

    async with client_of(answer) as (client, rate_limiter):
        with pytest.raises(RestError, match=f"HTTP {status}"):
            await client.fetch(PING)
        assert client.refusals == 1
        assert client.barred_until_s - NOW_S == barred_for_s
        for share in (rest.SNAPSHOT_SHARE, rest.FOREGROUND_SHARE, rest.BACKGROUND_SHARE):
            assert rate_limiter.wait_s({"funding": 1}, NOW_S, share) == barred_for_s
        waiting = asyncio.create_task(client.fetch(PING, rest.SNAPSHOT_SHARE))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert asked == ["/ping"]


async def test_a_slow_page_of_history_holds_up_no_snapshot() -> None:
    """Nor does the list of contracts: each kind has its own turn."""
    begun, release = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            begun.set()
            await release.wait()
        return web.Response(text=request.path)

    slow = RestCall("x", "/slow", costs={"weight": 1})
    async with client_of(answer) as (client, _rate_limiter):
        page = asyncio.create_task(client.fetch(slow, rest.BACKGROUND_SHARE))
        await begun.wait()
        listing = asyncio.create_task(client.fetch(slow, rest.FOREGROUND_SHARE))
        async with asyncio.timeout(5):
            assert await client.fetch(PING, rest.SNAPSHOT_SHARE) == b"/ping"
        assert not page.done()
        assert not listing.done()
        release.set()
        assert [await page, await listing] == [b"/slow"] * 2


async def test_current_rates_go_before_the_registry_and_both_before_history() -> None:
    """Of a pool that is drawn to 80 % a snapshot still gets its part."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    async with client_of(answer) as (client, rate_limiter):
        await client.fetch(RestCall("x", "/x", costs={"weight": 80}))
        now_s = NOW_S
        assert rate_limiter.wait_s({"weight": 1}, now_s, rest.BACKGROUND_SHARE) > 0
        assert rate_limiter.wait_s({"weight": 1}, now_s, rest.FOREGROUND_SHARE) > 0
        async with asyncio.timeout(5):
            await client.fetch(RestCall("y", "/y", costs={"weight": 10}), rest.SNAPSHOT_SHARE)
        assert rate_limiter.wait_s({"weight": 1}, NOW_S, rest.SNAPSHOT_SHARE) > 0


async def test_the_exchange_s_clock_is_read_from_its_replies() -> None:
    """To half a second, once the last three agree; no date, or a cached one, says nothing."""
    dates = [0.0, 60.0, 60.0, 60.0, "yesterday", "", -3_600.0, -3_600.0, -3_600.0]
    clock = ManualClock()

    def date_of(ahead_s: float) -> str:
        return formatdate(clock.now_us() / 1e6 + ahead_s, usegmt=True)

    answers = (date_of(d) if isinstance(d, float) else str(d) for d in [*dates, 0.0])
    cached = False

    async def answer(_request: web.Request) -> web.Response:
        age = {"Age": "240"} if cached else {}
        return web.Response(headers={"Date": date_of(-240.0) if cached else next(answers), **age})

    async with client_of(answer, clock=clock) as (client, _rate_limiter):
        read = []
        for _ in dates:
            await client.fetch(PING)
            read.append(client.clock_ahead_s)
        cached = True
        await client.fetch(PING)
        assert client.clock_ahead_s == read[-1]
        cached = False
        await client.fetch(PING)
        assert client.clock_ahead_s == 0.0
    assert read == [0.0] * 3 + [60.5] * 5 + [-3_599.5]
