"""Grafana can load the dashboards, and their panels ask data sources that are provisioned."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.support.monitoring import DASHBOARDS, GRAFANA, dashboard, read_yaml, services

SOURCES = {
    source["uid"]: source["type"]
    for source in read_yaml(GRAFANA / "provisioning" / "datasources" / "fundingstream.yml")[
        "datasources"
    ]
}
QUERY_KEYS = {"prometheus": "expr", "clickhouse": "rawSql"}
MOUNTED = "/var/lib/grafana/dashboards"
each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether two panels cover a common place."""
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size]
        for at, size in (("x", "w"), ("y", "h"))
    )


def test_there_are_dashboards_and_each_has_its_own_id() -> None:
    """Links and bookmarks name it, so it follows the file's name."""
    assert {path.stem for path in DASHBOARDS} >= {"feeds", "worker", "sink", "rates", "coverage"}
    for path in DASHBOARDS:
        assert dashboard(path)["uid"] == f"fundingstream-{path.stem}"
    titles = [dashboard(path)["title"] for path in DASHBOARDS]
    assert len(set(titles)) == len(titles)


@each_dashboard
def test_panels_have_ids_of_their_own_and_do_not_overlap(path: Path) -> None:
    """The grid is 24 wide."""
    panels = dashboard(path)["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert not any(overlap(one, other) for one, other in combinations(places, 2))


@each_dashboard
def test_every_data_source_is_provisioned(path: Path) -> None:
    """With its type; a panel's queries ask the panel's source, in its language."""
    found = dashboard(path)
    for panel in found["panels"]:
        source = panel["datasource"]
        assert SOURCES[source["uid"]] == source["type"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == source, panel["title"]
            assert QUERY_KEYS.keys() == SOURCES.keys()
            assert target[QUERY_KEYS[source["uid"]]], panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), panel["title"]
    assert all(SOURCES[each["datasource"]["uid"]] for each in found["templating"]["list"])


@each_dashboard
def test_nothing_heavy_is_asked_often(path: Path) -> None:
    """Views over a day or more of rows are read once a minute at most, by whoever looks."""
    found: dict[str, Any] = dashboard(path)
    queries = [target.get("rawSql", "") for panel in found["panels"] for target in panel["targets"]]
    heavy = (
        "funding.latest",
        "funding.extremes",
        "funding.spreads",
        "funding.uptime",
        "funding.gaps",
    )
    if any(view in query for query in queries for view in heavy):
        assert found["refresh"] in {"1m", "5m"}


def test_the_first_page_is_a_dashboard() -> None:
    """Grafana's settings name a file that is mounted where they look for it."""
    grafana = services("docker-compose.yml")["grafana"]
    assert f"./infra/grafana/dashboards:{MOUNTED}:ro" in grafana["volumes"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == MOUNTED
    assert (GRAFANA / "dashboards" / home.name).is_file()
    providers = read_yaml(GRAFANA / "provisioning" / "dashboards" / "fundingstream.yml")
    assert [each["options"]["path"] for each in providers["providers"]] == [MOUNTED]


def test_the_plugin_of_every_source_is_installed() -> None:
    """Prometheus' is part of Grafana; another one is named, with its version."""
    installed = services("docker-compose.yml")["grafana"]["environment"]["GF_PLUGINS_PREINSTALL"]
    plugins = {each.partition("@")[0] for each in installed.split(",")}
    assert set(SOURCES.values()) - {"prometheus"} == plugins
