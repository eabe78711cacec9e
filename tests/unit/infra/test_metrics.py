"""Every metric is defined once, exported under that definition, and documented as it is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from infra.metrics import all_metrics
from producers.feed.metrics import PRODUCER_METRICS, feed_collector
from schemas.metrics import Metric
from stream_app.notifier.metrics import ALERT_METRICS, AlertMetrics
from stream_app.sink.metrics import SINK_METRICS, SinkMetrics
from stream_app.web.metrics import PAGE_METRICS, page_metrics
from stream_app.worker.probes.metrics import WORKER_METRICS, metrics_text
from stream_app.worker.probes.timings import WorkerTimings

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
STATUS = dict.fromkeys(
    (
        *("contracts_expected", "contracts_live", "contracts_by_rest", "connections", "connects"),
        *(
            "contracts_quiet",
            "connect_attempts",
            "frames",
            "updates",
            "repeated",
            "rest_calls",
            "rest_failures",
        ),
    ),
    3,
)


def documented() -> dict[str, list[list[str]]]:
    """The entries of each row of the page's tables, by process."""
    tables: dict[str, list[list[str]]] = {}
    process = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            process = line.removeprefix("## ").lower()
        elif line.startswith("| `"):
            tables.setdefault(process, []).append([c.strip() for c in line[1:-1].split(" | ")])
    return tables


def entries(metric: Metric) -> list[str]:
    """The row of the page that describes a metric."""
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    return [f"`{metric.name}`", metric.type, metric.unit, labels, metric.text]


@pytest.mark.parametrize("process", ["producer", "worker", "page", "sink", "notifier"])
def test_the_page_lists_each_metric_as_it_is_defined(process: str) -> None:
    """And nothing else, in the order of the definitions."""
    assert documented()[process] == [entries(metric) for metric in all_metrics()[process]]


def test_every_process_of_the_page_is_one_of_ours() -> None:
    """In both directions."""
    assert documented().keys() == all_metrics().keys()


def test_no_name_stands_for_two_metrics() -> None:
    """An expression means the same whichever process it asks."""
    series = [name for metrics in all_metrics().values() for m in metrics for name in m.series]
    assert len(series) == len(set(series))
    assert all(name.startswith("fundingstream_") for name in series)


def exported(text: str) -> dict[str, tuple[str, str, set[str]]]:
    """Type, text and label names of each metric of a scrape, by the name of its definition."""
    found = {}
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, family.documentation, labels)
    return found


def defined(metrics: tuple[Metric, ...]) -> dict[str, tuple[str, str, set[str]]]:
    """The same of definitions."""
    return {m.name: (m.type, m.text, set(m.labels)) for m in metrics}


def producer_text() -> str:
    """A scrape of a producer with one feed."""
    feed = SimpleNamespace(
        exchange=SimpleNamespace(feed="kucoin"),
        status=lambda: {"feed": "kucoin", "state": "live", **STATUS},
        data_age_s=lambda: 1.5,
        rest=SimpleNamespace(clock_ahead_s=0.25),
        pool=SimpleNamespace(held_back=1, quarantined=2, replies=3, replies_refused=4),
        frames=SimpleNamespace(ignored=3, unknown=4, thinned=7, incomplete=8),
        rest_barred_s=0.0,
        unreadable=4,
        oversized=5,
    )
    registry = CollectorRegistry()
    supervisor = SimpleNamespace(feed=feed, failures=6)
    registry.register(feed_collector([cast("Any", supervisor)]))
    return generate_latest(registry).decode()


def worker_text() -> str:
    """A scrape of a worker that has contracts of one feed."""
    ages = {"newest_age_s": 1.0, "oldest_age_s": 2.0}
    counted = dict.fromkeys(("contracts", "stale", "by_rest", "backfilling"), 1)
    picture = SimpleNamespace(
        counts={"accepted": 1},
        feeds=[{"feed": "kucoin", **counted, **ages}],
        readiness={"ready": True},
        gauges={"lag": 3, "idle_s": 0.1},
    )
    return metrics_text(cast("Any", picture), WorkerTimings()).decode()


def page_text() -> str:
    """A scrape of a page that has counted one of each."""
    counted: Any = SimpleNamespace(
        contracts=[1], refused=1, caught_up=True, records=1, malformed=1, clients=1, sent_frames=1,
        sent_bytes=1, snapshots=1, dropped=1, resumed=1, queries=1, failures=1,
        answers=Counter({200: 1}), connections_refused=1,
    )  # fmt: skip
    return page_metrics(counted, counted, counted, counted, counted)().decode()


def sink_text() -> str:
    """A scrape of a sink that has counted one of each."""
    metrics = SinkMetrics()
    for counter in (metrics.rows, metrics.batches, metrics.retries, metrics.tombstones):
        counter.labels("rates").inc()
    metrics.dead_letters.labels("rates", "refused").inc()
    metrics.truncated.labels("rates").inc()
    metrics.lost.labels("funding.rates").inc()
    metrics.insert_seconds.labels("rates").observe(0.1)
    metrics.latency_seconds.labels("rates").observe(0.1)
    metrics.lag.labels("funding.rates").set(1)
    metrics.waiting.labels("kafka").set(1)
    return generate_latest(metrics.registry).decode()


def notifier_text() -> str:
    """A scrape of a notifier that has counted one of each."""
    metrics = AlertMetrics()
    metrics.records.labels("funding.zscores").inc()
    metrics.fired.labels("rule").inc()
    metrics.held_back.labels("old").inc()
    metrics.notifications.labels("desk", "sent").inc()
    metrics.attempts.labels("desk", "ok").inc()
    metrics.send_seconds.labels("desk").observe(0.1)
    metrics.delay_seconds.labels("desk").observe(0.1)
    metrics.open.labels("desk").set(1)
    metrics.lag.labels("funding.zscores").set(1)
    return generate_latest(metrics.registry).decode()


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        (producer_text, PRODUCER_METRICS),
        (worker_text, WORKER_METRICS),
        (page_text, PAGE_METRICS),
        (sink_text, SINK_METRICS),
        (notifier_text, ALERT_METRICS),
    ],
)
def test_a_scrape_has_exactly_the_defined_metrics(text: Any, metrics: tuple[Metric, ...]) -> None:
    """With the type, the labels and the sentence of the definition."""
    assert exported(text()) == defined(metrics)


def test_a_feed_without_data_has_no_age() -> None:
    """Where there is no value there is no sample."""
    picture = SimpleNamespace(
        counts={},
        feeds=[
            {
                "feed": "kucoin",
                **dict.fromkeys(("contracts", "stale", "by_rest", "backfilling"), 0),
                **dict.fromkeys(("newest_age_s", "oldest_age_s")),
            }
        ],
        readiness={"ready": False},
        gauges={"lag": 0, "idle_s": 0.1},
    )
    text = metrics_text(cast("Any", picture), WorkerTimings()).decode()
    assert 'fundingstream_contracts{feed="kucoin"} 0.0' in text
    assert "fundingstream_newest_age_seconds{" not in text
    assert "fundingstream_worker_latency_seconds_count 0.0" in text
