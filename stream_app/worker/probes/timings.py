"""Durations that the worker measures while it works, as Prometheus histograms."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from schemas.metrics import Metric, histogram

_LATENCY = Metric(
    "fundingstream_worker_latency_seconds",
    "histogram",
    "seconds",
    (),
    "From a record's receipt by the producer to its outputs' handing over to Kafka",
    (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
_FLUSH = Metric(
    "fundingstream_worker_flush_seconds",
    "histogram",
    "seconds",
    (),
    "Duration of a flush, which makes durable what was applied",
    (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
TIMING_METRICS: tuple[Metric, ...] = (_LATENCY, _FLUSH)


class WorkerTimings:
    """The histograms of one worker, in a registry of their own, so that tests can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.latency_seconds = histogram(_LATENCY, self.registry)
        self.flush_seconds = histogram(_FLUSH, self.registry)
