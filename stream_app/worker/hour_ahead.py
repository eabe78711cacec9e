"""Prepares, in idle time, the statistics of the coming hour, which the first rates of it are for.

Without that the change of the hour would compute those of all contracts while their rates wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from schemas.clock import Clock
from schemas.times import US_PER_HOUR, US_PER_MINUTE, hour_floor
from stream_app.core.partition import FeedPartition
from stream_app.worker.probes.slices import Pace

AHEAD_US = 5 * US_PER_MINUTE
"""How long before the hour this begins: later settlements would make it void."""
LOOK_EVERY_S = 15.0


class HourAhead:
    """Prepares each coming hour once."""

    def __init__(
        self,
        partitions: Callable[[], Iterator[FeedPartition]],
        idle: Callable[[], bool],
        clock: Clock,
    ) -> None:
        """`idle` tells whether no raw record waits to be processed."""
        self._partitions = partitions
        self._idle = idle
        self._clock = clock

    async def run(self) -> None:
        """Look every few seconds whether an hour is coming."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.prepare_if_due()

    async def prepare_if_due(self) -> None:
        """Prepare the coming hour if it is near, in slices between which records go first.

        What is prepared already costs nearly nothing, so this may be called again and again.
        """
        now_us = self._clock.now_us()
        coming = hour_floor(now_us) + US_PER_HOUR
        if coming - now_us > AHEAD_US:
            return
        pace = Pace(self._clock, self._idle)
        for partition in list(self._partitions()):
            for entry in list(partition.store.entries.values()):
                await pace.give_way()
                entry.baseline.prepare(coming)
