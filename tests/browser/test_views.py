"""Every view in Chromium, on a made-up market: what it shows, on a desk and on a phone, for all."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from schemas.feeds import FEEDS
from tests.support.browser import CHROMIUM, DESKTOP, PHONE, TIMEOUT_MS, Theme, tab
from tests.support.page_site import UNPRICED, PageSite, page_site
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
CONTRACTS = 300
VIEWS = {
    "contracts": ".vt-row:not([hidden])",
    "map": "canvas",
    "spreads": ".vt-row:not([hidden])",
    "feeds": ".feeds-table tr.f-row",
    "alerts": ".vt-row:not([hidden])",
    f"contract/{FEEDS[0]}:M0000USDT": ".tile",
}
"""Each view, and what it must have drawn."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site() -> AsyncIterator[PageSite]:
    """One market for all tests of this module: they only look."""
    async with page_site(CONTRACTS) as running:
        yield running


@pytest.mark.parametrize(
    ("size", "theme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")]
)
@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_is_drawn_and_can_be_used_by_all(
    browser: Browser, site: PageSite, view: str, size: tuple[int, int], theme: Theme
) -> None:
    """Nothing is blocked by the page's policy, nothing overflows, axe finds nothing serious."""
    async with tab(browser, site.url, size, theme) as page:
        await page.go(view)
        await page.page.wait_for_selector(VIEWS[view], timeout=TIMEOUT_MS)
        assert await page.overflow() <= 0
        assert await page.findings() == []
        assert await page.page.get_attribute("html", "data-theme") == theme


async def test_a_row_has_everything_in_comparable_units(browser: Browser, site: PageSite) -> None:
    """Sign, interval, eight-hour rate, APR, z, percentile, countdown, age, source."""
    async with tab(browser, site.url) as page:
        await page.go("contracts?q=M0001USDT")
        await page.until("document.querySelectorAll('.vt-row:not([hidden])').length === 1")
        row = (await page.text(".vt-row:not([hidden])")).replace("\n", " ")
        assert "M0001USDT" in row
        assert FEEDS[1] in row
        for pattern in (r"[+−]\d\.\d{4}", r"\b[148] h", r"[+−]\d+\.\d\d", r"\d:\d\d:\d\d", r"\d s",
                        "stream"):  # fmt: skip
            assert re.search(pattern, row), (pattern, row)
        assert await page.text("#mode") == "SIMULATED"


async def test_the_address_is_the_state(browser: Browser, site: PageSite) -> None:
    """What is searched, filtered and sorted is in the link, and a reload shows the same."""
    async with tab(browser, site.url) as page:
        await page.go("contracts")
        await page.page.fill("input[type=search]", FEEDS[2])
        await page.page.get_by_role("button", name="Age").click()
        await page.until("location.hash.includes('sort=age')")
        await page.until("location.hash.includes('q=')")
        shown = await page.page.get_attribute("[role=grid]", "aria-rowcount")
        await page.page.reload()
        await page.state("live")
        await page.until(
            "document.querySelector('[role=grid]').getAttribute('aria-rowcount') === String("
            f"{shown})"
        )
        assert await page.page.input_value("input[type=search]") == FEEDS[2]
        sorted_by = page.page.locator("[role=columnheader][aria-sort=ascending]")
        descending = page.page.locator("[role=columnheader][aria-sort=descending]")
        assert await sorted_by.count() + await descending.count() == 1


async def test_filters_keep_what_they_say(browser: Browser, site: PageSite) -> None:
    """|z| from 2 on, of one feed; each row that is left is one."""
    async with tab(browser, site.url) as page:
        await page.go(f"contracts?feed={FEEDS[0]}&band=n3,n2,p2,p3")
        await page.until("document.querySelectorAll('.vt-row:not([hidden])').length > 0")

        async def kept() -> bool:
            # A row that leaves its band stays until the order is renewed.
            rows = await page.rows.all_inner_texts()
            return all(FEEDS[0] in row and strongest(row) >= 2 for row in rows)

        await eventually(kept, "only such rows are shown", 30)


