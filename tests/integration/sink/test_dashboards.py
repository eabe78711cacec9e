"""The SQL of the dashboards on the real engine, as the user who reads."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from schemas.clock import now_us
from schemas.times import US_PER_S
from tests.support.monitoring import queries, variable_queries, without_macros
from tests.support.sink_stack import ClickHouseServer, insert, rate, zscore

pytestmark = pytest.mark.integration

PANELS = {place: target["rawSql"] for place, target in queries("rawSql")}
VARIABLES = dict(variable_queries())


def answer(clickhouse: ClickHouseServer, sql: str) -> list[dict[str, Any]]:
    """The rows that Grafana's user gets."""
    response = requests.post(
        clickhouse.settings.clickhouse_url,
        data=f"{without_macros(sql)} FORMAT JSON".encode(),
        timeout=20,
    )
    assert response.ok, response.text
    rows: list[dict[str, Any]] = response.json()["data"]
    return rows


@pytest.fixture(scope="module")
def migrated(server: ClickHouseServer) -> ClickHouseServer:
    """The tables with z-scores of two contracts of one base, one of them beyond 2."""
    server.empty()
    now = now_us()
    insert(
        server, "zscores",
        *(zscore(n, base="BTC", event_time=now - age_s * US_PER_S, z=n + 0.5, raw_item=age_s)
          for n in (1, 2) for age_s in (3, 33)),
    )  # fmt: skip
    insert(server, "rates", *(rate(n, base="BTC", event_time=now - 3 * US_PER_S) for n in (1, 2)))
    return server


@pytest.mark.parametrize("place", PANELS)
def test_every_panel_can_be_asked(migrated: ClickHouseServer, place: str) -> None:
    """Its tables, views and columns exist, and may be read."""
    answer(migrated, PANELS[place])


def test_the_variables_lead_to_the_z_of_a_contract(migrated: ClickHouseServer) -> None:
    """From a base to its contracts, and from these to a series each."""
    assert answer(migrated, VARIABLES["rates: $base"]) == [{"base": "BTC"}]
    contracts = [row["contract_id"] for row in answer(migrated, VARIABLES["rates: $contract"])]
    assert contracts == ["binance-usdm:S1USDT", "binance-usdm:S2USDT"]
    rows = answer(migrated, PANELS["rates: z of the chosen contracts A"])
    assert {(row["contract_id"], row["z"]) for row in rows} == {
        ("binance-usdm:S1USDT", 1.5),
        ("binance-usdm:S2USDT", 2.5),
    }
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert len(rows) == 4


def test_extremes_and_freshness_are_shown(migrated: ClickHouseServer) -> None:
    """The newest z of each contract, the largest first, and how old they are by feed."""
    rows = answer(migrated, PANELS["rates: Extremes now A"])
    assert [row["z"] for row in rows] == [2.5, 1.5]
    (of_feed,) = answer(
        migrated, PANELS["rates: By feed: contracts, |z| > 2, age of their newest rates A"]
    )
    assert (of_feed["contracts"], of_feed["feed"]) == (2, "binance-usdm")
    assert 3 <= of_feed["oldest_s"] < 30
