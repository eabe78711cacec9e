"""How fast a running program works off a backlog, by the end of the topic that it publishes to."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from benchmarks.platform import Platform

FIRST_OUTPUT_S = 60.0
STALL_S = 8.0
_TICK_S = 0.05


class Sample(NamedTuple):
    """How far a program was at a moment."""

    at_s: float
    records: int
    cpu_s: float


class Speed(NamedTuple):
    """What a program did between its first output and its last."""

    updates: int
    updates_s: float
    cpu_us: float
    complete: bool
    """It has done all that there was."""

    @classmethod
    def between(cls, first: Sample, last: Sample, *, complete: bool) -> Speed:
        """Compute it from the first and the last sample."""
        done = last.records - first.records
        if done <= 0:
            return cls(0, 0.0, 0.0, complete=False)
        return cls(
            done,
            done / (last.at_s - first.at_s),
            (last.cpu_s - first.cpu_s) * 1e6 / done,
            complete,
        )


class Followed(NamedTuple):
    """All samples with an output, in the order of time."""

    samples: list[Sample]
    complete: bool

    @property
    def speed(self) -> Speed:
        """The speed from the first output to the last."""
        if not self.samples:
            return Speed(0, 0.0, 0.0, complete=False)
        return Speed.between(self.samples[0], self.samples[-1], complete=self.complete)


async def follow(
    servers: Platform, name: str, topic: str, expected: int, seconds: float, *, before: int = 0
) -> Followed:
    """Follow a running program until it has published `expected` records or time is up.

    Args:
        servers: where it runs.
        name: its name there.
        topic: what it publishes to.
        expected: how many records it will publish, after those that were there.
        seconds: for how long at most, from its first output on.
        before: how many records the topic had before it was started.

    Raises:
        UnavailableError: it has ended.
    """
    begun_s = grown_s = time.monotonic()
    samples: list[Sample] = []
    while True:
        servers.require(name)
        records = await asyncio.to_thread(servers.records, topic) - before
        sample = Sample(time.monotonic(), records, servers.cpu_s(name))
        if records > (samples[-1].records if samples else 0):
            samples.append(sample)
            grown_s = sample.at_s
        if records >= expected:
            return Followed(samples, complete=True)
        if samples:
            is_over = sample.at_s - samples[0].at_s > seconds or sample.at_s - grown_s > STALL_S
        else:
            is_over = sample.at_s - begun_s > FIRST_OUTPUT_S
        if is_over:
            return Followed(samples, complete=False)
        await asyncio.sleep(_TICK_S)
