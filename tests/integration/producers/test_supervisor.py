"""Two feeds of one process against simulated exchanges: an error in one does not stop the other."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from producers.exchanges import exchange
from producers.exchanges.spec import Exchange, Frame, Slice
from producers.feed.feed import Feed
from producers.feed.metrics import feed_collector
from producers.feed.supervisor import FeedSupervisor
from producers.kafka.worker_reports import WorkerReports
from producers.policy.rate_limiter import RateLimiter
from producers.policy.throttle import Throttle
from producers.settings import ProducerSettings
from schemas.audit_kinds import AuditKind
from schemas.clock import SystemClock
from schemas.control_items import FEED_EVENT, FeedEvent
from tests.support.simulator_clients import OPTIONS, serving
from tests.support.waiting import eventually

SOUND, BUGGY = "binance-usdm", "backpack"
BEFORE_THE_BUG = 3
"""Frames."""


class Kafka:
    """A publisher that keeps the events and counts the rest."""

    def __init__(self) -> None:
        self.events: list[FeedEvent] = []
        self.channels: Counter[str] = Counter()
        """How often something was published on each; a reply without news counts, too."""
        self.streamed = self.unreadable = self.oversized = 0
        self.full_for_s = 0.0

    async def publish(
        self, slices: list[Slice], *, channel: str, purpose: str, **_rest: Any
    ) -> int:
        self.channels[channel] += 1
        if channel == FEED_EVENT:
            self.events += [FeedEvent.unpack(piece.payload) for piece in slices]
        self.streamed += len(slices) if purpose == "stream" else 0
        return len(slices)

    async def publish_status(self, _status: Any) -> None:
        """Nobody reads it."""

    async def tick(self, _identity: str, _received_at: int) -> None:
        """Nobody reads it."""

    async def serve(self) -> None:
        await asyncio.Event().wait()

    def forget(self, _identity: str) -> None:
        """There are no counters."""

    forget_all_but = forget


def with_a_bug(found: Exchange) -> Exchange:
    """The description of an exchange whose code fails at one frame, once."""
    frames = 0
    buggy = copy.copy(found)

    def slice_frame(data: bytes) -> Frame:
        nonlocal frames
        frame = found.slice_frame(data)
        frames += frame.published
        if frame.published and frames == BEFORE_THE_BUG:
            raise KeyError("a field that the documentation promises")
        return frame

    cast("Any", buggy).slice_frame = slice_frame
    return buggy


@asynccontextmanager
async def kept(root: str, data_dir: Path) -> AsyncIterator[dict[str, tuple[FeedSupervisor, Kafka]]]:
    """Both feeds, running as the command runs them."""
    settings = ProducerSettings(
        exchange_base_url=root, producer_data_dir=str(data_dir), producer_history_days=0
    )
    descriptions = {SOUND: exchange(SOUND), BUGGY: with_a_bug(exchange(BUGGY))}
    async with aiohttp.ClientSession() as session:
        found = {}
        for name, description in descriptions.items():
            kafka = Kafka()
            make = partial(
                Feed,
                description,
                settings,
                cast("Any", kafka),
                session,
                RateLimiter(description.limits),
                Throttle(1e9),
                "cluster",
                SystemClock(),
            )
            supervisor = FeedSupervisor(name, cast("Any", kafka), make, SystemClock(), lambda: 0.01)
            found[name] = (supervisor, kafka)
        running = [asyncio.create_task(supervisor.run()) for supervisor, _ in found.values()]
        try:
            yield found
            assert not any(task.done() for task in running)
        finally:
            for task in running:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def sampled(supervisors: list[FeedSupervisor], name: str) -> dict[str, float]:
    """A metric of both feeds as it is scraped now."""
    return {
        sample.labels["feed"]: sample.value
        for metric in feed_collector(supervisors).collect()
        for sample in metric.samples
        if sample.name == name
    }


async def test_a_bug_in_one_feed_restarts_it_alone(tmp_path: Path) -> None:
    """The other keeps its socket; the failed one is live again, and its gap is on record."""
    async with (
        serving(tmp_path, [SOUND, BUGGY], OPTIONS, 5) as root,
        kept(root, tmp_path) as found,
    ):
        (sound, sound_kafka), (buggy, kafka) = found.values()
        unharmed, failing = sound.feed, buggy.feed
        await eventually(lambda: unharmed.monitor.state == "live", timeout_s=20)
        await eventually(lambda: buggy.failures == 1, timeout_s=20)
        await eventually(lambda: buggy.feed is not failing, timeout_s=20)
        await eventually(lambda: buggy.feed.monitor.state == "live", timeout_s=20)
        streamed = sound_kafka.streamed
        await eventually(lambda: sound_kafka.streamed > streamed)
        assert sound.feed is unharmed
        assert (unharmed.monitor.state, unharmed.pool.connects) == ("live", 1)
        assert "gap_opened" not in {event.kind for event in sound_kafka.events}

        wanted = ("started", "gap_opened", "feed_failed")
        await eventually(lambda: [e.kind for e in kafka.events].count(AuditKind.STARTED) == 2)
        kinds = [event.kind for event in kafka.events if event.kind in wanted]
        assert kinds == ["started", "gap_opened", "feed_failed", "started"]
        (failed,) = [event for event in kafka.events if event.kind == "feed_failed"]
        assert "KeyError: 'a field that the documentation promises'; again in" in failed.detail

        both = [sound, buggy]
        assert sampled(both, "fundingstream_feed_failures_total") == {SOUND: 0, BUGGY: 1}
        frames = "fundingstream_feed_frames_total"
        await eventually(lambda: sampled(both, frames)[BUGGY] > failing.frames.data)


async def test_a_contradicted_list_is_asked_for_by_the_feed_that_runs_now(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the feed that a worker's report names alone, also after it was run anew."""
    caplog.set_level(logging.INFO)
    reports = WorkerReports(ProducerSettings(), SystemClock())
    async with (
        serving(tmp_path, [SOUND, BUGGY], OPTIONS, 5) as root,
        kept(root, tmp_path) as found,
    ):
        (sound, _), (buggy, kafka) = found.values()
        failing = buggy.feed
        for supervisor in (sound, buggy):
            reports.when_contradicted(supervisor.name, supervisor.list_contradicted)
        await eventually(lambda: buggy.failures == 1, timeout_s=20)
        await eventually(lambda: buggy.feed is not failing, timeout_s=20)
        for supervisor in (sound, buggy):
            await asyncio.wait_for(supervisor.feed.instruments.complete.wait(), 20)
        markets = buggy.feed.exchange.fact_calls[0].resource
        before = kafka.channels[markets]
        reports.take(
            {
                "worker": "made-up",
                "reported_at": 3,
                "started_at": 2,
                "partitions": 5,
                "records_behind": 8,
                "records": 13,
                "delay_p50_s": 0.021,
                "delay_p99_s": 0.034,
                "contradicted_feeds": [BUGGY],
            }
        )
        await eventually(lambda: kafka.channels[markets] > before, timeout_s=20)
        told = [message for message in caplog.messages if "contradicts the list" in message]
        assert [message.partition(":")[0] for message in told] == [BUGGY]
