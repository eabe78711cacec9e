"""Each feed against its simulated exchange, without Kafka: live, with its history, and resumed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from producers.exchanges import exchange
from producers.feed.feed import Feed
from producers.policy.rate_limiter import rate_limiters
from producers.policy.throttle import Throttle
from producers.settings import ProducerSettings
from schemas.clock import SystemClock
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END
from schemas.feeds import FEEDS
from tests.support.feed_parts import FakePublisher
from tests.support.simulator_clients import OPTIONS, serving
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

FACTOR = 1_000.0


class Kafka(FakePublisher):
    """A publisher that has acknowledged everything at once."""

    unreadable = oversized = 0

    async def publish_status(self, _status: Any) -> None:
        """Nobody reads it."""

    async def tick(self, _identity: str, _received_at: int) -> None:
        """Nobody reads it."""

    async def serve(self) -> None:
        await asyncio.Event().wait()

    async def acknowledged(self) -> None:
        """Nothing is on its way."""

    def count(self, purpose: str) -> Counter[str]:
        """Pieces that were published for a purpose, by channel."""
        found: Counter[str] = Counter()
        for of, channel, slices in self.log:
            if of == purpose:
                found[channel] += len(slices)
        return found


@asynccontextmanager
async def running(name: str, root: str, data_dir: Path) -> AsyncIterator[tuple[Feed, Kafka]]:
    """A feed that fetches the settlements of one day."""
    found, kafka = exchange(name), Kafka()
    settings = ProducerSettings(
        exchange_base_url=root,
        producer_data_dir=str(data_dir),
        producer_history_days=1,
        producer_limit_factor=FACTOR,
    )
    limiter = rate_limiters([found], FACTOR)[found.limits_group]
    async with aiohttp.ClientSession() as session:
        feed = Feed(
            found,
            settings,
            cast("Any", kafka),
            session,
            limiter,
            Throttle(1e9),
            "cluster",
            SystemClock(),
        )
        task = asyncio.create_task(feed.run())
        try:
            yield feed, kafka
            assert not task.done()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.mark.parametrize("name", FEEDS)
async def test_a_feed_is_live_and_its_history_complete_and_resumed(
    tmp_path: Path, name: str
) -> None:
    """Each contract is announced and released once; a second run finds nothing that is missing."""
    async with serving(tmp_path, [name], OPTIONS, 5) as root:
        async with running(name, root, tmp_path) as (feed, kafka):
            await eventually(lambda: feed.history.progress >= 1.0, timeout_s=20)
            await eventually(lambda: feed.monitor.state == "live", timeout_s=20)
            contracts = feed.history.complete
            history = kafka.count("history")
            assert history[BACKFILL_BEGIN] == history[BACKFILL_END] == contracts > 0
            assert feed.history.rows >= 2 * feed.monitor.expected
        stored = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert stored["begun"] == []
        async with running(name, root, tmp_path) as (feed, kafka):
            await eventually(lambda: feed.monitor.state == "live", timeout_s=20)
            await eventually(lambda: feed.history.complete == contracts, timeout_s=20)
            assert not kafka.count("history")[BACKFILL_BEGIN]
