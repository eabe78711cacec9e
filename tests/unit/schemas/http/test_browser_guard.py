"""The guard of every HTTP server of ours, over real sockets: foreign pages, foreign bytes."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from prometheus_client import CollectorRegistry, Gauge

from infra.embedded.ports import free_port
from infra.simulator.market.truth import TruthLog
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import create_exchanges
from infra.simulator.server.server import SimulatorServer
from schemas.config.settings import load_settings
from schemas.errors import UnavailableError
from schemas.http.metrics_server import serve_metrics
from schemas.http.server import MalformedRequests, guard, quiet_malformed_requests
from stream_app.settings import WorkerSettings
from stream_app.worker.app import faust_app

FOREIGN = {
    "another site's Origin": {"Origin": "https://evil.example"},
    "another port's Origin": {"Origin": "http://127.0.0.1:1"},
    "a sandboxed page": {"Origin": "null"},
    "an Origin that is none": {"Origin": "http://["},
    "an Origin of a name that is none": {"Origin": "http://\u2100.example"},
    "a rebound name": {"Host": "evil.example"},
    "no Origin, but from another site": {"Sec-Fetch-Site": "cross-site"},
    "another port of the same site": {"Sec-Fetch-Site": "same-site"},
}
NO_HTTP = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGARBAGE\r\n\r\n",
    b"GET / HTTP/9.9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nno colon\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -4\r\n\r\n",
    b"\x00" * 1_000 + b"\r\n\r\n",
)


async def _page(_request: web.Request) -> web.Response:
    return web.Response(text="a page")


async def _echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


@asynccontextmanager
async def guarded(*allowed: str) -> AsyncIterator[BaseTestServer]:
    """A small server behind the guard."""
    app = web.Application(middlewares=[guard(frozenset(allowed))])
    app.router.add_get("/", _page)
    app.router.add_post("/echo", _echo)
    # Without an access log, as all servers of ours are run.
    server = TestServer(app)
    await server.start_server(access_log=None)
    try:
        yield server
    finally:
        await server.close()


async def status(url: str, headers: dict[str, str], method: str = "GET") -> int:
    """Status of one request."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers) as reply,
    ):
        await reply.read()
        return reply.status


def send(port: int, data: bytes) -> bytes:
    """What a server answers to bytes, until it closes or waits for more."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while piece := connection.recv(65_536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_what_a_foreign_page_sends_is_refused(headers: dict[str, str]) -> None:
    """Before any handler runs, also where there is no page at all."""
    async with guarded() as server:
        for path in ("/", "/nothing"):
            assert await status(str(server.make_url(path)), headers) == 403


async def test_programs_and_our_own_page_are_served() -> None:
    """Programs send no Origin; a page of ours sends the server's own; listed names are fine."""
    async with guarded("worker") as server:
        url = str(server.make_url("/"))
        own = {"Origin": url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        for headers in ({}, own, {"Host": f"localhost:{server.port}"}, {"Host": "worker:6066"}):
            assert await status(url, headers) == 200


async def test_bytes_that_are_no_http_cost_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """However many come: no traceback, one line within ten seconds, and the server goes on."""
    server_log = logging.getLogger("aiohttp.server")
    for one in list(server_log.filters):
        server_log.removeFilter(one)
    caplog.set_level(logging.INFO)
    quiet_malformed_requests()
    quiet_malformed_requests()
    assert len(server_log.filters) == 1
    async with guarded() as server:
        for data in NO_HTTP * 3:
            await asyncio.to_thread(send, server.port or 0, data)
        assert await status(str(server.make_url("/")), {}) == 200
    told = [record for record in caplog.records if record.levelno >= logging.INFO]
    assert [record.exc_info for record in told] == [None]
    assert told[0].levelno == logging.WARNING
    assert "\n" not in told[0].getMessage()


def test_what_was_not_told_is_counted_in_the_next_line() -> None:
    """And errors of our own handlers keep their tracebacks."""
    now_s = [100.0]
    malformed = MalformedRequests(lambda: now_s[0])

    def record(error: Exception) -> logging.LogRecord:
        info = (type(error), error, None)
        return logging.LogRecord("aiohttp.server", logging.ERROR, "", 0, "Error", (), info)

    bug = record(RuntimeError("a bug"))
    assert malformed.filter(bug)
    assert bug.exc_info is not None
    bad = web.RequestPayloadError("cut off")
    assert [malformed.filter(record(bad)) for _ in range(4)] == [True, False, False, False]
    now_s[0] += 10.0
    late = record(bad)
    assert malformed.filter(late)
    assert "(3 more since" in late.getMessage()


@contextmanager
def metrics(*allowed: str) -> Iterator[int]:
    """A metrics server on a free port."""
    registry = CollectorRegistry()
    Gauge("fundingstream_of_a_test", "x", registry=registry).set(7)
    port = free_port()
    stop = serve_metrics(
        registry, "127.0.0.1", port, frozenset(allowed), "FUNDING_X_PORT", trouble=str
    )
    try:
        yield port
    finally:
        stop()


async def test_metrics_are_guarded(capfd: pytest.CaptureFixture[str]) -> None:
    """For programs, and for nobody's page; bytes that are no HTTP print nothing."""
    with metrics("sink") as port:
        url = f"http://127.0.0.1:{port}/metrics"
        for headers in FOREIGN.values():
            assert await status(url, headers) == 403
        assert await status(url, {"Host": "sink:9102"}) == 200
        assert b"fundingstream_of_a_test 7.0" in await asyncio.to_thread(
            send, port, b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        )
        for data in NO_HTTP:
            await asyncio.to_thread(send, port, data)
        assert await status(url, {}) == 200
    captured = capfd.readouterr()
    assert "Traceback" not in captured.out + captured.err


def test_a_taken_metrics_port_names_the_variable() -> None:
    """One line with the way out."""
    with metrics() as port, pytest.raises(UnavailableError, match="FUNDING_OTHER_PORT"):
        serve_metrics(CollectorRegistry(), "127.0.0.1", port, (), "FUNDING_OTHER_PORT", str)


@asynccontextmanager
async def simulator(directory: Path) -> AsyncIterator[str]:
    """A simulator of one feed; its URL."""
    with TruthLog(directory, 1) as truth:
        exchanges = create_exchanges(
            ["binance-usdm"], SimulatorOptions(seed=1), 4, 1_790_000_000_000
        )
        server = SimulatorServer(exchanges, truth, port=0)
        await server.start()
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            await server.stop()


async def test_no_page_can_silence_the_simulator(tmp_path: Path) -> None:
    """Neither its control nor its exchanges are for pages; a body that is no text is a 400."""
    async with simulator(tmp_path) as url:
        for headers in FOREIGN.values():
            assert await status(f"{url}/control/silence", headers, "POST") == 403
            assert await status(f"{url}/binance-usdm/fapi/v1/time", headers) == 403
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}/control/silence", data=b"\xff\xfe\xfd") as reply:
                assert reply.status == 400
            async with session.get(f"{url}/control") as reply:
                assert (await reply.json())["faults"] == []


async def test_fausts_own_pages_are_closed(tmp_path: Path) -> None:
    """Its server for tables, routes, graph and statistics is not started at all."""
    settings = load_settings(WorkerSettings, worker_data_dir=str(tmp_path))
    assert not faust_app(settings, "worker-1").conf.web_enabled