async def test_what_is_traded_stands_beside_a_contract(browser: Browser, site: PageSite) -> None:
    """Turnover and open interest, in short; the table can be sorted by them."""
    async with tab(browser, site.url) as page:
        await page.go("contracts?q=M0006USDT")
        await page.until("document.querySelectorAll('.vt-row:not([hidden])').length === 1")
        row = await page.rows.first.inner_text()
        assert "7M" in row.split("\n")
        assert "3.5M" in row.split("\n")
        await page.go("contracts?sort=turnover")
        await page.until(
            "document.querySelector('.vt-row:not([hidden])').innerText.includes('M0299USDT')"
        )


async def test_spreads_of_what_can_be_traded(browser: Browser, site: PageSite) -> None:
    """Both legs trade that much; the address keeps the filter, and Esc drops it."""
    async with tab(browser, site.url) as page:
        await page.go("spreads")
        await page.until("document.querySelectorAll('.vt-row:not([hidden])').length > 1")
        await page.page.get_by_label("Smallest turnover of either leg").fill("290")
        await page.until("document.querySelectorAll('.vt-row:not([hidden])').length === 1")
        row = await page.rows.first.inner_text()
        assert row.startswith("B0019")
        (less,) = re.findall(r"(\d+)M", row)
        assert int(less) >= 290
        assert "vol=290" in await page.page.evaluate("location.hash")
        await page.page.get_by_label("Smallest turnover of either leg").fill("9999")
        await page.shows("No spread matches.")
        await page.page.reload()
        await page.shows("No spread matches.")
        await page.page.get_by_role("button", name="Clear").click()
        await page.until("document.querySelectorAll('.vt-row:not([hidden])').length > 1")


async def test_a_pair_that_was_not_checked_is_marked(browser: Browser, site: PageSite) -> None:
    """In the table, and in words beside it; the others are not."""
    async with tab(browser, site.url) as page:
        await page.go(f"spreads?base={UNPRICED}")
        await page.shows("Prices were not compared")
        marks = (
            "[...document.querySelectorAll('.vt-row:not([hidden])')].filter((row) => {name}).length"
        )
        marked = "row.querySelector('.unsure:not([hidden])')"
        await page.until(f"{marks.format(name=marked)} === 1")
        assert await page.page.evaluate(
            f"document.querySelector('.vt-row[aria-selected=true]').innerText.startsWith('{UNPRICED}')"
        )
        await page.go("spreads?base=B0002")
        await page.shows("Prices 0.00 % apart")


def strongest(row: str) -> float:
    """The largest of the numbers with two decimals in a row, by size: its z or its robust z."""
    found = re.findall(r"[+−]\d+\.\d\d\b", row)
    return max(abs(float(each.replace("−", "-"))) for each in found)


async def test_an_unknown_contract_and_an_unknown_view_say_so(
    browser: Browser, site: PageSite
) -> None:
    """In words, with a way on."""
    async with tab(browser, site.url) as page:
        await page.go("contract/kucoin:NOPE")
        await page.shows("NOPE")
        assert await page.page.locator("a[href='#/contracts']").count() > 0
        await page.go("nowhere")
        await page.page.wait_for_selector("main *", timeout=TIMEOUT_MS)


async def test_text_from_outside_stays_text(browser: Browser) -> None:
    """A symbol, a reason and an alert with markup are shown as they are, and run nothing."""
    evil = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
    async with page_site(20) as site, tab(browser, site.url) as page:
        market = site.market
        symbol = f'"><b id=hit>{evil}'
        market.take_symbol(symbol)
        market.take_alert(evil)
        for view in ("contracts", "map", "spreads", "feeds", "alerts"):
            await page.go(view, state=None)
            await page.state("live", "stale")
            await page.until("document.querySelector('main').children.length > 0")
            assert await page.page.evaluate("window.hit ?? null") is None
            assert await page.page.locator("#hit, main img, main script").count() == 0
        await page.go("contracts?q=onerror", state=None)
        await page.shows(symbol)
        await page.page.goto(f"{site.url}#/contract/{FEEDS[0]}:" + symbol.replace("%", "%25"))
        await page.page.wait_for_selector(".tile", timeout=TIMEOUT_MS)
        assert await page.page.evaluate("window.hit ?? null") is None
