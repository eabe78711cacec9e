"""All feeds at once, from the simulated sockets to SQL, and contracts that come and go."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from schemas.feeds import FEEDS, spec
from schemas.times import US_PER_S
from tests.support.stack_fixture import RunningStack, options_of, running_stack, settled_for_sure
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

CONTRACTS = 60
REFRESH_S = 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def five(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningStack]:
    """A running stack of five feeds whose backfill is complete."""
    options = options_of(
        tmp_path_factory.mktemp("five"),
        feeds=FEEDS,
        contracts=CONTRACTS,
        seed=11,
        simulator_arguments=("--kucoin-push-s", "2"),
        env={"FUNDING_PRODUCER_REGISTRY_REFRESH_S": str(REFRESH_S)},
    )
    async with running_stack(options) as stack:

        async def complete() -> bool:
            rows = await stack.rows(
                "SELECT feed FROM funding.feeds FINAL "
                "WHERE contracts_expected > 0 AND contracts_live = contracts_expected "
                "AND backfill_done >= contracts_expected"
            )
            return {feed for (feed,) in rows} == set(FEEDS)

        await eventually(complete, "every feed is live and has its history", 120)
        yield stack


def truth(stack: RunningStack, name: str) -> list[dict[str, Any]]:
    """What the simulator noted that it sent."""
    path = stack.options.data_dir / "truth" / f"{name}.ndjson"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def funding_times(stack: RunningStack) -> dict[str, list[int]]:
    """When each contract settled."""
    times: dict[str, list[int]] = {}
    for line in truth(stack, "settlements"):
        times.setdefault(line["contract_id"], []).append(line["funding_time"])
    return times


@pytest.mark.timeout(300)
async def test_every_update_of_every_feed_is_stored_once(five: RunningStack) -> None:
    """Rate and time as sent; where a frame has no time of its own, the rates in their number."""
    async with five.quiet():
        settled = funding_times(five)
        for feed in FEEDS:
            timed = feed != "hyperliquid"
            noise_us = int(spec(feed).settling_s * US_PER_S)
            sent = Counter(
                (line["contract_id"], line["event_time"] if timed else 0, line["rate"])
                for line in truth(five, feed)
                if not any(
                    0 <= line["event_time"] - at < noise_us
                    for at in settled.get(line["contract_id"], [])
                )
            )
            rows = await five.rows(
                "SELECT contract_id, toUnixTimestamp64Micro(event_time), rate "
                f"FROM funding.rates FINAL WHERE feed = '{feed}' AND transport = 'ws'"
            )
            stored = Counter((row[0], row[1] if timed else 0, row[2]) for row in rows)
            assert sum(sent.values()) > 0, feed
            assert sent - stored == Counter(), f"{feed}: lost"
            assert stored - sent == Counter(), f"{feed}: made up"
        assert await five.rows("SELECT * FROM funding.duplicates") == []


async def test_settlements_of_every_feed_are_the_exchanges(five: RunningStack) -> None:
    """Thirty days of them, each once; what settled during the test may be on its way."""
    async with five.quiet():
        rows = await five.rows(
            "SELECT contract_id, toUnixTimestamp64Micro(funding_time), rate "
            "FROM funding.settlements FINAL"
        )
    after, before = settled_for_sure()
    expected = {
        (line["contract_id"], line["funding_time"], line["rate"])
        for line in truth(five, "settlements")
    }
    stored = Counter(rows)
    assert max(stored.values()) == 1
    assert {one for one in stored if one[1] < before} <= expected
    assert {one for one in expected if after < one[1] < before} <= set(stored)
    assert {contract.split(":")[0] for contract, _, _ in stored} == set(FEEDS)


async def test_every_contract_with_enough_settlements_is_scored(five: RunningStack) -> None:
    """Unless all of them are equal."""

    async def scored() -> bool:
        sql = (
            "SELECT count() FROM (SELECT contract_id, argMax(z, computed_at) AS newest, "
            "argMax(samples, computed_at) AS n, argMax(std, computed_at) AS spread "
            "FROM funding.zscores GROUP BY contract_id) "
            "WHERE newest IS NULL AND (n < 10 OR spread > 0)"
        )
        return (await five.rows(sql)) == [(0,)]

    await eventually(scored, "all contracts are scored", 60)
    rows = await five.rows(
        "SELECT feed, uniqIf(contract_id, z IS NOT NULL) FROM funding.zscores GROUP BY feed"
    )
    assert {feed for feed, count in rows if count} == set(FEEDS)


@pytest.mark.timeout(300)
async def test_contracts_come_and_go_without_a_restart(five: RunningStack) -> None:
    """A listed one streams over the sockets that are there; a delisted one is not expected."""

    async def expected(feed: str) -> tuple[int, int]:
        rows = await five.rows(
            "SELECT contracts_expected, connects FROM funding.feeds FINAL "
            f"WHERE feed = '{feed}' ORDER BY reported_at DESC LIMIT 1"
        )
        return int(rows[0][0]), int(rows[0][1])

    async def come_and_go(feed: str) -> None:
        before = await expected(feed)
        symbol = (await five.control("list", feed=feed))["symbol"]
        sql = (
            "SELECT count() FROM funding.rates WHERE transport = 'ws' "
            f"AND contract_id = '{feed}:{symbol}'"
        )

        async def streams() -> bool:
            return int((await five.rows(sql))[0][0]) > 0

        await eventually(streams, f"{feed}:{symbol} streams", 60)
        gone = (await five.control("delist", feed=feed, symbol=symbol))["symbol"]
        assert gone == symbol

        async def forgotten() -> bool:
            return (await expected(feed))[0] == before[0]

        await eventually(forgotten, f"{feed}:{symbol} is no longer expected", 60)
        assert (await expected(feed))[1] == before[1], f"{feed} reconnected"

    async with asyncio.TaskGroup() as feeds:
        for feed in FEEDS:
            feeds.create_task(come_and_go(feed))
