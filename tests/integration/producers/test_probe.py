"""`fundingstream probe` listens to exchanges: every simulated feed is as it documents."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cli.main import cli
from infra.probe.observation import Observation
from infra.probe.watch import watch
from producers.exchanges import exchange
from producers.rest.client import http_session
from producers.settings import ProducerSettings
from schemas.clock import SystemClock
from schemas.errors import UnavailableError
from schemas.feeds import FEEDS
from tests.support.simulated_feed import EVERY_PUSH, simulator

pytestmark = pytest.mark.integration
SECONDS = 4.0
"""The second socket of a feed is opened after two."""


async def probed(directory: Path, feed: str, contracts: int | None = None) -> Observation:
    """What a probe sees of a simulated feed."""
    async with simulator(directory / feed, feed, options=EVERY_PUSH) as simulated:
        settings = ProducerSettings(exchange_base_url=simulated.url.removesuffix(f"/{feed}"))
        return await watch(exchange(feed), settings, SECONDS, contracts, SystemClock())


async def test_every_feed_is_as_documented(tmp_path: Path) -> None:
    """Each listed contract is heard of, no field is missing, and none is new in a stream."""
    seen = dict(
        zip(FEEDS, await asyncio.gather(*(probed(tmp_path, feed) for feed in FEEDS)), strict=True)
    )
    for feed, observation in seen.items():
        assert observation.problems == [], feed
        assert observation.missing() == [], feed
        assert observation.heard >= observation.listed, feed
        assert all(socket.data_ms is not None for socket in observation.sockets), feed
        assert {call.status for call in observation.calls} == {200}, feed
        for name, channel in observation.streams.items():
            gaps = channel.gaps()
            assert gaps is not None, name
            assert gaps.new == [], name


async def test_a_stream_that_stays_silent_is_missing(tmp_path: Path) -> None:
    """It acks, and sends nothing: the socket is open and the list is there."""
    feed = "backpack"
    async with simulator(tmp_path, feed) as simulated:
        root = simulated.url.removesuffix(f"/{feed}")
        async with http_session() as session:
            reply = await session.post(f"{root}/control/silence", json={"share": 1})
            assert reply.status == 200, await reply.text()
        settings = ProducerSettings(exchange_base_url=root)
        seen = await watch(exchange(feed), settings, 2.0, None, SystemClock())
    assert seen.missing() == [
        "stream markPrice: brought nothing, though it is documented to every 1 s"
    ]
    assert (seen.is_unreachable, seen.heard) == (False, frozenset())


async def test_fewer_contracts_are_subscribed_if_asked(tmp_path: Path) -> None:
    """Where contracts are subscribed one by one, no other is heard of."""
    observation = await probed(tmp_path, "backpack", contracts=2)
    assert len(observation.listed) == 2
    assert observation.heard == observation.listed


def test_an_exchange_that_is_not_there_is_named() -> None:
    """The exit code is 3, and the report comes all the same."""
    arguments = ["probe", "kucoin", "--seconds", "1", "--base-url", "http://127.0.0.1:1"]
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, UnavailableError)
    assert "kucoin cannot be reached" in str(result.exception)
    assert "0 heard of 0 listed" in result.output
