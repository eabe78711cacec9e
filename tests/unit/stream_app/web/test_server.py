"""The page's server over HTTP: what it gives, to whom, and what it refuses."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from schemas.clock import SystemClock
from stream_app.settings import PageSettings
from stream_app.web.application import Mounted, application
from stream_app.web.fleet import Fleet
from stream_app.web.live.frames import FrameMaker
from stream_app.web.live.hub import Hub
from stream_app.web.server import access, limits, login
from stream_app.web.server.headers import POLICY
from stream_app.web.server.limits import Load
from tests.unit.stream_app.web.test_frames import opened

TOKEN = "not-a-secret-0123456789"
EPOCH = "e1"


class Site:
    """A page that nobody fills but the test."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.clock = SystemClock()
        frames = FrameMaker(self.fleet, lambda _now_us: {"market": "live"}, EPOCH)
        self.hub = Hub(self.fleet, frames, self.clock, EPOCH)
        self.load = Load()
        self.url = ""
        self.http: aiohttp.ClientSession

    async def get(self, path: str, **options: Any) -> tuple[int, Any, bytes]:
        """Status, headers and body."""
        async with self.http.get(f"{self.url}{path}", allow_redirects=False, **options) as reply:
            return reply.status, reply.headers, await reply.read()


@asynccontextmanager
async def site(**changes: Any) -> AsyncIterator[Site]:
    """The page on a free port; `changes` are settings."""
    found = Site()

    async def probe(_request: web.Request) -> web.Response:
        return web.Response(text="alive")

    async def broken(_request: web.Request) -> web.Response:
        raise RuntimeError("a bug")

    def mount(app: web.Application) -> None:
        app.router.add_get("/healthz", probe)
        app.router.add_get("/broken", broken)

    app = application(
        PageSettings(**changes),
        found.hub,
        found.load,
        found.clock,
        lambda _app: None,
        Mounted(("/healthz",), mount),
    )
    running = asyncio.create_task(found.hub.run())
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        found.url, found.http = str(server.make_url("")).rstrip("/"), http
        yield found
    running.cancel()


def error(body: bytes) -> str:
    """The reason in a refusal."""
    reason: str = json.loads(body)["error"]
    return reason


async def test_the_page_and_its_files_have_strict_headers() -> None:
    """On errors as well; nothing inline may run."""
    async with site() as page:
        for path, expected in (("/", 200), ("/assets/js/app.js", 200), ("/nothing", 404)):
            status, headers, _ = await page.get(path)
            assert status == expected
            assert headers["Content-Security-Policy"] == POLICY
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "unsafe" not in POLICY
        _, _, body = await page.get("/")
        assert b"<style" not in body
        assert b"style=" not in body
        assert b"<script>" not in body
        assert b"javascript:" not in body


