"""What becomes of frames: those of unknown events are counted and logged once, and no more."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from producers.exchanges.binance_usdm import EXCHANGE
from producers.feed.frames import MAX_UNKNOWN_NAMES, FrameHandler
from producers.policy.instruments import InstrumentRegistry
from schemas.clock import SystemClock

ROW = b'{"e":"markPriceUpdate","E":1790000000123,"s":"SOLUSDT","r":"0.00007","T":1790006400000}'


class Published:
    """Keeps what would go to Kafka."""

    def __init__(self) -> None:
        self.channels: list[str] = []
        self.payloads: list[bytes] = []

    async def publish(self, slices: Any, *, channel: str, **_rest: Any) -> None:
        """Take pieces."""
        self.channels.append(channel)
        self.payloads += [piece.payload for piece in slices]


@pytest.fixture
def published() -> Published:
    """What the handler publishes."""
    return Published()


@pytest.fixture
def handler(published: Published) -> FrameHandler:
    """A handler of one exchange's frames."""
    registry = InstrumentRegistry()
    publisher: Any = published
    return FrameHandler(EXCHANGE, publisher, registry, lambda *_data: None, SystemClock())


def event(name: str) -> bytes:
    """A frame of an event."""
    return json.dumps({"e": name, "E": 1_790_000_000_456}).encode()


async def test_an_unknown_event_is_counted_and_logged_once(
    handler: FrameHandler, published: Published, caplog: pytest.LogCaptureFixture
) -> None:
    """It makes no dead letter, and a connection that brings nothing else is silent."""
    outcomes = [await handler.take("c", event("serverShutdown"), 1) for _ in range(5)]
    assert not any(outcome.data or outcome.control for outcome in outcomes)
    assert (handler.unknown, handler.data, published.channels) == (5, 0, [])
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "'serverShutdown'" in caplog.text


async def test_what_is_beside_an_unknown_event_is_published(
    handler: FrameHandler, published: Published
) -> None:
    """An array of both is data."""
    outcome = await handler.take("c", b"[" + event("new") + b"," + ROW + b"]", 1)
    assert (outcome.data, list(outcome.symbols)) == (True, ["SOLUSDT"])
    assert published.payloads == [ROW]
    assert (handler.unknown, handler.data, handler.updates) == (1, 1, 1)


async def test_the_names_that_are_kept_are_bounded(
    handler: FrameHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever sends ever new names fills neither the log nor the memory."""
    for number in range(2 * MAX_UNKNOWN_NAMES):
        await handler.take("c", event(f"event{number}"), 1)
    assert handler.unknown == 2 * MAX_UNKNOWN_NAMES
    assert len(caplog.records) == MAX_UNKNOWN_NAMES


async def test_what_is_malformed_still_goes_to_the_dead_letters(
    handler: FrameHandler, published: Published
) -> None:
    """An event has a name; what has none and cannot be read is kept for a look."""
    await handler.take("c", b'{"x":1}', 1)
    assert (handler.unknown, published.payloads) == (0, [b'{"x":1}'])
