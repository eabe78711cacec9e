"""The API does what its own description says: schemathesis asks a running server."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings

from infra.clickhouse.migrate import migrate
from schemas.clock import SystemClock, now_us
from schemas.times import US_PER_HOUR, US_PER_S
from stream_app.web.fleet import Fleet
from tests.support.audit_rows import audit
from tests.support.mock_kafka import MockKafka
from tests.support.paths import ROOT
from tests.support.rest_process import raw_record, running
from tests.support.rest_scene import (
    BTC,
    COIN,
    ETH,
    HYPER,
    NEW,
    alert,
    bar,
    report,
    served_description,
    settled,
    zscore,
)
from tests.support.sink_stack import ClickHouseServer, insert

pytestmark = pytest.mark.integration

EXAMPLES = 60
"""Of each operation, beside those that follow from its bounds: all take ten seconds."""


def market_of_now(now: int) -> Fleet:
    """Contracts whose rates are young, so that all of them are shown."""
    fleet = Fleet()
    hour = now // US_PER_HOUR * US_PER_HOUR
    for number, (contract_id, z) in enumerate(
        ((BTC, 2.5), (ETH, -3.5), (COIN, 0.25), (HYPER, -1.0), (NEW, None))
    ):
        times = {"event_time": now - number * US_PER_S, "received_at": now, "computed_at": now}
        base = {"base": "BTC"} if contract_id == COIN else {}
        fleet.take_zscore(zscore(contract_id, 1e-4 * number, z, **times, **base), now)
        fleet.take_settlement(settled(contract_id, hour, 1e-4))
        for back in range(1, 4):
            fleet.take_bar(bar(contract_id, hour - back * US_PER_HOUR, 1e-4 * back))
    fleet.take_feed(b"binance-usdm", report("binance-usdm", now))
    fleet.take_feed(b"kucoin", report("kucoin", now, transport=None, last_data_at=None))
    fleet.take_alert(alert("a1", BTC, now))
    return fleet


def store(clickhouse: ClickHouseServer, fleet: Fleet, now: int) -> None:
    """The same in ClickHouse, with a gap."""
    hour = now // US_PER_HOUR * US_PER_HOUR
    insert(clickhouse, "zscores", *(each.zscore for each in fleet.contracts.values()))
    for contract_id in fleet.contracts:
        insert(
            clickhouse, "settlements",
            *(settled(contract_id, hour - n * 8 * US_PER_HOUR, 1e-4) for n in range(90)),
        )  # fmt: skip
        insert(
            clickhouse, "bars",
            *(bar(contract_id, hour - n * US_PER_HOUR, 1e-4) for n in range(1, 20)),
        )  # fmt: skip
    opened = now - 3 * US_PER_HOUR
    insert(
        clickhouse, "audit",
        audit(BTC, "gap_opened", opened, opened),
        audit(BTC, "gap_closed", opened, opened + 63 * US_PER_S, count=12),
    )  # fmt: skip
    insert(clickhouse, "alerts", *fleet.alerts())
    insert(clickhouse, "feeds", report("binance-usdm", now))


@pytest.fixture(scope="module")
def url(server: ClickHouseServer) -> Iterator[str]:
    """A running server with all that stands behind it."""
    now = now_us()
    fleet = market_of_now(now)
    migrate(server.settings)
    store(server, fleet, now)
    kafka = MockKafka()
    for contract in fleet.contracts.values():
        kafka.produce(contract.zscore["raw_topic"], [raw_record(contract.zscore["feed"], b"{}")])
    with running(fleet, SystemClock(), server.settings, kafka) as url:
        yield url


schema = schemathesis.openapi.from_dict(asyncio.run(served_description()))


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_answers_as_described(case: schemathesis.Case, url: str) -> None:
    """Valid and invalid parameters, other methods: status, headers and bodies are described."""
    case.call_and_validate(base_url=url)


def test_every_operation_has_an_answer(url: str) -> None:
    """Each route of the description answers 200 to its example, so that the above sees answers."""
    document = requests.get(f"{url}/api/v1/openapi.json", timeout=5).json()
    for path, operations in document["paths"].items():
        parameters = operations["get"]["parameters"]
        query = {p["name"]: p["example"] for p in parameters if p.get("required")}
        reply = requests.get(
            url + path.replace("{contract_id}", BTC),
            params={name: value for name, value in query.items() if name != "contract_id"},
            timeout=10,
        )
        assert reply.status_code == 200, (path, reply.text)
        body = reply.json()
        assert body.get("available", True), (path, body["reason"])


def page_commands() -> list[str]:
    """The commands of docs/api.md."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    found = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in found for line in block.splitlines() if line]


@pytest.mark.parametrize("command", page_commands())
def test_what_the_documentation_shows_is_answered(command: str, url: str) -> None:
    """Each `curl` of docs/api.md, as it stands there."""
    argv = shlex.split(command.replace("http://127.0.0.1:6066", url))
    done = subprocess.run(
        [*argv, "--fail"], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert 'available":false' not in done.stdout
    assert done.stdout.startswith(("{", "contract_id,rate_8h,z\r\n", "contract_id,rate_8h,z\n"))


def test_the_documentation_shows_every_route(url: str) -> None:
    """With a command for each."""
    document = requests.get(f"{url}/api/v1/openapi.json", timeout=5).json()
    shown = [
        re.sub(r"/contracts/[^/?\"]+", "/contracts/{contract_id}", command.partition(":6066")[2])
        for command in page_commands()
    ]
    paths = {re.split(r"[?\" ]", each)[0] for each in shown}
    assert paths == set(document["paths"])
