"""What cannot be mistaken: live, loading, stale, frozen, empty, and the way back."""

from __future__ import annotations

import time

import pytest
from playwright.async_api import Browser

from schemas.feeds import FEEDS
from tests.support.browser import CHROMIUM, TIMEOUT_MS, tab
from tests.support.page_site import page_site
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
FROZEN_WITHIN_S = 3.0


async def test_rates_change_while_one_looks(browser: Browser) -> None:
    """The number in a row is renewed, its age stays young, and a marked text stays marked."""
    async with page_site(50) as site, tab(browser, site.url) as page:
        await page.go("contracts?q=M0003USDT")
        before = await page.text(".vt-row:not([hidden])")
        await page.until(
            "(before) => document.querySelector('.vt-row:not([hidden])').innerText !== before",
            before,
        )
        await page.page.evaluate(
            "getSelection().selectAllChildren(document.querySelector('.vt-row .name b'))"
        )
        changed = await page.text(".vt-row:not([hidden])")
        await page.until(
            "(before) => document.querySelector('.vt-row:not([hidden])').innerText !== before",
            changed,
        )
        assert await page.page.evaluate("getSelection().toString()") == "M0003USDT"


async def test_a_frozen_page_looks_frozen_within_three_seconds(browser: Browser) -> None:
    """The server sends nothing more: a banner says since when, numbers are grey, ages go on."""
    async with page_site(50) as site, tab(browser, site.url) as page:
        await page.go("contracts")
        site.freeze()
        begun_s = time.monotonic()
        await page.state("frozen")
        took_s = time.monotonic() - begun_s
        # The last frame may have come a moment before, and the clock runs on while we ask.
        assert took_s < FROZEN_WITHIN_S + 1.5
        assert "Frozen since" in await page.text("#banner")
        style = await page.page.evaluate("getComputedStyle(document.querySelector('main')).filter")
        assert "grayscale" in style
        age = await page.text(".vt-row:not([hidden]) .age")
        await page.until(
            "(age) => document.querySelector('.vt-row:not([hidden]) .age').innerText !== age", age
        )


async def test_a_lost_connection_is_told_and_comes_back(browser: Browser) -> None:
    """Another life of the server sends a snapshot: nothing of the old one is left."""
    async with page_site(50) as site, tab(browser, site.url) as page:
        await page.go("contracts")
        await site.stop_serving()
        await page.state("frozen")
        await page.shows("Trying again")
        await site.serve_again(30)
        await page.state("live")
        await page.until(
            "document.querySelector('[role=grid]').getAttribute('aria-rowcount') === '31'"
        )


async def test_a_silent_feed_is_stale_and_the_others_are_live(browser: Browser) -> None:
    """The banner names it and leads to its contracts; their rows are marked."""
    async with page_site(50) as site, tab(browser, site.url) as page:
        await page.go("contracts")
        silent = FEEDS[0]
        site.market.silence(silent, 400.0)
        await page.state("stale")
        banner = await page.text("#banner")
        assert silent in banner
        await page.page.click("#banner a")
        await page.until("location.hash.includes('feed=')")
        await page.page.wait_for_selector(".vt-row.stale:not([hidden])", timeout=TIMEOUT_MS)
        for row in await page.rows.all_inner_texts():
            assert silent in row


async def test_a_page_without_contracts_says_what_will_come(browser: Browser) -> None:
    """No zeros, no empty table without a word."""
    async with page_site(0) as site, tab(browser, site.url) as page:
        await page.go("contracts", state=None)
        await page.state("empty", "warming")
        words = await page.text("main")
        assert len(words) > 20
        assert "0.0000" not in words


async def test_a_hidden_tab_takes_everything_and_shows_it_when_it_is_seen(browser: Browser) -> None:
    """Its memory does not grow by what it does not draw."""
    async with page_site(50) as site, tab(browser, site.url) as page:
        await page.go("contracts")
        other = await page.page.context.new_page()
        await other.bring_to_front()
        sent = site.hub.sent_frames

        async def went_on() -> bool:
            return site.hub.sent_frames > sent + 3

        await eventually(went_on, "frames are taken", 10)
        await page.page.bring_to_front()
        await page.state("live")


@pytest.mark.parametrize("contracts", [2_000, 10_000])
async def test_many_contracts(browser: Browser, contracts: int) -> None:
    """All of them can be found; the document holds only what is in sight."""
    async with page_site(contracts) as site, tab(browser, site.url) as page:
        await page.go("contracts")
        grid = page.page.locator("[role=grid]")
        assert await grid.get_attribute("aria-rowcount") == str(contracts + 1)
        assert await page.page.locator(".vt-row").count() < 120
        await grid.evaluate("(grid) => { grid.scrollTop = grid.scrollHeight; }")
        await page.until(
            '(last) => document.querySelector(`.vt-row[aria-rowindex="${last}"]`) !== null',
            contracts + 1,
        )
        assert await page.page.locator(".vt-row").count() < 160
        await page.page.fill("input[type=search]", f"M{contracts - 1:04d}USDT")
        await page.until("document.querySelectorAll('.vt-row:not([hidden])').length === 1")
        await page.go("map")
        await page.page.wait_for_selector("canvas", timeout=TIMEOUT_MS)


async def test_who_has_the_token_comes_to_the_view_of_the_link(browser: Browser) -> None:
    """By the form, as a person signs in: the view that was linked opens, live."""
    token = "a-token-of-this-test"
    async with page_site(30, web_token=token) as site, tab(browser, site.url) as page:
        await page.page.goto(f"{site.url}#/feeds")
        await page.page.wait_for_url("**/login#/feeds")
        await page.page.fill("input[type=password]", "not-the-token-of-this")
        await page.page.keyboard.press("Enter")
        await page.shows("This is not the token")
        await page.page.fill("input[type=password]", token)
        await page.page.keyboard.press("Enter")
        await page.state("live")
        assert await page.page.evaluate("location.hash") == "#/feeds"
        assert await page.findings() == []


async def test_a_link_on_another_site_leads_to_its_view(browser: Browser) -> None:
    """As from a chat: the browser goes to the page itself."""
    async with page_site(30) as site, page_site(5) as other, tab(browser, other.url) as page:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        for url in (other.url, elsewhere):
            await page.page.goto(url)
            await page.page.evaluate(
                "(url) => { const link = document.createElement('a'); link.href = url;"
                " document.body.append(link); link.click(); }",
                f"{site.url}#/alerts",
            )
            await page.page.wait_for_url(f"{site.url}#/alerts")
            await page.state("live")
