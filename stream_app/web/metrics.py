"""The page's own Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest

from schemas.metrics import Metric, Samples, ScrapeCollector, Unit
from stream_app.web.fleet import Fleet
from stream_app.web.history.clickhouse import ClickHouse
from stream_app.web.live.hub import Hub
from stream_app.web.reader import Reader
from stream_app.web.server.limits import Load


def _gauge(name: str, unit: Unit, text: str) -> Metric:
    return Metric(f"fundingstream_page_{name}", "gauge", unit, (), text)


def _counter(name: str, unit: Unit, text: str) -> Metric:
    return Metric(f"fundingstream_page_{name}_total", "counter", unit, (), text)


_CLIENTS = _gauge("clients", "connections", "Pages that are open")
_CONTRACTS = _gauge("contracts", "contracts", "Contracts that the page shows")
_CAUGHT_UP = _gauge("caught_up", "boolean", "1 once the page has read the topics up to their ends")
_FRAMES = _counter("frames", "frames", "Frames sent to all pages together")
_BYTES = _counter("sent_bytes", "bytes", "Bytes of these frames")
_SNAPSHOTS = _counter("snapshots", "frames", "Snapshots sent, to new pages and to slow ones")
_DROPPED = _counter(
    "slow_clients", "connections", "Times that a page was so slow that a snapshot replaced deltas"
)
_RESUMED = _counter("resumed", "connections", "Pages that went on where they had been cut off")
_RECORDS = _counter("records", "messages", "Records read from the topics")
_MALFORMED = _counter("malformed", "messages", "Records that could not be decoded or shown")
_IGNORED = _counter("ignored", "messages", "Records of unknown feeds, or beyond a bound")
_REFUSED = _counter("refused", "calls", "Requests refused because they were too many or too large")
_QUERIES = _counter("history_queries", "calls", "Questions asked of ClickHouse")
_QUERY_FAILURES = _counter(
    "history_failures", "failures", "Questions that ClickHouse did not answer"
)
_ANSWERS = Metric(
    "fundingstream_page_answers_total", "counter", "calls", ("status",), "Requests, by HTTP status"
)
_CONNECTIONS_REFUSED = _counter(
    "connections_refused", "connections", "Connections closed because too many were open"
)
PAGE_METRICS: tuple[Metric, ...] = (
    _CLIENTS, _CONTRACTS, _CAUGHT_UP, _FRAMES, _BYTES, _SNAPSHOTS, _DROPPED, _RESUMED, _RECORDS,
    _MALFORMED, _IGNORED, _REFUSED, _QUERIES, _QUERY_FAILURES,
    _ANSWERS, _CONNECTIONS_REFUSED,
)  # fmt: skip


def page_metrics(
    fleet: Fleet, reader: Reader, hub: Hub, load: Load, clickhouse: ClickHouse
) -> Callable[[], bytes]:
    """Return a function that gives the metrics in Prometheus' text format. Safe in any thread."""

    def read(samples: Samples) -> None:
        for metric, value in (
            (_CLIENTS, hub.clients),
            (_CONTRACTS, len(fleet.contracts)),
            (_CAUGHT_UP, reader.caught_up),
            (_FRAMES, hub.sent_frames),
            (_BYTES, hub.sent_bytes),
            (_SNAPSHOTS, hub.snapshots),
            (_DROPPED, hub.dropped),
            (_RESUMED, hub.resumed),
            (_RECORDS, reader.records),
            (_MALFORMED, reader.malformed),
            (_IGNORED, fleet.refused),
            (_REFUSED, load.refused),
            (_QUERIES, clickhouse.queries),
            (_QUERY_FAILURES, clickhouse.failures),
            (_CONNECTIONS_REFUSED, load.connections_refused),
        ):
            samples.add(metric, value)
        for status, count in sorted(load.answers.copy().items()):
            samples.add(_ANSWERS, count, str(status))

    registry = CollectorRegistry()
    registry.register(ScrapeCollector(PAGE_METRICS, read))
    return lambda: generate_latest(registry)
