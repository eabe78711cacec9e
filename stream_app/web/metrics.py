"""The worker's Prometheus metrics: one typed registry of names, read from the view when scraped.

Not responsible for: Faust's own metrics, the producers' and the sink's.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from stream_app.web.view import WorkerView


class _Collector:
    def __init__(self, view: WorkerView) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the worker."""
        events = CounterMetricFamily(
            "fundingstream_worker_events",
            "What happened to raw items: accepted, duplicate, late, no_rate, dead_letter, …",
            labels=["kind"],
        )
        for kind, count in self._view.counts().items():
            events.add_metric([kind], count)
        yield events
        contracts = GaugeMetricFamily(
            "fundingstream_contracts", "Contracts with a rate", labels=["feed"]
        )
        age = GaugeMetricFamily(
            "fundingstream_newest_age_seconds", "Age of the newest update", labels=["feed"]
        )
        oldest = GaugeMetricFamily(
            "fundingstream_oldest_age_seconds",
            "Age of the update of the contract that is longest silent",
            labels=["feed"],
        )
        loading = GaugeMetricFamily(
            "fundingstream_backfilling_contracts",
            "Contracts whose baseline is being filled: their z is withheld",
            labels=["feed"],
        )
        stale = GaugeMetricFamily(
            "fundingstream_stale_contracts",
            "Contracts whose newest rate is older than their feed's stale threshold",
            labels=["feed"],
        )
        by_rest = GaugeMetricFamily(
            "fundingstream_contracts_by_rest",
            "Contracts whose newest rate REST brought",
            labels=["feed"],
        )
        for feed in self._view.feeds():
            label = [feed["feed"]]
            contracts.add_metric(label, feed["contracts"])
            if feed["contracts"]:
                age.add_metric(label, feed["newest_age_s"])
                oldest.add_metric(label, feed["oldest_age_s"])
            stale.add_metric(label, feed["stale"])
            by_rest.add_metric(label, feed["by_rest"])
            loading.add_metric(label, feed["backfilling"])
        yield from (contracts, age, oldest, stale, by_rest, loading)
        latency = GaugeMetricFamily(
            "fundingstream_worker_latency_seconds",
            "Received at the producer to handed to Kafka by the worker, newest batches",
            labels=["quantile"],
        )
        for quantile, value in self._view.latency_s().items():
            if value is not None:
                latency.add_metric([quantile], value)
        yield latency
        yield GaugeMetricFamily(
            "fundingstream_worker_ready",
            "1 while every feed that has a producer is delivered; /readyz says why it is 0",
            value=self._view.readiness()["ready"],
        )
        yield GaugeMetricFamily(
            "fundingstream_worker_idle_seconds",
            "Since the last raw record was processed",
            value=self._view.idle_s(),
        )


def metrics_text(view: WorkerView) -> str:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collector(view))
    return generate_latest(registry).decode()
