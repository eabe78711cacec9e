"""A definition of a metric that contradicts itself is refused, and its samples fit it."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.metrics import Metric, Samples, ScrapeCollector, counter, gauge, histogram

FRAMES = Metric("x_frames_total", "counter", "frames", ("feed",), "Data frames")
LAG = Metric("x_lag", "gauge", "messages", (), "Messages not yet stored")
WAIT = Metric("x_wait_seconds", "histogram", "seconds", (), "Duration of a wait", (0.1, 1.0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x_frames"},
        {"type": "gauge"},
        {"unit": "seconds"},
        {"unit": "furlongs"},
        {"buckets": (1.0,)},
    ],
    ids=str,
)
def test_a_definition_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    """A counter's name ends in _total, a time's in _seconds, and only a histogram has buckets."""
    right: dict[str, Any] = {
        "name": FRAMES.name,
        "type": FRAMES.type,
        "unit": FRAMES.unit,
        "labels": FRAMES.labels,
        "text": FRAMES.text,
    }
    assert Metric(**right) == FRAMES
    with pytest.raises(AssertionError, match="x_frames"):
        Metric(**{**right, **wrong})


def test_series_are_the_names_that_an_expression_uses() -> None:
    """A histogram has three, the others one."""
    assert FRAMES.series == ("x_frames_total",)
    assert WAIT.series == ("x_wait_seconds_bucket", "x_wait_seconds_sum", "x_wait_seconds_count")


def test_a_collector_reads_the_values_at_each_scrape() -> None:
    """Not when it is made."""
    values = {"a": 1.0}

    def read(samples: Samples) -> None:
        for feed, value in values.items():
            samples.add(FRAMES, value, feed)
        samples.add(LAG, 3.0)

    registry = CollectorRegistry()
    registry.register(ScrapeCollector((FRAMES, LAG), read))
    assert registry.get_sample_value("x_frames_total", {"feed": "a"}) == 1.0
    values["a"] = 2.0
    assert registry.get_sample_value("x_frames_total", {"feed": "a"}) == 2.0
    assert registry.get_sample_value("x_lag") == 3.0


def test_a_sample_has_a_value_for_each_label() -> None:
    """And belongs to a metric of the collector."""
    samples = Samples((FRAMES,))
    with pytest.raises(AssertionError, match="x_frames_total"):
        samples.add(FRAMES, 1.0)
    with pytest.raises(KeyError):
        samples.add(LAG, 1.0)


def test_counted_metrics_are_registered_under_their_names() -> None:
    """Each function takes its own type alone."""
    registry = CollectorRegistry()
    counter(FRAMES, registry).labels("a").inc(2)
    gauge(LAG, registry).set(7)
    histogram(WAIT, registry).observe(0.5)
    assert registry.get_sample_value("x_frames_total", {"feed": "a"}) == 2.0
    assert registry.get_sample_value("x_lag") == 7.0
    assert registry.get_sample_value("x_wait_seconds_bucket", {"le": "0.1"}) == 0.0
    assert registry.get_sample_value("x_wait_seconds_bucket", {"le": "1.0"}) == 1.0
    for make in (gauge, histogram):
        with pytest.raises(AssertionError, match="x_frames_total"):
            make(FRAMES, registry)
