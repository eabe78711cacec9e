"""Waiting for a consumer group, on the running Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from infra.kafka.lag import LagReader
from schemas.errors import UnavailableError
from schemas.topics import raw_topic
from tests.support.stack_fixture import RunningStack
from tests.support.stack_view import FEED

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]
TOPICS = [raw_topic(FEED)]


@pytest.fixture
def idle(stack: RunningStack) -> Iterator[LagReader]:
    """The reader of a group that reads nothing."""
    with closing(LagReader(stack.worker_settings, "idle")) as reader:
        yield reader


async def test_a_wait_that_is_too_long_tells_what_is_left(idle: LagReader) -> None:
    """All before the given ends is; nothing is left of a topic that had nothing then."""
    ends = await asyncio.to_thread(idle.ends, TOPICS)
    told: list[int] = []
    with pytest.raises(UnavailableError, match=f"{sum(ends.values())} records are left after 0 s"):
        await idle.wait(TOPICS, 0, ends=ends, still=told.append)
    assert told == [sum(ends.values())]
    assert told != [0]
    await idle.wait(TOPICS, 0, ends=dict.fromkeys(ends, 0), still=told.append)
    assert len(told) == 1


async def test_a_wait_can_be_given_up(idle: LagReader) -> None:
    """By whoever is told how much is left, and by a cancellation, which leaves no call behind."""

    def give_up(_left: int) -> None:
        raise UnavailableError("given up")

    with pytest.raises(UnavailableError, match="given up"):
        await idle.wait(TOPICS, 30, still=give_up)
    told = asyncio.Event()
    waiting = asyncio.create_task(idle.wait(TOPICS, 30, still=lambda _left: told.set()))
    await told.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(idle.lag, TOPICS) > 0