async def test_files_are_packed_and_asked_for_once() -> None:
    """Gzip for who takes it; 304 for who has them."""
    async with site() as page:
        plain = await page.get("/assets/js/app.js", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain[1]
        async with page.http.get(f"{page.url}/assets/js/app.js", auto_decompress=False) as reply:
            packed = await reply.read()
        assert gzip.decompress(packed) == plain[2]
        tag = plain[1]["ETag"]
        status, _, body = await page.get("/assets/js/app.js", headers={"If-None-Match": tag})
        assert (status, body) == (304, b"")
        assert (await page.get("/assets/js/app.js", headers={"If-None-Match": '"x"'}))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../settings.py",
        "/assets/%2e%2e/settings.py",
        "/assets/..%2f..%2fsettings.py",
        "/assets/js/../../page.py",
        "/assets//etc/passwd",
        "/assets/%00",
        "/assets/js",
        "/assets/",
        "/assets/" + "a" * 3_000,
    ],
)
async def test_no_path_leads_out_of_the_page_s_folder(path: str) -> None:
    """Only files that were found at the start are served."""
    async with site() as page:
        port = int(page.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        answer = await reader.read()
        writer.close()
        assert answer.split(b" ", 2)[1] == b"404"
        assert b"root:" not in answer
        assert b"import" not in answer


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Host": "evil.example"}, "is not a name of this server"),
        ({"Origin": "http://evil.example"}, "may not use this server"),
        ({"Origin": "null"}, "may not use this server"),
        ({"Sec-Fetch-Site": "cross-site"}, "another site"),
        ({"Sec-Fetch-Site": "same-site"}, "another site"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/live", "/assets/js/app.js", "/login"])
async def test_a_foreign_page_gets_nothing(path: str, headers: dict[str, str], told: str) -> None:
    """Neither files nor a socket: browsers let every page open sockets to loopback."""
    asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers}  # fmt: skip
    async with site() as page:
        status, _, body = await page.get(path, headers=asked)
        assert status == 403
        assert told in error(body)
        assert page.hub.clients == 0


async def test_a_link_of_another_site_leads_to_the_page() -> None:
    """A person comes to the page itself; nothing else may be had so."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    shown, framed = {**link, "Sec-Fetch-Dest": "document"}, {**link, "Sec-Fetch-Dest": "iframe"}
    async with site() as page:
        assert (await page.get("/", headers=shown))[0] == 200
        assert (await page.get("/", headers=framed))[0] == 403
        assert (await page.get("/api/v1/summary", headers=shown))[0] == 403
        assert (await page.get("/", headers={**shown, "Origin": "http://evil.example"}))[0] == 403
        assert (await page.get("/", headers={**shown, "Host": "evil.example"}))[0] == 403
        async with page.http.post(f"{page.url}/login", headers=shown) as reply:
            assert reply.status == 403


async def test_the_page_s_own_socket_has_its_own_origin() -> None:
    """Which is let in."""
    async with site() as page, page.http.ws_connect(f"{page.url}/live", origin=page.url) as socket:
        assert opened((await socket.receive(5)).data)["type"] == "snapshot"


async def test_nothing_is_read_without_the_token() -> None:
    """But the login page, the page's files and what supervisors ask."""
    async with site(web_token=TOKEN, web_host="0.0.0.0") as page:
        for path in ("/", "/live", "/api/v1/contracts", "/broken", "/nothing"):
            status, headers, body = await page.get(path)
            assert status == 401, path
            assert headers["WWW-Authenticate"].startswith("Bearer")
            assert "Authorization: Bearer" in error(body)
        for path in ("/login", "/healthz", "/assets/js/app.js"):
            assert (await page.get(path))[0] == 200, path
        status, headers, _ = await page.get("/", headers={"Accept": "text/html"})
        assert (status, headers["Location"]) == (303, "/login")
        for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ü"):
            sent = {"Authorization": f"Bearer {wrong}"}
            assert (await page.get("/", headers=sent))[0] == 401
            assert (await page.get("/", cookies={"fundingstream": wrong}))[0] == 401
        assert (await page.get("/", cookies={"fundingstream": TOKEN}))[0] == 401
        assert (await page.get("/", headers={"Authorization": "Bearer"}))[0] == 401
        assert (await page.get("/", headers={"Authorization": "Bearer x"}))[0] == 429
        assert (await page.get("/", headers={"Authorization": f"bearer {TOKEN}"}))[0] == 200


async def test_the_login_sets_a_cookie_that_scripts_and_other_sites_do_not_get() -> None:
    """It is derived from the token, and opens the page and the socket."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with site(web_token=TOKEN) as page, aiohttp.ClientSession(cookie_jar=jar) as http:
        async with http.post(f"{page.url}/login", data={"token": "wrong"}) as reply:
            assert reply.status == 403
            assert "This is not the token" in await reply.text()
        async with http.post(
            f"{page.url}/login", data={"token": TOKEN}, allow_redirects=False
        ) as reply:
            assert reply.status == 303
            cookie = reply.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert TOKEN not in cookie
        async with http.get(f"{page.url}/") as reply:
            assert reply.status == 200
        async with http.ws_connect(f"{page.url}/live") as socket:
            assert (await socket.receive(5)).type is WSMsgType.BINARY


async def test_the_token_cannot_be_guessed_quickly() -> None:
    """After some wrong ones an address has to wait, but not who knows it: proxies share one."""
    async with site(web_token=TOKEN) as page:
        states = []
        for _ in range(round(access.WRONG_BURST) + 2):
            async with page.http.post(f"{page.url}/login", data={"token": "x"}) as reply:
                states.append(reply.status)
        assert states == [403] * round(access.WRONG_BURST) + [429] * 2
        assert int(reply.headers["Retry-After"]) >= 1
        async with page.http.post(
            f"{page.url}/login", data={"token": TOKEN}, allow_redirects=False
        ) as reply:
            assert reply.status == 303


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "application/x-www-form-urlencoded; charset=foo"}, b"token=a"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"token=\xff"),
        ({"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}, b"x"),
        ({"Content-Type": "application/json"}, b"{}"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x"),
    ],
)
async def test_a_malformed_login_is_a_wrong_one(headers: dict[str, str], body: bytes) -> None:
    """And no error of ours."""
    async with (
        site(web_token=TOKEN) as page,
        page.http.post(f"{page.url}/login", data=body, headers=headers) as reply,
    ):
        assert reply.status in {400, 403}


async def test_a_login_that_never_comes_holds_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """408 after some seconds."""
    monkeypatch.setattr(login, "FORM_WITHIN_S", 0.1)
    async with site(web_token=TOKEN) as page:
        port = int(page.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        assert page.load.at_once == 0


async def test_viewers_do_not_make_a_healthy_process_look_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What supervisors ask is answered whatever else is asked."""
    monkeypatch.setattr(limits, "BURST", 1.0)
    monkeypatch.setattr(limits, "MAX_AT_ONCE", 0)
    async with site() as page:
        assert [(await page.get("/healthz"))[0] for _ in range(9)] == [200] * 9
        assert (await page.get("/"))[0] in {429, 503}


async def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many requests of an address, and a body that no request needs."""
    monkeypatch.setattr(limits, "BURST", 20.0)
    monkeypatch.setattr(limits, "REQUESTS_PER_S", 0.01)
    async with site() as page:
        async with page.http.post(f"{page.url}/login", data=b"x" * 100_000) as reply:
            assert reply.status == 413
        states = [(await page.get("/assets/icon.svg"))[0] for _ in range(25)]
        assert states == [200] * 19 + [429] * 6
        assert page.load.refused == 7


async def test_errors_are_json_and_tell_no_internals() -> None:
    """A bug of ours is logged, and not shown."""
    async with site() as page:
        status, _, body = await page.get("/broken")
        assert (status, error(body)) == (500, "the server has a bug: see its log")
        async with page.http.delete(f"{page.url}/") as reply:
            assert reply.status == 405
            assert "GET" in reply.headers["Allow"]
            assert "405" in error(await reply.read())
