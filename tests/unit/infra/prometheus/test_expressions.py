"""Every expression of rules and dashboards names metrics and labels that exist."""

from __future__ import annotations

import re
from functools import cache
from typing import get_args

import pytest

from infra.metrics import all_metrics
from schemas.audit_kinds import AuditKind
from schemas.records import FeedState
from tests.support.monitoring import alerts, queries, without_macros
from tests.support.paths import ROOT
from tests.support.promql import names_in

TARGET_LABELS = {"job", "instance", "service"}
"""What Prometheus adds to each sample of ours; test_scrape_configs.py looks at `service`."""
RULES = {rule["alert"]: rule["expr"] for rule in alerts()}
PANELS = {place: without_macros(target["expr"]) for place, target in queries("expr")}
EXPRESSIONS = RULES | PANELS


@cache
def counted_kinds() -> set[str]:
    """The kinds of audit events, and what the worker counts under names of its own."""
    sources = "".join(path.read_text() for path in (ROOT / "stream_app").rglob("*.py"))
    return {*AuditKind, *re.findall(r'counts\["(\w+)"\]', sources)}


@cache
def labels_of_series() -> dict[str, set[str]]:
    """The labels of each series, by its name."""
    found = {
        series: {*metric.labels, *TARGET_LABELS, *({"le"} if series.endswith("_bucket") else set())}
        for metrics in all_metrics().values()
        for metric in metrics
        for series in metric.series
    }
    of_alerts = {label for expression in RULES.values() for label in names_in(expression).labels}
    return {**found, "ALERTS": {"alertname", "alertstate", "severity", *of_alerts}}


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_every_metric_exists(place: str) -> None:
    """In the registry of metrics, or as Prometheus' own series of alerts."""
    found = names_in(EXPRESSIONS[place])
    assert found.metrics
    assert found.metrics <= labels_of_series().keys()


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_every_label_is_one_of_the_metric(place: str) -> None:
    """A selector's of the metric before it, and what is grouped by of all metrics."""
    known = labels_of_series()
    found = names_in(EXPRESSIONS[place])
    for metric, compared in found.selectors:
        assert compared.keys() | found.labels <= known[metric], metric


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_every_state_is_one_of_a_feed(place: str) -> None:
    """A misspelt state would be a series that is always empty."""
    for _, compared in names_in(EXPRESSIONS[place]).selectors:
        states = compared["state"].split("|") if "state" in compared else []
        assert set(states) <= set(get_args(FeedState))


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_every_kind_is_one_that_workers_count(place: str) -> None:
    """A misspelt kind would be a series that is always empty, too."""
    for _, compared in names_in(EXPRESSIONS[place]).selectors:
        kinds = compared["kind"].split("|") if "kind" in compared else []
        assert set(kinds) <= counted_kinds()


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_a_rule_works_with_any_scrape_configuration(rule: dict) -> None:
    """It names no job, no instance and no service; dashboards may show instances."""
    found = names_in(rule["expr"])
    named = found.labels.union(*(compared for _, compared in found.selectors))
    assert named.isdisjoint(TARGET_LABELS)


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_a_summary_shows_labels_that_the_alert_has(rule: dict) -> None:
    """They are those that its expression groups by."""
    text = " ".join(rule["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= names_in(rule["expr"]).labels
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_a_legend_shows_labels_that_the_series_have() -> None:
    """They are those that the expression groups by."""
    for place, target in queries("expr"):
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert shown <= names_in(PANELS[place]).labels, place


def test_names_are_told_apart() -> None:
    """Metrics from functions, operators, labels, texts, numbers and durations."""
    found = names_in(
        'sum by (feed, le) (rate(a_bucket{state=~"b|c", kind!="d"}[1h30m])) > bool 0.5'
        " or on (table) max without (instance) (e unless e offset 5m) / time() and absent(f)"
    )
    assert found.labels == {"feed", "le", "table", "instance"}
    assert found.metrics == {"a_bucket", "e", "f"}
    assert found.selectors[0] == ("a_bucket", {"state": "b|c", "kind": "d"})


@pytest.mark.parametrize("expression", ["summ(a)", '{job="a"}', "a ; b", "$__interval"])
def test_what_is_not_understood_is_an_error(expression: str) -> None:
    """Rather than passed over."""
    with pytest.raises(ValueError, match="in "):
        names_in(expression)
