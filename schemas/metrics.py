"""Definitions of Prometheus metrics, and what is made from them: collectors and counted metrics.

Each process lists its metrics once as `Metric` objects (producers/feed/metrics.py,
stream_app/web/metrics.py, stream_app/sink/metrics.py); `infra/metrics.py` returns all of them. A
metric of which the value is known elsewhere is read at each scrape (`ScrapeCollector`); one that
is counted where things happen is an object of prometheus_client (`counter`, `gauge`, `histogram`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

MetricType = Literal["counter", "gauge", "histogram"]
Unit = Literal[
    "batches",
    "boolean",
    "bytes",
    "calls",
    "connections",
    "contracts",
    "failures",
    "frames",
    "inserts",
    "items",
    "messages",
    "pieces",
    "rows",
    "seconds",
    "timestamp (s)",
]
_HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")
_Family = CounterMetricFamily | GaugeMetricFamily


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one process.

    `name` is that of the series in Prometheus, so a counter's ends in `_total`; a histogram has
    three series, whose names are this one and a suffix. `text` says in one phrase what it means.
    `buckets` are the upper bounds of a histogram's, in the metric's unit.
    """

    name: str
    type: MetricType
    unit: Unit
    labels: tuple[str, ...]
    text: str
    buckets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        assert self.unit in get_args(Unit), self.name
        assert self.name.endswith("_total") == (self.type == "counter"), self.name
        assert bool(self.buckets) == (self.type == "histogram"), self.name
        assert self.name.endswith(("_seconds", "_seconds_total")) == (
            self.unit in {"seconds", "timestamp (s)"}
        ), self.name

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which an expression finds its samples."""
        if self.type == "histogram":
            return tuple(f"{self.name}{suffix}" for suffix in _HISTOGRAM_SUFFIXES)
        return (self.name,)


class Samples:
    """The values of one scrape, metric by metric."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        """`metrics`: all that may be added; none of them is a histogram."""
        self._families = {metric: _family(metric) for metric in metrics}

    def add(self, metric: Metric, value: float, *labels: str) -> None:
        """Add a sample; `labels` are the values of the metric's labels, in their order."""
        assert len(labels) == len(metric.labels), metric.name
        self._families[metric].add_metric(labels, value)

    def families(self) -> Iterator[_Family]:
        """Yield each metric with its samples, in the order of the definitions."""
        yield from self._families.values()


class ScrapeCollector:
    """A collector of prometheus_client that reads every value when it is scraped."""

    def __init__(self, metrics: Sequence[Metric], read: Callable[[Samples], None]) -> None:
        """`read` adds the samples of one scrape."""
        self._metrics = metrics
        self._read = read

    def collect(self) -> Iterator[_Family]:
        """Yield all metrics with their present values."""
        samples = Samples(self._metrics)
        self._read(samples)
        yield from samples.families()


def counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    """Register a counter and return it."""
    assert metric.type == "counter", metric.name
    return Counter(metric.name, metric.text, metric.labels, registry=registry)


def gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    """Register a gauge and return it."""
    assert metric.type == "gauge", metric.name
    return Gauge(metric.name, metric.text, metric.labels, registry=registry)


def histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    """Register a histogram and return it."""
    assert metric.type == "histogram", metric.name
    return Histogram(
        metric.name, metric.text, metric.labels, buckets=metric.buckets, registry=registry
    )


def _family(metric: Metric) -> _Family:
    assert metric.type != "histogram", "histograms are counted, not read"
    family = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    return family(metric.name, metric.text, labels=metric.labels)
