"""The notifier's Prometheus metrics, and the endpoint that serves them."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from schemas.http.metrics_server import serve_metrics
from schemas.metrics import Metric, Unit, counter, gauge, histogram
from stream_app.settings import AlertSettings

_SEND_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DELAY_BUCKETS_S = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)


def _counter(name: str, unit: Unit, text: str, *labels: str) -> Metric:
    return Metric(f"fundingstream_alerts_{name}_total", "counter", unit, labels, text)


def _gauge(name: str, unit: Unit, text: str, *labels: str) -> Metric:
    return Metric(f"fundingstream_alerts_{name}", "gauge", unit, labels, text)


_ACTIVE = _gauge("active", "boolean", "1 for the notifier of a group that works; others stand by")
_RECORDS = _counter(
    "records", "messages", "Records of topics that the rules were run over", "topic"
)
_FIRED = _counter("fired", "items", "Alerts that a rule has made", "rule")
_HELD_BACK = _counter(
    "held_back", "items", "Alerts that nobody is told: old, duplicate, cool_down, …", "reason"
)
_NOTIFICATIONS = _counter(
    "notifications", "messages", "Notifications that are done", "target", "outcome"
)
_ATTEMPTS = _counter(
    "attempts", "calls", "Attempts to send a message: ok or failed", "target", "result"
)
_SEND = Metric(
    "fundingstream_alerts_send_seconds",
    "histogram",
    "seconds",
    ("target",),
    "Duration of an attempt",
    _SEND_BUCKETS_S,
)
_DELAY = Metric(
    "fundingstream_alerts_delay_seconds",
    "histogram",
    "seconds",
    ("target",),
    "From the time at which a rule fired until the target had the message",
    _DELAY_BUCKETS_S,
)
_OPEN = _gauge("open", "messages", "Notifications that wait, are collected or being sent", "target")
_EXCURSIONS = _gauge("tracks", "items", "Subjects of rules that have a state")
_LAG = _gauge("lag", "messages", "Records not read yet", "topic")
ALERT_METRICS: tuple[Metric, ...] = (
    *(_ACTIVE, _RECORDS, _FIRED, _HELD_BACK, _NOTIFICATIONS, _ATTEMPTS),
    *(_SEND, _DELAY, _OPEN, _EXCURSIONS, _LAG),
)


class AlertMetrics:
    """The notifier's metrics in a registry of their own, so that tests can have several."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.active = gauge(_ACTIVE, registry)
        self.records = counter(_RECORDS, registry)
        self.fired = counter(_FIRED, registry)
        self.held_back = counter(_HELD_BACK, registry)
        self.notifications = counter(_NOTIFICATIONS, registry)
        self.attempts = counter(_ATTEMPTS, registry)
        self.send_seconds = histogram(_SEND, registry)
        self.delay_seconds = histogram(_DELAY, registry)
        self.open = gauge(_OPEN, registry)
        self.tracks = gauge(_EXCURSIONS, registry)
        self.lag = gauge(_LAG, registry)

    def serve(self, settings: AlertSettings, trouble: Callable[[], str]) -> Callable[[], None]:
        """Serve /metrics and /healthz; return what stops it. `trouble`: what /healthz says.

        Raises:
            UnavailableError: the port is taken.
        """
        return serve_metrics(
            self.registry,
            settings.alert_metrics_host,
            settings.alert_metrics_port,
            settings.allowed_hosts,
            "FUNDING_ALERT_METRICS_PORT",
            trouble,
        )
