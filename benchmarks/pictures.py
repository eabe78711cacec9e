"""`python -m benchmarks.pictures URL`: takes the pictures of the page that docs/images holds.

URL is the page of a stack whose baselines are loaded, as `fundingstream up` starts it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Literal, NamedTuple

import aiohttp
from playwright.async_api import Browser, async_playwright

from benchmarks.tab import CHROMIUM, FLAGS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
SETTLED_MS = 6_000
BASE = "ETH"
"""Of the contract whose past is shown."""
DESKTOP, PHONE = (1440, 900), (390, 844)


class Picture(NamedTuple):
    """One picture."""

    name: str
    view: str
    theme: Literal["light", "dark"] = "light"
    size: tuple[int, int] = DESKTOP


PICTURES = (
    Picture("contracts-light", "contracts"),
    Picture("contracts-dark", "contracts", "dark"),
    Picture("map-dark", "map", "dark"),
    Picture("spreads-light", "spreads"),
    Picture("contract-light", "{contract}"),
    Picture("feeds-light", "feeds"),
    Picture("alerts-light", "alerts"),
    Picture("phone", "contracts", "light", PHONE),
    Picture("phone-contract", "{contract}", "dark", PHONE),
)


async def take(browser: Browser, url: str, picture: Picture, contract: str) -> None:
    """Open a view in a new profile and take its picture once it is settled."""
    width, height = picture.size
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=picture.theme
    )
    page = await context.new_page()
    view = picture.view.format(contract=f"contract/{contract}")
    await page.goto(f"{url.rstrip('/')}/#/{view}")
    await page.wait_for_timeout(SETTLED_MS)
    await page.screenshot(path=FOLDER / f"{picture.name}.png")
    await context.close()
    print(f"{picture.name}.png")


async def main(url: str) -> None:
    """Take all pictures."""
    FOLDER.mkdir(exist_ok=True)
    asked = f"{url.rstrip('/')}/api/v1/contracts?base={BASE}&limit=1"
    async with aiohttp.ClientSession() as http, http.get(asked) as reply:
        contract: str = (await reply.json())["contracts"][0]["contract_id"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for picture in PICTURES:
            await take(browser, url, picture, contract)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
