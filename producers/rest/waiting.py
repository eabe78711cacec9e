"""Waiting for a wall-clock time, or for something that comes before it."""

from __future__ import annotations

import asyncio

from schemas.clock import Clock

LONGEST_S = 60.0
"""The wall clock may be set meanwhile, so it is looked at again after this long."""


async def sleep_until_ms(time_ms: int, clock: Clock, interrupt: asyncio.Event) -> None:
    """Sleep until a wall-clock time, ms since the epoch, or until `interrupt` is set."""
    while not interrupt.is_set() and (left_s := time_ms / 1_000 - clock.now_us() / 1_000_000) > 0:
        await wait_for_event(interrupt, min(left_s, LONGEST_S))


async def wait_for_event(event: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait until the event is set; False: it was not within `timeout_s` (None: no limit)."""
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False
