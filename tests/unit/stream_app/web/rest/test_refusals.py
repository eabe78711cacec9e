"""What is refused, and with which words; what attackers send gets an answer like anybody's."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import aiohttp
import pytest

from stream_app.web.rest.mount import MAX_AT_ONCE
from tests.support.rest_scene import BTC, Site, served, small_market

PATH = "/api/v1/contracts"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("nope=1", "unknown parameter 'nope': /api/v1/contracts takes feed, base"),
        ("feed=binance-usdm&feed=kucoin", "feed is given more than once"),
        ("feed=nosuch", "must be some of binance-usdm"),
        ("feed=", "must be some of"),
        ("feed=kucoin,kucoin", "each once"),
        ("limit=0", "a whole number from 1 to 5000"),
        ("limit=5001", "a whole number from 1 to 5000"),
        ("limit=1e3", "a whole number"),
        ("limit=%2B5", "a whole number"),
        ("limit=٣", "a whole number"),
        ("limit=" + "9" * 500, "a whole number"),
        ("offset=-1", "a whole number from 0"),
        ("min_abs_z=nan", "a number from 0"),
        ("min_abs_z=inf", "a number from 0"),
        ("min_abs_z=1e999", "a number from 0"),
        ("interval_hours=x", "a number from 0"),
        ("sort=nope", "must be one of contract_id, -contract_id"),
        ("sort=--z", "must be one of"),
        ("fields=z,nope", "must be some of contract_id"),
        ("format=xml", "must be one of json, csv"),
        ("q=", "printable text"),
        ("q=%00", "printable text"),
        ("q=a%0ab", "printable text"),
        ("q=" + "x" * 201, "at most 200 characters"),
        ("base=" + ",".join(str(n) for n in range(51)), "up to 50 values"),
        ("base=" + "x," * 2_500, "more than 4096 characters"),
    ],
)
async def test_a_wrong_parameter_is_told_what_is_allowed(query: str, told: str) -> None:
    """With 400."""
    async with served(small_market()) as site:
        status, reason = await site.error(f"{PATH}?{query}")
    assert status == 400
    assert told in reason
    assert len(reason) <= 1_000


async def test_a_parameter_that_is_needed_is_asked_for() -> None:
    """By its name, with what it means."""
    async with served(small_market()) as site:
        status, reason = await site.error(f"/api/v1/spreads/paid?high={BTC}")
        assert (status, reason.partition(":")[0]) == (400, "low is missing")


@pytest.mark.parametrize(
    "contract_id",
    [
        "kucoin:NONE", "' OR 1=1 --", '"', "<script>alert(1)</script>", "../../etc/passwd", "..",
        "%", "%00", "a\\b", "binance-usdm:BTCUSDT/history/x", "𝕏", "\u202e",
    ],
)  # fmt: skip
@pytest.mark.parametrize("route", ["", "/history", "/raw"])
async def test_a_contract_that_is_none_is_not_found(contract_id: str, route: str) -> None:
    """Whatever its name tries; the answer is JSON, and no file and no markup."""
    async with served(small_market()) as site:
        status, reason = await site.error(f"{PATH}/{quote(contract_id, safe='')}{route}")
    assert status == 404
    assert "contracts" in reason


@pytest.mark.parametrize("contract_id", ["x" * 201, "x" * 5_000, "a\nb", "a\0b", "a\x1b[2J"])
async def test_a_name_that_cannot_be_one_is_refused(contract_id: str) -> None:
    """Before anybody looks for it."""
    async with served(small_market()) as site:
        status, reason = await site.error(f"{PATH}/{quote(contract_id, safe='')}")
        assert status == 400
        assert reason.isprintable()


async def raw(site: Site, request: bytes) -> bytes:
    """What a request gets whose bytes are these."""
    host, port = site.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(1 << 16), 5)
    finally:
        writer.close()


async def test_paths_that_climb_lead_nowhere() -> None:
    """Neither plain nor encoded."""
    async with served(small_market()) as site:
        for path in ("/api/v1/../../etc/passwd", "/api/v1/%2e%2e/x", "/api/v1/contracts/..%2fx"):
            answer = await raw(site, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 404"), path


async def test_no_value_becomes_a_header() -> None:
    """Line ends in a parameter stay in the answer's body, as text."""
    async with served(small_market()) as site:
        for query in ("q=x%0d%0aSet-Cookie:%20a=b", "nope%0d%0aX-Evil:1=1", "sort=%0d%0aX-Evil:1"):
            reply, _ = await site.get(f"{PATH}?{query}")
            assert reply.status == 400
            assert not {"Set-Cookie", "X-Evil"} & set(reply.headers)
        answer = await raw(
            site, b'GET /api/v1/contracts HTTP/1.1\r\nHost: x\r\nIf-None-Match: "\x01\r\n\r\n'
        )
        assert answer.startswith(b"HTTP/1.0 400")


async def test_a_huge_query_is_refused() -> None:
    """Shortly."""
    async with served(small_market()) as site:
        answer = await raw(
            site, b"GET /api/v1/contracts?q=" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n"
        )
        # By aiohttp, before there is a request.
        assert answer.startswith(b"HTTP/1.0 400")
        assert len(answer) < 1_000


async def test_other_methods_are_refused_with_those_that_are_allowed() -> None:
    """Nothing here changes anything."""
    async with served(small_market()) as site:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"):
            reply, _ = await site.get(PATH, method=method)
            assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD"), method


async def test_a_body_is_refused() -> None:
    """Nobody would read it."""
    async with served(small_market()) as site:
        status, reason = await site.error(PATH, data=b"x" * 100)
        assert (status, reason) == (413, "a request of this interface has no body: send none")


async def test_a_path_that_is_none_gets_the_list() -> None:
    """As JSON, below the prefix and at it."""
    async with served(small_market()) as site:
        for path in ("/api/v1", "/api/v1/", "/api/v1/nope", "/api/v1/contracts/"):
            status, reason = await site.error(path)
            assert status == 404
            assert "/api/v1/spreads/paid" in reason or "no rate within a day" in reason


async def test_more_at_once_than_may_be_are_sent_away() -> None:
    """With the time after which to ask again; the others are answered."""
    async with served(small_market()) as site:
        # The raw log takes three seconds to not answer, and each of these asks another question.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def ask() -> tuple[int, str | None]:
                async with session.get(f"{site.url}{PATH}/{BTC}/raw") as reply:
                    return reply.status, reply.headers.get("Retry-After")

            found = await asyncio.gather(*(ask() for _ in range(MAX_AT_ONCE + 5)))
    assert found.count((503, "1")) == 5
    assert found.count((503, "5")) == MAX_AT_ONCE
