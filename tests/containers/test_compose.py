"""The stack as people run it: docker-compose.yml on a real engine, with images built here.

Every service is a container; the exchanges are simulated and note what they send. On machines
without an image registry the third parties are stand-ins: docs/deployment.md says what these
cannot show. The tests of this module build on each other in their order.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from infra.embedded.ports import free_port
from schemas.clock import now_us
from schemas.feeds import FEEDS, shared_out
from schemas.times import US_PER_S
from tests.support.compose_stack import ONCE, ComposeProject, ComposeStack, missing
from tests.support.monitoring import SHARES
from tests.support.stack_view import Outage
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.docker,
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

SCORED = 30
PRODUCERS = {
    f"producer-{number}": shared_out(FEEDS, number, SHARES) for number in range(1, SHARES + 1)
}
"""The feeds of each producer."""
OURS = ("simulator", *PRODUCERS, "worker", "sink")
KILLED = {
    "prometheus": ("prometheus",),
    "registry": ("registry",),
    "producers": tuple(PRODUCERS),
    "worker": ("worker",),
    "sink": ("sink",),
    "clickhouse": ("clickhouse",),
    "kafka": ("kafka",),
}
KILLED_EXIT_CODE = 137
BACKFILLED = """
SELECT feed FROM funding.feeds FINAL
WHERE contracts_expected > 0 AND state = 'live'
  AND contracts_live + contracts_by_rest + contracts_quiet >= contracts_expected
  AND backfill_done >= contracts_expected
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeProject]:
    """A started project; it is removed afterwards, with its volumes."""
    if why := missing():
        pytest.skip(why)
    project = ComposeProject(tmp_path_factory.mktemp("compose"))
    try:
        project.up()
        yield project
    finally:
        project.down(volumes=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(project: ComposeProject) -> AsyncIterator[ComposeStack]:
    """The project, once every feed streams and has its history."""
    timeout = aiohttp.ClientTimeout(total=15)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        stack = ComposeStack(project, http)

        async def complete() -> bool:
            return {feed for (feed,) in await stack.rows(BACKFILLED)} == set(FEEDS)

        await eventually(complete, "every feed is live and has its history", 120)
        yield stack


async def test_every_container_is_healthy(project: ComposeProject) -> None:
    """One for each service of the default profile; what runs once has ended well."""
    services = project.services()
    assert set(OURS) < set(services)
    assert {service: project.health(service) for service in services} == dict.fromkeys(
        services, "healthy"
    )
    assert {project.container(service).attrs["State"]["ExitCode"] for service in ONCE} == {0}


async def test_parts_run_without_rights(project: ComposeProject) -> None:
    """Not root, nothing of the image can be written, and no password is in the environment."""
    secret = project.run("sink", "cat", "/run/fundingstream/clickhouse")
    assert len(secret) > 20
    for service in OURS:
        container = project.container(service)
        assert container.attrs["HostConfig"]["ReadonlyRootfs"], service
        assert project.run(service, "id", "-u") == "10001\n", service
        assert "Read-only" in project.run(service, "touch", "/opt/fundingstream/x"), service
        assert secret not in json.dumps(container.attrs), service


async def test_the_page_answers(stack: ComposeStack) -> None:
    """With the contracts of every feed, and readiness."""

    async def ready() -> bool:
        return (await stack.get("/readyz"))[0] == 200

    await eventually(ready, "the worker is ready", 60)
    status, page = await stack.get("/")
    assert status == 200
    assert "assets/js/app.js" in page
    contracts = json.loads((await stack.get("/api/v1/contracts?limit=5000&fields=feed"))[1])
    assert {row["feed"] for row in contracts["contracts"]} == set(FEEDS)


async def test_prometheus_scrapes_every_part(project: ComposeProject, stack: ComposeStack) -> None:
    """Its targets answer, and its rules can be evaluated."""

    async def asked(path: str) -> Any:
        status, body = await stack.get(f"{project.url('PROMETHEUS_PORT')}/api/v1/{path}")
        assert status == 200
        return json.loads(body)["data"]

    async def scraped() -> bool:
        targets = (await asked("targets"))["activeTargets"]
        up = {t["labels"].get("service") for t in targets if t["health"] == "up"}
        return {*PRODUCERS, "worker", "sink"} <= up

    await eventually(scraped, "all parts are scraped", 60)

    async def evaluated() -> bool:
        groups = (await asked("rules"))["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}

    await eventually(evaluated, "all rules are evaluated", 60)


async def test_rows_and_scores_are_right(stack: ComposeStack) -> None:
    """Updates, settlements and z-scores against what the simulator noted, and against SQL."""
    await stack.scored(SCORED, 60)
    async with stack.quiet():
        await stack.check_streamed()
        await stack.check_settlements()
        await stack.check_scores(SCORED)


async def kill_and_start(stack: ComposeStack, *services: str) -> None:
    """SIGKILL by the engine, one after the other, and start; returns when all are healthy."""
    for service in services:
        container = stack.project.container(service)
        await asyncio.to_thread(container.kill, "SIGKILL")
        await asyncio.to_thread(container.wait)
        assert stack.project.container(service).attrs["State"]["ExitCode"] == KILLED_EXIT_CODE
    for service in services:
        await asyncio.to_thread(stack.project.container(service).start)
    for service in services:
        await stack.project.healthy(service)


@pytest.mark.parametrize("services", KILLED.values(), ids=KILLED)
async def test_a_killed_container_comes_back(
    stack: ComposeStack, services: tuple[str, ...]
) -> None:
    """With its data, under the same name; the other containers go on."""
    since = now_us() - 2 * US_PER_S
    await kill_and_start(stack, *services)
    await stack.flowing()
    for feed in [feed for service in services for feed in PRODUCERS.get(service, ())]:

        async def live(feed: str = feed) -> bool:
            ((state, complete),) = await stack.rows(
                "SELECT state, contracts_live + contracts_by_rest + contracts_quiet "
                ">= contracts_expected FROM funding.feeds "
                f"WHERE feed = '{feed}' ORDER BY reported_at DESC LIMIT 1"
            )
            return bool(state == "live" and complete)

        await eventually(live, f"{feed} is live", 60)
    if services == tuple(PRODUCERS):
        stack.outages.append(Outage(since, now_us()))


async def test_a_killed_simulator_comes_back(stack: ComposeStack) -> None:
    """It notes what it has sent once a second, so it is killed when it sends nothing."""
    since = now_us() - 2 * US_PER_S
    async with stack.quiet():
        await kill_and_start(stack, "simulator")
    await stack.flowing()
    stack.outages.append(Outage(since, now_us()))


async def test_a_second_worker_shares_the_work(
    project: ComposeProject, stack: ComposeStack
) -> None:
    """As the README of infra/docker starts it; when it is killed the first has all again."""
    port = free_port()

    async def contracts(port: int) -> float:
        url = f"http://127.0.0.1:{port}/metrics"
        try:
            return sum([await stack.metric("fundingstream_contracts", feed, url) for feed in FEEDS])
        except aiohttp.ClientConnectionError:  # it has not begun to listen
            return 0

    first = project.ports["WEB_PORT"]
    everything = await contracts(first)
    second = await asyncio.to_thread(project.another_worker, port)
    try:

        async def both() -> bool:
            shares = [await contracts(first), await contracts(port)]
            return all(shares) and sum(shares) >= everything

        await eventually(both, "both workers have contracts", 90)
        await stack.flowing()
    finally:
        await asyncio.to_thread(second.remove, force=True)

    async def alone() -> bool:
        return await contracts(first) >= everything

    await eventually(alone, "the first worker has all contracts", 90)
    await stack.flowing()


async def test_a_crash_needs_nobody(project: ComposeProject, stack: ComposeStack) -> None:
    """The engine starts a container again whose process has died."""
    restarts = project.container("worker").attrs["RestartCount"]
    project.crash("worker")

    async def again() -> bool:
        return bool(project.container("worker").attrs["RestartCount"] > restarts)

    await eventually(again, "the engine starts the worker again", 60)
    await project.healthy("worker")
    await stack.flowing()


async def test_nothing_is_lost_and_nothing_twice(stack: ComposeStack) -> None:
    """After all of that: the truth but for what producers could not hear, each once."""
    async with stack.quiet():
        await stack.check_streamed()
        await stack.check_settlements()
        await stack.check_scores(SCORED)


async def test_data_survives_down_and_up(project: ComposeProject, stack: ComposeStack) -> None:
    """Each part ends on SIGTERM by itself, and finds its data when it is started again."""
    sql = (
        "SELECT count(), sum(cityHash64(contract_id, event_time, rate)), max(received_at) "
        "FROM funding.rates FINAL"
    )
    async with stack.quiet():
        before = await stack.rows(sql)
        for service in OURS:
            container = project.container(service)
            await asyncio.to_thread(container.stop, timeout=40)
            assert project.container(service).attrs["State"]["ExitCode"] == 0, service
        await asyncio.to_thread(project.down, volumes=False)
        await asyncio.to_thread(project.up)
    until = before[0][2].strftime("%Y-%m-%d %H:%M:%S.%f")
    assert await stack.rows(f"{sql} WHERE received_at <= '{until}'") == before
    await stack.flowing()
