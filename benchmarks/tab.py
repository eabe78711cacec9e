"""One real tab, in Chromium: how soon it shows data, what it costs, how late its pixels are."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

from playwright.async_api import CDPSession, Page, async_playwright

FLAGS = ("--no-sandbox", "--disable-gpu", "--enable-precise-memory-info")
CHROMIUM = "/usr/bin/chromium"
SAMPLE_S = 5.0
_FIRST_ROW = """() => new Promise((resolve) => {
  const look = () => document.querySelector('[role=row][aria-rowindex="2"]')
    ? resolve(performance.now()) : requestAnimationFrame(look);
  look();
})"""
_FIRST_PAINT = (
    """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null"""
)
_LATENCY = """async () => {
  const { latency } = await import("/assets/js/latency.js");
  const { store } = await import("/assets/js/store.js");
  return latency(store.now());
}"""


async def opened(url: str, times: int) -> dict[str, Any]:
    """Open the page some times, each in a new context without a cache; return when it shows what.

    Times are ms since the navigation began.
    """
    paints, rows = [], []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for _ in range(times):
            context = await browser.new_context(viewport={"width": 1440, "height": 900})
            page = await context.new_page()
            await page.goto(url)
            rows.append(await page.evaluate(_FIRST_ROW))
            paints.append(await page.evaluate(_FIRST_PAINT))
            await context.close()
        await browser.close()
    return {
        "first_paint_ms": round(median(paints), 0),
        "first_data_ms": round(median(rows), 0),
        "first_data_most_ms": round(max(rows), 0),
        "times": times,
    }


async def watched(url: str, views: tuple[str, ...], seconds: float) -> dict[str, Any]:
    """Leave a tab open on each view for so long; return its cost, and how late its pixels were."""
    costs = {}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable")
        heaps: list[float] = []
        for view in views:
            await page.goto(f"{url}#/{view}")
            await asyncio.sleep(SAMPLE_S)
            costs[view] = await _cost(session, seconds, heaps)
        pixel = await _pixel(page)
        await browser.close()
    return {
        "cost_ms_s": costs,
        "heap_mb": {"first": heaps[0], "last": heaps[-1], "most": max(heaps)},
        "pixel_ms": pixel,
    }


async def _cost(session: CDPSession, seconds: float, heaps: list[float]) -> dict[str, float]:
    """Return ms of script, style and layout for each second; append the heap after collections."""
    before, begun_s = await _metrics(session), time.monotonic()
    while (left_s := begun_s + seconds - time.monotonic()) > 0:
        await asyncio.sleep(min(SAMPLE_S, left_s))
        await session.send("HeapProfiler.collectGarbage")
        heaps.append(round((await _metrics(session))["JSHeapUsedSize"] / 1e6, 1))
    after, took_s = await _metrics(session), time.monotonic() - begun_s

    def spent(*names: str) -> float:
        return round(sum(after[name] - before[name] for name in names) * 1_000 / took_s, 1)

    return {
        "script": spent("ScriptDuration"),
        "style_and_layout": spent("RecalcStyleDuration", "LayoutDuration"),
        "all_tasks": spent("TaskDuration"),
    }


async def _metrics(session: CDPSession) -> dict[str, float]:
    answer = await session.send("Performance.getMetrics")
    return {each["name"]: each["value"] for each in answer["metrics"]}


async def _pixel(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate(_LATENCY)
    return {
        name: None if found[name] is None else round(found[name], 1)
        for name in ("p50", "p99", "count")
    }
