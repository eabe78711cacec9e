"""The page over the running stack: real topics, real history, a worker that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser

from infra.embedded.ports import free_port
from tests.support.browser import CHROMIUM, TIMEOUT_MS, shot, tab
from tests.support.stack_fixture import RunningStack
from tests.support.stack_view import CONTRACTS, FEED
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
_LIVE = ("live", "warming")


async def test_the_page_shows_every_contract(
    browser: Browser, stack: RunningStack, tmp_path: Path
) -> None:
    """Each that streams has a row; the page says that nothing of it is real, and how late it is."""
    streaming = {update.contract_id for update in stack.sent()}
    async with tab(browser, f"{stack.options.web}/") as page:
        await page.go("contracts", state=None)
        await page.state(*_LIVE)
        await page.until(
            "(least) => Number(document.querySelector('[role=grid]').ariaRowCount"
            " ?? document.querySelector('[role=grid]').getAttribute('aria-rowcount')) > least",
            len(streaming),
        )
        assert await page.text("#mode") == "SIMULATED"
        await page.page.fill("input[type=search]", "币安人生")
        await page.until("document.querySelectorAll('.vt-row:not([hidden])').length === 1")
        assert "币安人生USDT" in await page.text(".vt-row:not([hidden])")
        await page.until("/to pixel p50 . p99 \\d+ . \\d+ ms/.test(document.body.innerText)")
        picture = await shot(page, tmp_path / "page.png")
    assert struct.unpack(">II", picture[16:24]) == (1440, 900)


async def test_a_row_says_what_the_topic_and_sql_say(browser: Browser, stack: RunningStack) -> None:
    """To the digit, of a contract whose rate is held for a while: the feed is silenced."""
    await stack.control("silence")
    try:
        async with tab(browser, f"{stack.options.web}/") as page:
            await page.go("contracts?q=BTCUSDT", state=None)
            await page.page.wait_for_selector(".vt-row:not([hidden])", timeout=TIMEOUT_MS)

            async def same() -> bool:
                (row,) = await stack.rows(
                    f"SELECT rate, apr FROM funding.latest WHERE contract_id = '{FEED}:BTCUSDT'"
                )
                shown = await page.text(".vt-row:not([hidden])")
                rate, apr = (number(value, digits) for value, digits in ((row[0], 4), (row[1], 1)))
                return rate in shown and apr in shown

            await eventually(same, "the row says what SQL says", 60)
    finally:
        await stack.control("resume")
    await stack.flowing()


def number(share: float, digits: int) -> str:
    """A fraction as the page writes it: in %, always signed, with a true minus."""
    text = f"{share * 100:+.{digits}f}".replace("-", "−")
    return text[1:] if float(f"{share * 100:.{digits}f}") == 0 else text


async def test_a_silent_stream_is_shown_as_served_by_rest(
    browser: Browser, stack: RunningStack
) -> None:
    """In the column of sources, until the stream is back."""
    await stack.control("silence")
    try:
        async with tab(browser, f"{stack.options.web}/") as page:
            await page.go("contracts", state=None)
            await page.page.get_by_text("REST").first.wait_for(timeout=60_000)
    finally:
        await stack.control("resume")
    await stack.flowing()


async def test_a_contract_has_its_past_its_bytes_and_its_sql(
    browser: Browser, stack: RunningStack
) -> None:
    """The chart has settlements, the raw bytes are the exchange's, the statement runs."""
    async with tab(browser, f"{stack.options.web}/") as page:
        await page.go(f"contract/{FEED}:BTCUSDT?range=30", state=None)
        await page.page.wait_for_selector(".chart .dot", timeout=60_000, state="attached")
        await page.page.wait_for_selector(".bin", timeout=TIMEOUT_MS, state="attached")
        raw = page.page.locator("pre.raw")
        await raw.first.scroll_into_view_if_needed()
        await page.until(
            "[...document.querySelectorAll('pre.raw')].some("
            "(pre) => pre.innerText.includes('\"BTCUSDT\"'))"
        )
        (shown,) = [text for text in await raw.all_inner_texts() if "SELECT" in text]
        for statement in filter(str.strip, shown.split(";")):
            assert len(await stack.rows(statement)) > 0, statement
        assert await page.findings() == []


async def test_feeds_and_spreads_have_their_history(browser: Browser, stack: RunningStack) -> None:
    """Uptime of the day, and 96 quarters of an hour."""
    async with tab(browser, f"{stack.options.web}/") as page:
        await page.go("feeds", state=None)
        await page.until("/\\d\\d\\.\\d\\d/.test(document.querySelector('.feeds-table').innerText)")
        assert FEED in await page.text(".feeds-table")
        await page.go("spreads", state=None)
        await page.until("document.querySelector('main').innerText.length > 20")


async def test_a_killed_worker_is_told_and_comes_back(
    browser: Browser, stack: RunningStack
) -> None:
    """Kill -9: frozen within three seconds, live again with the next worker, nothing reloaded."""
    async with tab(browser, f"{stack.options.web}/") as page:
        await page.go("contracts", state=None)
        await page.state(*_LIVE)
        await page.page.evaluate("window.stillHere = true")
        # A worker that is killed may be back sooner than a page says that it is frozen.
        os.kill(stack.supervisor.pids["worker"], signal.SIGSTOP)
        await page.state("frozen")
        assert "Frozen since" in await page.text("#banner")
        await stack.kill("worker")
        await page.state(*_LIVE)
        assert await page.page.evaluate("window.stillHere") is True
    await stack.flowing()


@asynccontextmanager
async def another(stack: RunningStack, part: str, data_dir: Path) -> AsyncIterator[str]:
    """Another process that serves the page, beside the stack's worker; its URL."""
    port = free_port()
    environment = {
        **stack.options.environment(),
        "FUNDING_WEB_PORT": str(port),
        "FUNDING_WORKER_DATA_DIR": str(data_dir),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "infra.cli", part, env=environment
    )
    url = f"http://127.0.0.1:{port}"

    async def ready() -> bool:
        try:
            return (await stack.get(f"{url}/readyz"))[0] == 200
        except aiohttp.ClientError:
            return False

    try:
        await eventually(ready, "the page is ready", 60)
        yield url
    finally:
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize("part", ["page", "worker"])
async def test_the_same_page_from_a_worker_and_from_another_process(
    browser: Browser, stack: RunningStack, tmp_path: Path, part: str
) -> None:
    """The same contracts and, while nothing changes, the same numbers: of two workers as well."""
    async with another(stack, part, tmp_path) as url:

        async def contracts(web: str) -> dict[str, dict[str, Any]]:
            rows = json.loads((await stack.get(f"{web}/api/v1/contracts?limit=5000"))[1])
            return {row["contract_id"]: row for row in rows["contracts"]}

        async with stack.quiet():

            async def same() -> bool:
                return await contracts(url) == await contracts(stack.options.web)

            await eventually(same, "both pages know the same", 30)
            assert len(await contracts(url)) >= CONTRACTS
        async with tab(browser, f"{url}/") as page:
            await page.go("contracts?q=BTCUSDT", state=None)
            await page.state(*_LIVE)
            assert re.search(r"[+−]?\d\.\d{4}", await page.text(".vt-row:not([hidden])"))
