"""Whatever answers a REST call, it is a reply or a RestError, and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.binance_usdm import EXCHANGE
from producers.exchanges.spec import RestCall
from producers.policy.rate_limiter import RateLimiter
from producers.rest.client import RestClient, RestError, http_session
from schemas.clock import SystemClock
from tests.support.clock import ManualClock

PING = RestCall("ping", "/ping")
OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def answered(answer: bytes, *, endless: bytes = b"") -> AsyncIterator[RestClient]:
    """A client of a server that answers anything with these bytes, and then for ever."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            while endless:
                writer.write(endless)
                await writer.drain()
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(meet, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, http_session() as session:
        url, limiter = f"http://127.0.0.1:{port}", RateLimiter(EXCHANGE.limits)
        yield RestClient(EXCHANGE, url, session, limiter, SystemClock(), max_body_bytes=1 << 20)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x16\x03\x01\x00",
        b"\x00" * 70_000,
        b"HTTP/1.1 200 " + b"O" * 70_000,
        OK + b"A: b\r\n" * 40_000 + b"\r\n",
        OK + b"A: " + b"b" * 200_000 + b"\r\n\r\n",
        OK + b"A\x00B: c\r\n\r\n",
        OK + b"Content-Length: 99\r\n\r\nshort",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
        OK + b"Content-Encoding: deflate\r\nContent-Length: 4\r\n\r\n\xff\xff\xff\xff",
        OK + b"Content-Encoding: br\r\nContent-Length: 4\r\n\r\nnone",
        OK + b"Content-Encoding: zstd\r\nContent-Length: 4\r\n\r\nnone",
        b"HTTP/1.1 302 Found\r\nLocation: http://[bad/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999999 Much\r\n\r\n",
        b"HTTP/1.1 -1 Less\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 999,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 429 \xff\xfe\r\nRetry-After: \xff\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 418 Teapot\r\nRetry-After: " + b"9" * 5_000 + b"\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=lambda answer: repr(answer[:60]),
)
async def test_what_is_no_reply_is_a_failed_call(answer: bytes) -> None:
    """One kind of error, with a text that is short."""
    async with answered(answer) as client, asyncio.timeout(10):
        with pytest.raises(RestError) as caught:
            await client.fetch(PING)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "header",
    [
        b"Date: \x00\x80",
        b"Date: Mon, 99 Foo 99999999999999999999 99:99:99 +999999999999",
        b"Date: " + b"1" * 5_000,
        b"Date: ,",
        b"Age: \xff",
        b"X-MBX-USED-WEIGHT-1M: " + b"9" * 5_000,
        b"X-MBX-USED-WEIGHT-1M: -1",
        b"Set-Cookie: \xff=;;;=\x01",
        b"Set-Cookie: a=b; Domain=.; Max-Age=" + b"9" * 400,
        b"Content-Type: \xff; charset=\xfe",
        b"Content-Encoding: nonsense",
        b"Link: <http://[>; rel=\xff",
    ],
    ids=lambda header: repr(header[:60]),
)
async def test_odd_headers_cost_no_reply_more_than_itself(header: bytes) -> None:
    """Its body is used, or it is a failed call."""
    answer = OK + header + b"\r\nContent-Length: 2\r\n\r\n[]"
    async with answered(answer) as client, asyncio.timeout(10):
        with contextlib.suppress(RestError):
            assert await client.fetch(PING) == b"[]"
        assert not list(client._session.cookie_jar)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_what_a_body_inflates_to_counts(coding: str) -> None:
    """A small body that becomes a large one is refused as a large one is."""
    plain = bytes(64 << 20)
    body = gzip.compress(plain) if coding == "gzip" else zlib.compress(plain)
    answer = OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (
        coding.encode(),
        len(body),
    )
    async with answered(answer + body) as client, asyncio.timeout(20):
        with pytest.raises(RestError, match="longer than"):
            await client.fetch(PING)


@pytest.mark.parametrize(
    "begun", [OK + b"A: b", OK + b"\r\n", OK, OK + b"Transfer-Encoding: chunked\r\n\r\n"]
)
async def test_an_endless_reply_ends(begun: bytes) -> None:
    """By its length or by the time-out."""
    async with (
        answered(begun, endless=b"A: " + b"b" * 1_000 + b"\r\n") as client,
        asyncio.timeout(20),
    ):
        with pytest.raises(RestError):
            await client.fetch(PING, timeout_s=5.0)


class Broken:
    """A library that fails as none should."""

    def request(self, *_: object, **_more: object) -> NoReturn:
        raise RuntimeError("https://user:hunter2@exchange/")


async def test_whatever_the_library_raises_is_a_failed_call() -> None:
    """Its text may hold anything."""
    client = RestClient(
        EXCHANGE, "http://127.0.0.1:1", cast("Any", Broken()), RateLimiter({}), ManualClock()
    )
    with pytest.raises(RestError, match=r"^http://127.0.0.1:1/ping: RuntimeError$"):
        await client.fetch(PING)
    assert client.failures == 1


words = st.sampled_from(
    ["Mon,", "29", "Feb", "2026", "9" * 30, "25:61:61", "GMT", "+9999", "-", ","]
)


@given(st.lists(words | st.text(max_size=5), max_size=8).map(" ".join))
def test_no_date_breaks_the_clock(text: str) -> None:
    """The header is compared if it is a date, and else it is none."""
    client = RestClient(
        EXCHANGE, "http://h", cast("Any", None), RateLimiter(EXCHANGE.limits), ManualClock()
    )
    client._read_clock({"Date": text}, 0.0)
