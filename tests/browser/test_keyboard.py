"""The page by keyboard alone, from the first Tab on."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from tests.support.browser import CHROMIUM, tab
from tests.support.page_site import page_site

pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
_VIEWS = {"m": "map", "s": "spreads", "f": "feeds", "a": "alerts", "c": "contracts"}


async def test_everything_can_be_reached_by_keyboard(browser: Browser) -> None:
    """Search, rows, star, unit, a contract and back, all views, theme, help."""
    async with page_site(60) as site, tab(browser, site.url) as page:
        await page.go("contracts")
        keyboard = page.page.keyboard
        await keyboard.press("Tab")
        assert await page.page.evaluate("document.activeElement.className") == "skip"
        await keyboard.press("/")
        assert await page.page.evaluate("document.activeElement.type") == "search"
        await keyboard.type("M00")
        await page.until("location.hash.includes('q=M00')")
        await keyboard.press("Escape")
        await keyboard.press("j")
        await keyboard.press("j")
        await page.page.wait_for_selector(".vt-row[aria-selected=true]")
        chosen = await page.text(".vt-row[aria-selected=true] .name b")
        active = await page.page.get_attribute("[role=grid]", "aria-activedescendant")
        assert active == await page.page.get_attribute(".vt-row[aria-selected=true]", "id")
        await keyboard.press("s")
        await page.page.wait_for_selector(
            ".vt-row[aria-selected=true] .star[aria-pressed=true]", state="attached"
        )
        await keyboard.press("u")
        await page.until("location.hash.includes('unit=bps')")
        await keyboard.press("Enter")
        await page.until("location.hash.startsWith('#/contract/')")
        await page.shows(chosen)
        await keyboard.press("Escape")
        await page.until("location.hash.startsWith('#/contracts')")
        for key, view in _VIEWS.items():
            await keyboard.press("g")
            await keyboard.press(key)
            await page.until("(view) => location.hash.startsWith(`#/${view}`)", view)
        theme = await page.page.get_attribute("html", "data-theme")
        await keyboard.press("t")
        assert await page.page.get_attribute("html", "data-theme") != theme
        await keyboard.press("?")
        await page.page.wait_for_selector("dialog[open]")
        await keyboard.press("Escape")
        await page.page.wait_for_selector("dialog[open]", state="detached")


async def test_letters_are_letters_while_one_types(browser: Browser) -> None:
    """No view is left, no star is set, no theme is changed."""
    async with page_site(60) as site, tab(browser, site.url) as page:
        await page.go("contracts")
        theme = await page.page.get_attribute("html", "data-theme")
        await page.page.focus("input[type=search]")
        await page.page.keyboard.type("gm t s u j ?")
        assert await page.page.input_value("input[type=search]") == "gm t s u j ?"
        assert (await page.page.evaluate("location.hash")).startswith("#/contracts")
        assert await page.page.get_attribute("html", "data-theme") == theme
        assert await page.page.locator("dialog[open]").count() == 0


async def test_stars_and_theme_are_remembered(browser: Browser) -> None:
    """By this browser; the page asks no server to."""
    async with page_site(60) as site, tab(browser, site.url) as page:
        await page.go("contracts?q=M0007USDT")
        await page.page.keyboard.press("j")
        await page.page.keyboard.press("s")
        await page.page.keyboard.press("t")
        theme = await page.page.get_attribute("html", "data-theme")
        await page.go("contracts?star=1", state=None)
        await page.page.reload()
        await page.state("live")
        await page.until("document.querySelectorAll('.vt-row:not([hidden])').length === 1")
        assert "M0007USDT" in await page.text(".vt-row:not([hidden])")
        assert await page.page.get_attribute("html", "data-theme") == theme
