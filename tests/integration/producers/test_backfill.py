"""The command `backfill` against a running stack: once in full, then only what is new."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from schemas.errors import UnavailableError
from tests.support.stack_fixture import RunningStack
from tests.support.stack_view import CONTRACTS, FEED

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


async def backfill(stack: RunningStack, data_dir: Path) -> tuple[int, str, str]:
    """Run the command for one day of one feed; exit code, stdout, stderr."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FUNDING_")}
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("fundingstream")),
        *("backfill", FEED, "--days", "1", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **clean,
            "FUNDING_KAFKA_BOOTSTRAP": stack.options.bootstrap,
            "FUNDING_REGISTRY_URL": stack.options.registry,
            "FUNDING_EXCHANGE_BASE_URL": stack.options.exchanges,
            "FUNDING_PRODUCER_DATA_DIR": str(data_dir),
        },
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_it_fetches_a_day_then_goes_on_from_there(
    stack: RunningStack, tmp_path: Path
) -> None:
    """Three settlements a contract or more; the second run has an hour of overlap and no more."""
    code, out, err = await backfill(stack, tmp_path)
    assert code == 0, err
    first = json.loads(out)[FEED]
    assert first["finished"]
    assert first["rows"] >= 3 * CONTRACTS
    code, out, err = await backfill(stack, tmp_path)
    assert code == 0, err
    assert json.loads(out)[FEED]["rows"] <= 2 * CONTRACTS < first["rows"]


async def test_a_running_producer_keeps_its_bookmarks(stack: RunningStack) -> None:
    """Two writers of one file would lose each other's place."""
    code, out, err = await backfill(stack, stack.options.data_dir / "producer")
    assert (code, out) == (UnavailableError.exit_code, "")
    assert f"another producer or backfill of {FEED}" in err
    assert f"pid {stack.supervisor.pids['producer']}" in err
    assert "Traceback" not in err
