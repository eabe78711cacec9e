"""Debian's Chromium, driven as a person would: what a tab shows, and what it complains about."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, async_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESKTOP, PHONE = (1440, 900), (390, 844)
TIMEOUT_MS = 15_000
SERIOUS = {"serious", "critical"}

Theme = Literal["light", "dark"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests; each tab has a profile of its own."""
    assert CHROMIUM is not None, "tests without a Chromium are skipped"
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield launched
        await launched.close()


class Tab:
    """A tab that shows the page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._said)

    def _said(self, message: Any) -> None:
        # What a server refuses is a test's own doing, or is shown on the page.
        expected = "Failed to load resource" in message.text or "WebSocket conn" in message.text
        if message.type == "error" and not expected:
            self.complaints.append(message.text)

    @property
    def rows(self) -> Locator:
        """The rows of the virtual table that are in the document and in use."""
        return self.page.locator(".vt-row:not([hidden])")

    async def go(self, view: str, state: str | None = "live") -> None:
        """Open a view, and wait until the page is in that state."""
        await self.page.goto(f"{self.url}#/{view}")
        if state is not None:
            await self.state(state)

    async def state(self, *states: str) -> None:
        """Wait until the page is in one of these states."""
        wanted = ", ".join(f'html[data-state="{state}"]' for state in states)
        await self.page.wait_for_selector(wanted, state="attached", timeout=TIMEOUT_MS)

    async def shows(self, text: str) -> None:
        """Wait until a text is in sight."""
        await self.page.get_by_text(text).first.wait_for(timeout=TIMEOUT_MS)

    async def until(self, script: str, argument: Any = None) -> None:
        """Wait until a function of JavaScript, or an expression, is true."""
        # The page's policy forbids to evaluate text, which is what an expression would be.
        script = script if "=>" in script else f"() => {script}"
        await self.page.wait_for_function(script, arg=argument, timeout=TIMEOUT_MS)

    async def text(self, selector: str) -> str:
        """What an element says."""
        return (await self.page.locator(selector).first.inner_text()).strip()

    async def findings(self) -> list[str]:
        """What axe finds that is serious or worse."""
        results = await Axe().run(self.page)
        return [
            f"{found['id']}: {node['html'][:160]}"
            for found in results.response["violations"]
            if found["impact"] in SERIOUS
            for node in found["nodes"]
        ]

    async def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        width: int = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width


@asynccontextmanager
async def tab(
    browser: Browser,
    url: str,
    size: tuple[int, int] = DESKTOP,
    theme: Theme = "light",
) -> AsyncIterator[Tab]:
    """A tab with a new profile. At its end it must have had nothing to complain about."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,
        has_touch=size == PHONE,
    )
    found = Tab(await context.new_page(), url)
    try:
        yield found
        assert found.complaints == []
    finally:
        await context.close()


async def shot(found: Tab, path: Path) -> bytes:
    """A screenshot."""
    return await found.page.screenshot(path=path)
