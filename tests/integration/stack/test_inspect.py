"""`fundingstream inspect` computes rows of a running stack again, from what is stored of them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from tests.support.stack_fixture import RunningStack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


async def inspect(
    stack: RunningStack, *arguments: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run the command against the stack, with other settings where some are given."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "infra.cli", "inspect", *arguments],
        env={**stack.options.environment(), **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def scored_row(stack: RunningStack) -> tuple[str, str]:
    """Contract and time (µs) of a row that has a z, and whose row of rates is stored as well."""
    found: list[tuple[str, int]] = []

    async def stored() -> bool:
        found[:] = await stack.rows(
            "SELECT contract_id, toUnixTimestamp64Micro(max(z.event_time)) "
            "FROM funding.zscores AS z INNER JOIN funding.rates AS r "
            "USING (contract_id, raw_topic, raw_partition, raw_offset, raw_item) "
            "WHERE z.z IS NOT NULL GROUP BY contract_id ORDER BY contract_id LIMIT 1"
        )
        return bool(found)

    await stack.complete()
    await eventually(stored, "a z-score and its rate are stored", 30)
    contract_id, event_time = found[0]
    return contract_id, str(event_time)


async def test_a_row_is_equal_to_what_is_computed_again(stack: RunningStack) -> None:
    """From the exchange's bytes, which it shows, to z."""
    contract_id, event_time = await scored_row(stack)
    done = await inspect(stack, contract_id, event_time, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    verdicts = {step["name"]: step["verdict"] for step in found["steps"]}
    # The history may have gone on to come in after the row.
    assert set(verdicts.values()) <= {"equal", "revised since"}, verdicts
    exact = ("rate", "interval_hours", "rate_8h", "apr", "zone")
    assert {verdicts[name] for name in exact} == {"equal"}
    assert found["zscore"]["symbol"] in found["raw"]["payload"]
    assert found["rate"]["raw_offset"] == found["zscore"]["raw_offset"]
    assert len(found["baseline"]["settlements"]) == found["baseline"]["samples"] > 0


async def test_without_kafka_all_but_the_raw_record_is_shown(stack: RunningStack) -> None:
    """The exit code says that something is missing, and the report what."""
    contract_id, event_time = await scored_row(stack)
    done = await inspect(stack, contract_id, event_time, FUNDING_KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert done.returncode == 3, done.stderr
    assert "unavailable: " in done.stdout
    assert "(rate_8h − mean) / std" in done.stdout


async def test_who_errs_is_told_what_there_is(stack: RunningStack) -> None:
    """Of a symbol without its feed, the contracts; of a time, the oldest row."""
    contract_id, _ = await scored_row(stack)
    symbol = contract_id.partition(":")[2]
    done = await inspect(stack, symbol.lower())
    assert (done.returncode, f"did you mean {contract_id}" in done.stderr) == (2, True)
    done = await inspect(stack, contract_id, "2020-01-01")
    assert (done.returncode, "the oldest that is kept is of" in done.stderr) == (2, True)
