"""Every metric of the sink, and the endpoint that serves them.

Not responsible for: when they are counted (writer.py, runner.py).
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.http.metrics_server import serve_metrics
from stream_app.settings import SinkSettings

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LATENCY = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 3600)


class SinkMetrics:
    """The sink's metrics in a registry of their own, so that tests can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rows = self._counter("rows", "Rows stored", "table")
        self.batches = self._counter("batches", "Chunks stored", "table")
        self.retries = self._counter("retries", "Inserts tried again", "table")
        self.dead_letters = self._counter("dead_letters", "Messages given up", "table", "reason")
        self.tombstones = self._counter("tombstones", "Messages without a value, skipped", "table")
        self.abandoned = self._counter("abandoned_rows", "Messages left to the group's next owner")
        self.insert_seconds = Histogram(
            "fundingstream_sink_insert_seconds",
            "Duration of an INSERT",
            ["table"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.latency_seconds = Histogram(
            "fundingstream_sink_latency_seconds",
            "From the record's receipt by the producer until it is stored",
            ["table"],
            buckets=_LATENCY,
            registry=self.registry,
        )
        self.lag = Gauge(
            "fundingstream_sink_lag", "Messages not yet stored", ["topic"], registry=self.registry
        )
        self.waiting = Gauge(
            "fundingstream_sink_waiting",
            "1 while nothing can be stored, by cause",
            ["cause"],
            registry=self.registry,
        )
        self.buffered = Gauge(
            "fundingstream_sink_buffered_rows", "Messages in open chunks", registry=self.registry
        )
        self.stored_at = Gauge(
            "fundingstream_sink_stored_timestamp_seconds",
            "When a chunk was last stored",
            registry=self.registry,
        )

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"fundingstream_sink_{name}", what, labels, registry=self.registry)

    def serve(self, settings: SinkSettings) -> Callable[[], None]:
        """Serve /metrics; return what stops it.

        Raises:
            UnavailableError: the port is taken.
        """
        return serve_metrics(
            self.registry,
            settings.sink_metrics_host,
            settings.sink_metrics_port,
            settings.allowed_hosts,
            "FUNDING_SINK_METRICS_PORT",
        )
