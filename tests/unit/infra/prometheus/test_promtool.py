"""What Prometheus' own tool says of the configurations, the rules and their tests."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from tests.support.monitoring import (
    DASHBOARDS,
    RULE_TESTS,
    RULES,
    SCRAPE_CONFIGS,
    alerts,
    dashboard,
    queries,
    read_yaml,
    without_macros,
)
from tests.support.paths import ROOT

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


def promtool(*arguments: str | Path) -> None:
    """Run promtool; what it says is the test's message."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_rules_are_valid() -> None:
    """Their form, expressions and templates."""
    promtool("check", "rules", RULES)


@needs_promtool
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should(path: Path) -> None:
    """And not when they should not, with the texts that people read."""
    promtool("test", "rules", path)


@needs_promtool
@pytest.mark.parametrize("path", SCRAPE_CONFIGS, ids=lambda path: path.stem)
def test_the_configurations_are_valid(path: Path) -> None:
    """With the rules that they load."""
    promtool("check", "config", path)


@needs_promtool
def test_the_expressions_of_dashboards_are_valid(tmp_path: Path) -> None:
    """As rules they are parsed by Prometheus itself."""
    rules = [
        {"record": f"panel:{number}", "expr": without_macros(target["expr"])}
        for number, (_, target) in enumerate(queries("expr"))
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", path)


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    """In the files that promtool runs."""
    fires: dict[str, set[bool]] = defaultdict(set)
    for path in RULE_TESTS:
        for test in read_yaml(path)["tests"]:
            for case in test["alert_rule_test"]:
                fires[case["alertname"]].add(bool(case.get("exp_alerts")))
    assert dict(fires) == {rule["alert"]: {True, False} for rule in alerts()}


def test_the_page_explains_every_alert() -> None:
    """With its severity, in the order of the rules."""
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| ([A-Z]\w+) \| (page|ticket) \| .+ \| .+ \|$", page, re.MULTILINE)
    assert explained == [(rule["alert"], rule["labels"]["severity"]) for rule in alerts()]


def test_the_page_names_every_dashboard() -> None:
    """By the title that Grafana shows."""
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([^|]+?)(?: \(the first page\))? \| .+ \| (?:Prometheus|ClickHouse)",
        page,
        re.MULTILINE,
    )
    assert sorted(rows) == sorted(dashboard(path)["title"] for path in DASHBOARDS)
