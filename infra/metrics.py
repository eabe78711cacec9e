"""All Prometheus metrics of fundingstream, for what is checked or generated from them."""

from __future__ import annotations

from collections.abc import Mapping

from producers.feed.metrics import PRODUCER_METRICS
from schemas.metrics import Metric
from stream_app.notifier.metrics import ALERT_METRICS
from stream_app.sink.metrics import SINK_METRICS
from stream_app.web.metrics import PAGE_METRICS
from stream_app.worker.probes.metrics import WORKER_METRICS


def all_metrics() -> Mapping[str, tuple[Metric, ...]]:
    """Return the metrics of each process that serves `/metrics`; a worker serves the page's too."""
    return {
        "producer": PRODUCER_METRICS,
        "worker": WORKER_METRICS,
        "page": PAGE_METRICS,
        "sink": SINK_METRICS,
        "notifier": ALERT_METRICS,
    }
