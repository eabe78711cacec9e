"""All feeds at once, from the simulated sockets to SQL, and contracts that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from producers.exchanges import exchange
from schemas.feeds import FEEDS
from tests.support.stack_fixture import RunningStack, options_of, running_stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

CONTRACTS = max(60, 6 * len(FEEDS))
REFRESH_S = 3
PUSHES = (
    *("--kucoin-push-s", "2", "--okx-push-s", "2"),
    *("--mexc-push-s", "2", "--mexc-pushes", "all"),
    *("--gate-quiet", "no", "--bybit-quiet", "no"),
)
"""Every contract is pushed within seconds, so that none waits for its z-score."""


def begins_anew(feed: str) -> bool:
    """Whether only a new connection brings the whole row of a new contract."""
    found = exchange(feed)
    return bool(found.row_fields) and all(kind.capacity is None for kind in found.socket_kinds)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def every(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningStack]:
    """A running stack of every feed, whose backfill is complete."""
    options = options_of(
        tmp_path_factory.mktemp("every"),
        feeds=FEEDS,
        contracts=CONTRACTS,
        seed=11,
        simulator_arguments=PUSHES,
        env={"FUNDING_PRODUCER_REGISTRY_REFRESH_S": str(REFRESH_S)},
    )
    async with running_stack(options) as stack:
        await stack.complete()
        yield stack


@pytest.mark.timeout(300)
async def test_every_update_of_every_feed_is_stored_once(every: RunningStack) -> None:
    """Rate and time as sent; where a frame has no time of its own, the rates in their number."""
    async with every.quiet():
        await every.check_streamed()


async def test_settlements_of_every_feed_are_the_exchanges(every: RunningStack) -> None:
    """Thirty days of them."""
    async with every.quiet():
        await every.check_settlements()


async def test_every_contract_with_enough_settlements_is_scored(every: RunningStack) -> None:
    """Unless all of them are equal."""

    async def scored() -> bool:
        sql = (
            "SELECT count() FROM (SELECT contract_id, argMax(z, computed_at) AS newest, "
            "argMax(samples, computed_at) AS n, argMax(std, computed_at) AS spread "
            "FROM funding.zscores GROUP BY contract_id) "
            "WHERE newest IS NULL AND (n < 10 OR spread > 0)"
        )
        return (await every.rows(sql)) == [(0,)]

    await eventually(scored, "all contracts are scored", 60)
    rows = await every.rows(
        "SELECT feed, uniqIf(contract_id, z IS NOT NULL) FROM funding.zscores GROUP BY feed"
    )
    assert {feed for feed, count in rows if count} == set(FEEDS)


@pytest.mark.timeout(300)
async def test_contracts_come_and_go_without_a_restart(every: RunningStack) -> None:
    """A listed one streams over the sockets that are there; a delisted one is not expected."""

    async def expected(feed: str) -> tuple[int, int]:
        rows = await every.rows(
            "SELECT contracts_expected, connects FROM funding.feeds FINAL "
            f"WHERE feed = '{feed}' ORDER BY reported_at DESC LIMIT 1"
        )
        return int(rows[0][0]), int(rows[0][1])

    async def come_and_go(feed: str) -> None:
        before = await expected(feed)
        symbol = (await every.control("list", feed=feed))["symbol"]
        sql = (
            "SELECT count() FROM funding.rates WHERE transport = 'ws' "
            f"AND contract_id = '{feed}:{symbol}'"
        )

        async def streams() -> bool:
            return int((await every.rows(sql))[0][0]) > 0

        await eventually(streams, f"{feed}:{symbol} streams", 60)
        gone = (await every.control("delist", feed=feed, symbol=symbol))["symbol"]
        assert gone == symbol

        async def forgotten() -> bool:
            return (await expected(feed))[0] == before[0]

        await eventually(forgotten, f"{feed}:{symbol} is no longer expected", 60)
        if not begins_anew(feed):
            assert (await expected(feed))[1] == before[1], f"{feed} reconnected"

    async with asyncio.TaskGroup() as feeds:
        for feed in FEEDS:
            feeds.create_task(come_and_go(feed))
