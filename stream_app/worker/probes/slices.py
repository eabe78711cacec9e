"""Work for the pages on the worker's only event loop: in slices, and once for all who wait for it.

The loop belongs to the raw records. What the pages need is done in slices of about a millisecond,
between which the loop goes on, and a batch of records that waits to be processed goes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from schemas.clock import Clock

SLICE_S = 0.001
SHARE = 0.02
"""Of the time that a slice has waited it may take so much, where that is more than SLICE_S: between
batches that take long a page would need many seconds otherwise."""
MAX_SLICE_S = 0.005
WAIT_S = 0.002
PATIENCE = 25
"""So many times WAIT_S a slice waits at most for the worker to be idle: under load without a pause
the pages get a millisecond in fifty instead of no answer."""

T = TypeVar("T")


class Pace:
    """Says when work for the pages has to pause."""

    def __init__(self, clock: Clock, idle: Callable[[], bool]) -> None:
        """`idle` tells whether no raw record waits to be processed."""
        self._clock = clock
        self._idle = idle
        self._slice_ends_s = 0.0

    async def give_way(self) -> None:
        """Begin the next slice if this one is used up: after the loop's turn, and when it is idle.

        It is awaited before the first piece of work and between pieces much shorter than a slice.
        """
        waits_from_s = self._clock.monotonic_s()
        if waits_from_s < self._slice_ends_s:
            return
        await asyncio.sleep(0)
        for _ in range(PATIENCE):
            if self._idle():
                break
            await asyncio.sleep(WAIT_S)
        now_s = self._clock.monotonic_s()
        share_s = min((now_s - waits_from_s) * SHARE, MAX_SLICE_S)
        self._slice_ends_s = now_s + max(SLICE_S, share_s)


class Once(Generic[T]):
    """Something that is made once, when it is first asked for, and given to all who ask."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._task: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Return it, made if need be. Who is cancelled meanwhile leaves it to the others."""
        if self._task is None:
            self._task = asyncio.create_task(self._made())
        return await asyncio.shield(self._task)

    @property
    def is_made(self) -> bool:
        """True when it is there, or could not be made."""
        return self._task is not None and self._task.done()

    async def _made(self) -> T:
        return await self._make()
