"""The status page in a real browser, fed by the running stack."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.stack_fixture import RunningStack
from tests.support.stack_view import CONTRACTS, FEED
from tests.support.waiting import eventually

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


async def chromium(profile: Path, *arguments: str) -> str:
    """Run the browser once, with a new profile; what it printed."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *_FLAGS,
        f"--user-data-dir={profile}",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    return out.decode()


async def test_the_page_shows_feeds_and_contracts(stack: RunningStack, tmp_path: Path) -> None:
    """Every streaming contract has its row, the feed has one too, and all of it is fresh."""
    dom = await chromium(tmp_path, "--dump-dom", f"{stack.options.web}/")
    shown = set(re.findall(rf"<td>({FEED}:[^<]+)</td>", dom))
    assert shown >= {update.contract_id for update in stack.sent()}
    assert len(shown) >= CONTRACTS
    assert f"<td>{FEED}</td>" in dom
    assert f"{FEED}:币安人生USDT" in shown


@asynccontextmanager
async def proxied(stack: RunningStack, *, working: bool) -> AsyncIterator[tuple[str, list[str]]]:
    """The pages behind a server that notes what is asked, and may lose the worker's answers."""
    asked: list[str] = []

    async def forward(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path == "/fragment" and not working:
            return web.Response(status=503)
        async with session.get(f"{stack.options.web}{request.path_qs}") as reply:
            policy = reply.headers.get("Content-Security-Policy", "")
            return web.Response(
                body=await reply.read(),
                status=reply.status,
                content_type=reply.content_type,
                headers={"Content-Security-Policy": policy} if policy else {},
            )

    app = web.Application()
    app.router.add_get("/{path:.*}", forward)
    async with aiohttp.ClientSession() as session, TestServer(app) as server:
        yield str(server.make_url("/")), asked


@pytest.mark.parametrize("working", [True, False], ids=["answering", "silent"])
async def test_the_page_renews_itself_and_tells_when_it_cannot(
    stack: RunningStack,
    tmp_path: Path,
    working: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    """Its script runs under the page's own security policy; a silent worker is marked."""
    async with proxied(stack, working=working) as (url, asked):
        dom = await chromium(tmp_path, "--virtual-time-budget=9000", "--dump-dom", url)
    live = re.search(r'<main id="live"([^>]*)>', dom)
    assert live is not None
    assert asked.count("/fragment") >= 2
    assert ("offline" in live[1]) is not working
    assert f"{FEED}:BTCUSDT" in dom


async def test_the_page_can_be_seen(stack: RunningStack, tmp_path: Path) -> None:
    """A screenshot of the wanted size that is no single colour."""
    picture = tmp_path / "page.png"
    await chromium(
        tmp_path / "profile",
        f"--screenshot={picture}",
        "--window-size=1200,900",
        f"{stack.options.web}/",
    )
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1200, 900)
    assert len(data) > 20_000, "an empty page compresses to less"


async def test_a_silent_stream_is_shown_as_served_by_rest(
    stack: RunningStack, tmp_path: Path
) -> None:
    """The feed's row counts the contracts whose rate REST brought, and none when it is over."""

    async def by_rest() -> int:
        feeds = json.loads((await stack.get(f"{stack.options.web}/api/feeds"))[1])
        return next(int(feed["by_rest"]) for feed in feeds if feed["feed"] == FEED)

    async def all_by_rest() -> bool:
        return await by_rest() >= CONTRACTS

    async def none_by_rest() -> bool:
        return await by_rest() == 0

    await stack.control("silence")
    try:
        await eventually(all_by_rest, "REST serves every contract", 60)
        dom = await chromium(tmp_path, "--dump-dom", f"{stack.options.web}/")
    finally:
        await stack.control("resume")
    entries = re.findall(r"<td[^>]*>([^<]*)</td>", dom.split(f"<tr><td>{FEED}</td>")[1])
    assert int(entries[5].replace(",", "")) >= CONTRACTS
    await eventually(none_by_rest, "the stream serves every contract", 60)
