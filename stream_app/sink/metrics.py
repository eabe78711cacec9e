"""The sink's Prometheus metrics, counted where things happen, and the endpoint that serves them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter

from schemas.clock import now_us
from schemas.dead_letter_rate import TotalsWatch
from schemas.http.metrics_server import serve_metrics
from schemas.metrics import Metric, Samples, ScrapeCollector, Unit, counter, gauge, histogram
from stream_app.settings import SinkSettings

_INSERT_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LATENCY_BUCKETS_S = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 3600)


def _counter(name: str, unit: Unit, text: str, *labels: str) -> Metric:
    return Metric(f"fundingstream_sink_{name}_total", "counter", unit, labels, text)


def _gauge(name: str, unit: Unit, text: str, *labels: str) -> Metric:
    return Metric(f"fundingstream_sink_{name}", "gauge", unit, labels, text)


def _histogram(name: str, text: str, buckets_s: tuple[float, ...]) -> Metric:
    name = f"fundingstream_sink_{name}"
    return Metric(name, "histogram", "seconds", ("table",), text, buckets_s)


_ROWS = _counter("rows", "rows", "Rows stored", "table")
_BATCHES = _counter("batches", "batches", "Chunks stored", "table")
_RETRIES = _counter("retries", "inserts", "Inserts tried again", "table")
_DEAD_LETTERS = _counter("dead_letters", "messages", "Messages given up", "table", "reason")
_BEYOND = _gauge(
    "dead_letters_beyond_limit",
    "boolean",
    "1 while most messages, or many in a row, are given up",
    "table",
)
_CUT = _counter(
    "truncated_dead_letters",
    "messages",
    "Dead letters with the beginning of a large value",
    "table",
)
_TOMBSTONES = _counter("tombstones", "messages", "Messages without a value, skipped", "table")
_ABANDONED = _counter("abandoned_rows", "messages", "Messages left to the group's next owner")
_LOST = _counter("lost", "messages", "Messages that Kafka deleted before they were stored", "topic")
_INSERT = _histogram("insert_seconds", "Duration of an INSERT", _INSERT_BUCKETS_S)
_LATENCY = _histogram(
    "latency_seconds",
    "From the record's receipt by the producer until it is stored",
    _LATENCY_BUCKETS_S,
)
_LAG = _gauge("lag", "messages", "Messages not yet stored", "topic")
_WAITING = _gauge("waiting", "boolean", "1 while nothing can be stored, by cause", "cause")
_BUFFERED = _gauge("buffered_rows", "messages", "Messages in open chunks")
_STORED_AT = _gauge("stored_timestamp_seconds", "timestamp (s)", "When a chunk was last stored")
SINK_METRICS: tuple[Metric, ...] = (
    *(_ROWS, _BATCHES, _RETRIES, _DEAD_LETTERS, _BEYOND, _CUT, _TOMBSTONES, _ABANDONED, _LOST),
    *(_INSERT, _LATENCY, _LAG, _WAITING, _BUFFERED, _STORED_AT),
)


class SinkMetrics:
    """The sink's metrics in a registry of their own, so that tests can have several."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.rows = counter(_ROWS, registry)
        self.batches = counter(_BATCHES, registry)
        self.retries = counter(_RETRIES, registry)
        self.dead_letters = counter(_DEAD_LETTERS, registry)
        self.truncated = counter(_CUT, registry)
        self.tombstones = counter(_TOMBSTONES, registry)
        self.abandoned = counter(_ABANDONED, registry)
        self.lost = counter(_LOST, registry)
        self.insert_seconds = histogram(_INSERT, registry)
        self.latency_seconds = histogram(_LATENCY, registry)
        self.lag = gauge(_LAG, registry)
        self.waiting = gauge(_WAITING, registry)
        self.buffered = gauge(_BUFFERED, registry)
        self.stored_at = gauge(_STORED_AT, registry)

        self._watches: dict[str, TotalsWatch] = defaultdict(TotalsWatch)
        registry.register(ScrapeCollector((_BEYOND,), self._read))

    def _read(self, samples: Samples) -> None:
        """Add what is only known when it is asked for."""
        at_us, stored = now_us(), _by_table(self.rows)
        for table, letters in _by_table(self.dead_letters).items():
            beyond = self._watches[table].is_beyond(at_us, letters, stored.get(table, 0))
            samples.add(_BEYOND, beyond, table)

    def serve(self, settings: SinkSettings, trouble: Callable[[], str]) -> Callable[[], None]:
        """Serve /metrics and /healthz; return what stops it. `trouble`: what /healthz says.

        Raises:
            UnavailableError: the port is taken.
        """
        return serve_metrics(
            self.registry,
            settings.sink_metrics_host,
            settings.sink_metrics_port,
            settings.allowed_hosts,
            "FUNDING_SINK_METRICS_PORT",
            trouble,
        )


def _by_table(counted: Counter) -> dict[str, int]:
    """Return a counter's totals by its label `table`."""
    totals: dict[str, int] = {}
    for family in counted.collect():
        for sample in family.samples:
            if sample.name.endswith("_total"):
                table = sample.labels["table"]
                totals[table] = totals.get(table, 0) + int(sample.value)
    return totals
