"""What Prometheus, Grafana and Docker Compose are given, as the tests look at it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

PROMETHEUS = ROOT / "infra" / "prometheus"
GRAFANA = ROOT / "infra" / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
RULES = PROMETHEUS / "rules" / "fundingstream.yml"
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
SHARES = 3
"""How many producers of the compose files share the feeds."""
SCRAPE_CONFIGS = sorted(PROMETHEUS.glob("*.yml"))

_MACROS = {
    r"\$__timeFilter\((\w+)\)": r"\1 >= now() - INTERVAL 1 HOUR AND \1 <= now()",
    r"\$__timeInterval\((\w+)\)": r"toStartOfInterval(toDateTime(\1), INTERVAL 10 second)",
    r"\$\{base:singlequote\}": "'BTC'",
    r"\$\{contract:singlequote\}": "'binance-usdm:S1USDT','binance-usdm:S2USDT'",
    r"\$__rate_interval": "1m",
}
"""What Grafana and its ClickHouse plugin replace, and by what."""


class _ComposeLoader(yaml.SafeLoader):
    """Reads `!reset`, Compose's own tag for "nothing of that here", as nothing."""


def _reset(_loader: yaml.SafeLoader, _node: yaml.Node) -> None:
    """Return nothing, whatever stands behind the tag."""


_ComposeLoader.add_constructor("!reset", _reset)


@cache
def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds."""
    return yaml.load(path.read_text(encoding="utf-8"), _ComposeLoader)


def services(path: str) -> dict[str, Any]:
    """Return the services of a compose file of the repository, as that file alone has them."""
    found: dict[str, Any] = read_yaml(ROOT / path)["services"]
    return found


def alerts() -> list[dict[str, Any]]:
    """Return all rules; each is an alert."""
    return [rule for group in read_yaml(RULES)["groups"] for rule in group["rules"]]


def dashboard(path: Path) -> dict[str, Any]:
    """Return a dashboard."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def queries(key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each query of all panels that has the key (`expr` or `rawSql`), with its place."""
    for path in DASHBOARDS:
        for panel in dashboard(path)["panels"]:
            for target in panel["targets"]:
                if key in target:
                    yield f"{path.stem}: {panel['title']} {target['refId']}", target


def variable_queries() -> Iterator[tuple[str, str]]:
    """Yield the SQL of each dashboard's variables, with its place."""
    for path in DASHBOARDS:
        for variable in dashboard(path)["templating"]["list"]:
            yield f"{path.stem}: ${variable['name']}", variable["query"]


def without_macros(query: str) -> str:
    """Return a query as the server gets it from Grafana."""
    for macro, replacement in _MACROS.items():
        query = re.sub(macro, replacement, query)
    assert "$" not in query, f"an unknown macro or variable: {query}"
    return query
