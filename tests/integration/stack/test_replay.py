"""The worker is a pure function of the raw log: killed or not, a replay gives the same records."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.kafka.topic_reader import Span
from infra.replay import compare
from tests.support.stack_fixture import RunningStack

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]
KILLS = 2


async def replay(stack: RunningStack, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and report of a replay."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "infra.cli", "replay", "--json", *arguments,
        env={**os.environ, **stack.options.environment()},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode in (0, 1), err.decode()
    return process.returncode, json.loads(out)


async def test_a_replay_equals_what_a_killed_worker_published(stack: RunningStack) -> None:
    """Rates, settlements, z-scores, alerts, bars and audit: none missing, none extra."""
    for _ in range(KILLS):
        await stack.flowing()
        await stack.kill("worker")
    await stack.flowing()
    async with stack.quiet():
        # A long silence brings a REST snapshot; what was there a moment ago is compared.
        until = datetime.now(tz=UTC) - timedelta(seconds=1)
        await stack.drained()
        before = await stack.rows(
            "SELECT count() FROM funding.rates FINAL "
            f"WHERE received_at < '{until:%Y-%m-%d %H:%M:%S.%f}'"
        )
        code, report = await replay(stack, "--to", until.isoformat())
    by_topic = {entry["topic"]: entry for entry in report}
    assert {name: (e["missing"], e["extra"], e["examples"]) for name, e in by_topic.items()} == {
        name: (0, 0, []) for name in by_topic
    }
    assert code == 0
    assert by_topic["funding.rates"]["published"] == before[0][0]
    assert by_topic["funding.zscores"]["published"] > 0


async def test_differences_are_told_apart() -> None:
    """Repeated, missing and extra records are counted; when they were computed is no difference."""
    live = [{"k": 1, "computed_at": 5}, {"k": 1, "computed_at": 6}, {"k": 2, "computed_at": 5}]
    again = [{"k": 1, "computed_at": 7}, {"k": 3, "computed_at": 7}]
    found = compare("t", live, again)
    assert (found.published, found.replayed, found.repeated) == (2, 2, 1)
    assert (found.missing, found.extra) == (1, 1)
    assert found.examples == ['- {"k": 2}', '+ {"k": 3}']


async def test_what_was_published_meanwhile_is_neither_missing_nor_extra() -> None:
    """The live worker goes on beside the replay, which may or may not have got as far."""
    before, meanwhile = [{"k": 1}], [{"k": 2}, {"k": 3}]
    found = compare("t", before, [{"k": 1}, {"k": 2}], meanwhile)
    assert (found.published, found.replayed, found.missing, found.extra) == (3, 2, 0, 0)
    assert compare("t", before, [{"k": 4}], meanwhile).examples == ['- {"k": 1}', '+ {"k": 4}']


async def test_what_a_compacted_topic_has_removed_is_not_extra() -> None:
    """Facts that newer ones have replaced; the newest of a contract must be there."""

    def facts(contract: str, updated_at: int) -> dict[str, Any]:
        return {"contract_id": contract, "updated_at": updated_at}

    live = [facts("f:A", 3)]
    again = [facts("f:A", 1), facts("f:A", 3), facts("f:B", 2)]
    found = compare("t", live, again, is_compacted=True)
    assert (found.missing, found.extra) == (0, 1)
    assert found.examples == ['+ {"contract_id": "f:B", "updated_at": 2}']
    assert compare("t", live, again).extra == 2


async def test_a_span_is_one_of_receipt() -> None:
    """Or of the time that a record has instead."""
    span = Span(10, 20)
    assert span.holds({"received_at": 10, "event_time": 99})
    assert not span.holds({"received_at": 20})
    assert span.holds({"hour": 15})
