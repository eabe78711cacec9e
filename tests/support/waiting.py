"""Waiting for a condition with a deadline, which every test does in place of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_FIRST_PAUSE_S = 0.005
_LAST_PAUSE_S = 0.1
_PAUSE_S = 0.02


def until(condition: Callable[[], T], what: str, timeout_s: float = 15.0) -> T:
    """Ask again and again until the answer is truthy; return it, or fail after the time."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, _failure(what, timeout_s)
        time.sleep(_PAUSE_S)
    return value


async def eventually(condition: Callable[[], Any], what: str = "", timeout_s: float = 10.0) -> Any:
    """Do the same without blocking the event loop; the condition may be a coroutine function.

    It is asked more and more rarely, since some conditions are queries of another process.
    """
    pause_s = _FIRST_PAUSE_S
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                answer = condition()
                value = await answer if inspect.isawaitable(answer) else answer
                if value:
                    return value
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LAST_PAUSE_S)
    except TimeoutError as error:
        raise AssertionError(_failure(what, timeout_s)) from error


async def until_changed(
    changed: asyncio.Event, condition: Callable[[], bool], timeout_s: float = 10.0
) -> None:
    """Look at the condition whenever `changed` is set, until it holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            changed.clear()
            await changed.wait()


def _failure(what: str, timeout_s: float) -> str:
    return f"not within {timeout_s:g} s: {what or 'the condition'}"
