"""A table that is dropped under a running stack: no other part stops, and no row is lost."""

from __future__ import annotations

import asyncio

import pytest

from infra.clickhouse.migrate import migrate
from schemas.clock import now_us
from tests.support.stack_fixture import options_of, running_stack
from tests.support.stack_view import Outage
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


async def test_a_dropped_table_stops_only_what_is_stored(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Producers and worker go on, `migrate` makes the table, all that came meanwhile is stored."""
    options = options_of(tmp_path_factory.mktemp("dropped"), contracts=60, seed=3)
    async with running_stack(options) as stack:
        await stack.flowing()
        before = stack.supervisor.pids
        await stack.rows("DROP TABLE funding.rates")
        dropped_at = now_us()
        sink = f"http://127.0.0.1:{options.ports.sink_metrics}/metrics"

        async def waits() -> bool:
            return await stack.metric("fundingstream_sink_waiting", "missing", sink) == 1

        await eventually(waits, "the sink waits", 30)
        updates = "fundingstream_worker_events_total"
        accepted = await stack.metric(updates, "accepted")

        async def goes_on() -> bool:
            return await stack.metric(updates, "accepted") > accepted + 300

        await eventually(goes_on, "the worker goes on", 30)
        made = await asyncio.to_thread(migrate, stack.sink_settings)
        assert made == ([], ["funding.rates"])
        await stack.flowing()
        stack.outages.append(Outage(0, dropped_at))
        async with stack.quiet():
            await stack.check_rates()
        assert stack.supervisor.pids == before
        ((first_us,),) = await stack.rows(
            "SELECT min(toUnixTimestamp64Micro(received_at)) FROM funding.rates"
        )
        assert first_us < dropped_at + 10_000_000
    log = (options.data_dir / "fundingstream.log").read_text(encoding="utf-8")
    assert log.count("run `fundingstream migrate`") == 1
    assert log.count("the sink goes on") == 1
