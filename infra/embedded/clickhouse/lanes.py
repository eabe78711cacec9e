"""Runs statements in slots and threads that belong to one user, so that no other can take them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from infra.embedded.clickhouse.errors import too_busy

_P = ParamSpec("_P")
_T = TypeVar("_T")
_ASK_AGAIN_S = 0.1


class Lane:
    """At most `max_running` statements at once and `max_waiting` requests in all."""

    def __init__(self, name: str, max_running: int, max_waiting: int) -> None:
        # Two threads more than statements, so that closing handles never waits for a slot.
        self._threads = ThreadPoolExecutor(max_running + 2, name)
        self._slots = asyncio.Semaphore(max_running)
        self._max_waiting = max_waiting
        self._pending = 0

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request from its beginning to its end; refuse it where too many wait."""
        if self._pending >= self._max_waiting:
            raise too_busy("requests")
        self._pending += 1
        try:
            yield
        finally:
            self._pending -= 1

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it for the time of the block."""
        async with self._slots:
            yield

    async def run(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a blocking call in a thread. A caller that is cancelled still waits for its end."""
        return await self.run_stoppable(None, call, *args, **kwargs)

    async def run_stoppable(
        self,
        stop: Callable[[], None] | None,
        call: Callable[_P, _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Do the same as `run`; once the caller is cancelled, call `stop` until the call has ended.

        `stop` is repeated because a statement can be stopped only once the engine has begun it.
        """
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, partial(call, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                # A second cancellation changes nothing: the thread cannot be left behind.
                with contextlib.suppress(asyncio.CancelledError):
                    if stop is not None:
                        # A stop that fails is repeated.
                        with contextlib.suppress(Exception):
                            await asyncio.to_thread(stop)
                    await asyncio.wait((future,), timeout=_ASK_AGAIN_S)
            if not future.cancelled():
                future.exception()  # else asyncio would warn that nobody looked at it
            raise

    def close(self) -> None:
        """Ends the threads; no call may be running."""
        self._threads.shutdown()
