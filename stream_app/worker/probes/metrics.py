"""The worker's Prometheus metrics: its timings, and what the newest picture has of its state.

Faust's own metrics are switched off.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, generate_latest

from schemas.metrics import Metric, Samples, ScrapeCollector, Unit
from stream_app.worker.probes.picture import Picture
from stream_app.worker.probes.timings import TIMING_METRICS, WorkerTimings


def _of_feed(name: str, unit: Unit, text: str) -> Metric:
    return Metric(f"fundingstream_{name}", "gauge", unit, ("feed",), text)


_EVENTS = Metric(
    "fundingstream_worker_events_total",
    "counter",
    "items",
    ("kind",),
    "What happened to raw items: accepted, duplicate, late, no_rate, dead_letter, …",
)
_FEED_GAUGES: Mapping[str, Metric] = {
    "contracts": _of_feed("contracts", "contracts", "Contracts with a rate"),
    "newest_age_s": _of_feed("newest_age_seconds", "seconds", "Age of the newest update"),
    "oldest_age_s": _of_feed(
        "oldest_age_seconds",
        "seconds",
        "Age of the update of the contract that is longest silent",
    ),
    "stale": _of_feed(
        "stale_contracts",
        "contracts",
        "Contracts whose newest rate is older than their feed's stale threshold",
    ),
    "by_rest": _of_feed(
        "contracts_by_rest", "contracts", "Contracts whose newest rate REST brought"
    ),
    "backfilling": _of_feed(
        "backfilling_contracts",
        "contracts",
        "Contracts whose baseline is being filled: their z is withheld",
    ),
}
"""By the key of the view's entry for a feed; an age is None while a feed has no contract."""
_LAG = Metric(
    "fundingstream_worker_lag",
    "gauge",
    "messages",
    (),
    "Raw records of this worker's partitions that are in the log and not yet applied",
)
_READY = Metric(
    "fundingstream_worker_ready",
    "gauge",
    "boolean",
    (),
    "1 while every feed that has a producer is delivered; /readyz says why it is 0",
)
_IDLE = Metric(
    "fundingstream_worker_idle_seconds",
    "gauge",
    "seconds",
    (),
    "Since the last raw record was processed",
)
_SCRAPED: tuple[Metric, ...] = (_EVENTS, *_FEED_GAUGES.values(), _LAG, _READY, _IDLE)
WORKER_METRICS: tuple[Metric, ...] = (*_SCRAPED, *TIMING_METRICS)


def metrics_text(picture: Picture, timings: WorkerTimings) -> bytes:
    """Return all metrics in Prometheus' text format."""

    def read(samples: Samples) -> None:
        for kind, count in picture.counts.items():
            samples.add(_EVENTS, count, kind)
        for feed in picture.feeds:
            for key, metric in _FEED_GAUGES.items():
                if feed[key] is not None:
                    samples.add(metric, feed[key], feed["feed"])
        samples.add(_LAG, picture.gauges["lag"])
        samples.add(_READY, picture.readiness["ready"])
        samples.add(_IDLE, picture.gauges["idle_s"])

    registry = CollectorRegistry()
    registry.register(ScrapeCollector(_SCRAPED, read))
    return generate_latest(registry) + generate_latest(timings.registry)
