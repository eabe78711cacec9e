"""The producers' Prometheus metrics, read from the running feeds when they are scraped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from prometheus_client import CollectorRegistry

from producers.feed.supervisor import FeedSupervisor
from producers.settings import ProducerSettings
from schemas.clock import now_us
from schemas.dead_letter_rate import TotalsWatch
from schemas.http.metrics_server import serve_metrics
from schemas.metrics import Metric, Samples, ScrapeCollector, Unit
from schemas.process.heartbeat import Heartbeat
from schemas.records import FeedState

_STATES: tuple[FeedState, ...] = get_args(FeedState)


def _gauge(name: str, unit: Unit, text: str) -> Metric:
    return Metric(f"fundingstream_feed_{name}", "gauge", unit, ("feed",), text)


def _counter(name: str, unit: Unit, text: str) -> Metric:
    return Metric(f"fundingstream_feed_{name}_total", "counter", unit, ("feed",), text)


_OF_STATUS: Mapping[str, Metric] = {
    "contracts_expected": _gauge(
        "contracts_expected", "contracts", "Contracts that should deliver"
    ),
    "contracts_live": _gauge(
        "contracts_live", "contracts", "Of them, those that delivered within the stale threshold"
    ),
    "contracts_by_rest": _gauge(
        "contracts_by_rest", "contracts", "Contracts that REST serves because the stream does not"
    ),
    "contracts_quiet": _gauge(
        "contracts_quiet", "contracts", "Silent contracts whose changes the stream would push"
    ),
    "connections": _gauge("connections", "connections", "Open sockets"),
    "connects": _counter("connects", "connections", "Successful connects"),
    "connect_attempts": _counter("connect_attempts", "connections", "Attempts to connect"),
    "frames": _counter("frames", "frames", "Data frames"),
    "updates": _counter("updates", "pieces", "Pieces of data frames published"),
    "repeated": _counter("repeated", "pieces", "Pieces that another socket had delivered before"),
    "rest_calls": _counter("rest_calls", "calls", "REST calls"),
    "rest_failures": _counter("rest_failures", "calls", "REST calls that failed"),
}
"""By the field of the feed's status that holds the value."""
_STATE = Metric(
    "fundingstream_feed_state", "gauge", "boolean", ("feed", "state"), "1 for the feed's state"
)
_DATA_AGE = _gauge("data_age_seconds", "seconds", "Age of the newest data frame")
_CLOCK_AHEAD = _gauge(
    "clock_ahead_seconds",
    "seconds",
    "How far the exchange's clock is ahead of ours; 0 where they agree",
)
_REST_BARRED = _gauge(
    "rest_barred_seconds", "seconds", "For how long the exchange still refuses REST calls"
)
_HELD_BACK = _gauge("contracts_held_back", "contracts", "Contracts in quarantine")
_QUARANTINED = _counter("quarantined", "contracts", "Times that a contract was put in quarantine")
_IGNORED = _counter("ignored", "frames", "Data frames that carry no rate, not published")
_UNKNOWN = _counter("unknown", "frames", "Frames of events that are not read, not published")
_THINNED = _counter("thinned", "pieces", "Pieces left out: one a second and contract is published")
_INCOMPLETE = _counter(
    "incomplete", "rows", "Rows of changes left out, because no whole row came before them"
)
_REPLIES = _counter("replies", "messages", "Answers to pings of the exchange")
_REPLIES_REFUSED = _counter(
    "replies_refused", "messages", "Answers that were not sent: too long, or more than 5 a second"
)
_UNREADABLE = _counter("unreadable", "messages", "Messages sent to the dead letters")
_OVERSIZED = _counter(
    "oversized", "pieces", "Pieces too long for a record, sent to the dead letters"
)
_BEYOND = _gauge(
    "dead_letters_beyond_limit",
    "boolean",
    "1 while most messages, or many in a row, go to the dead letters",
)
_FAILURES = _counter(
    "failures", "failures", "Times that the feed failed for a reason of its own and was run anew"
)
PRODUCER_METRICS: tuple[Metric, ...] = (
    *_OF_STATUS.values(),
    *(_STATE, _DATA_AGE, _CLOCK_AHEAD, _REST_BARRED, _HELD_BACK, _QUARANTINED),
    *(_IGNORED, _UNKNOWN, _THINNED, _INCOMPLETE),
    *(_REPLIES, _REPLIES_REFUSED, _UNREADABLE, _OVERSIZED, _BEYOND, _FAILURES),
)


def feed_collector(supervisors: Sequence[FeedSupervisor]) -> ScrapeCollector:
    """Return a collector of the metrics of all feeds of this process."""
    watches: dict[str, TotalsWatch] = defaultdict(TotalsWatch)

    def read(samples: Samples) -> None:
        for supervisor in supervisors:
            feed = supervisor.feed
            letters, frames = feed.unreadable + feed.oversized, feed.status()["frames"]
            watch = watches[feed.exchange.feed]
            _read_feed(samples, supervisor, beyond=watch.is_beyond(now_us(), letters, frames))

    return ScrapeCollector(PRODUCER_METRICS, read)


def _read_feed(samples: Samples, supervisor: FeedSupervisor, *, beyond: bool) -> None:
    # The feed that runs now: one that failed is followed by another one.
    feed = supervisor.feed
    name, status = feed.exchange.feed, feed.status()
    values: dict[str, Any] = dict(status)
    for field, metric in _OF_STATUS.items():
        samples.add(metric, values[field], name)
    for state in _STATES:
        samples.add(_STATE, status["state"] == state, name, state)
    if (age_s := feed.data_age_s()) is not None:
        samples.add(_DATA_AGE, age_s, name)
    samples.add(_CLOCK_AHEAD, feed.rest.clock_ahead_s, name)
    samples.add(_REST_BARRED, feed.rest_barred_s, name)
    samples.add(_HELD_BACK, feed.pool.held_back, name)
    samples.add(_QUARANTINED, feed.pool.quarantined, name)
    samples.add(_IGNORED, feed.frames.ignored, name)
    samples.add(_UNKNOWN, feed.frames.unknown, name)
    samples.add(_THINNED, feed.frames.thinned, name)
    samples.add(_INCOMPLETE, feed.frames.incomplete, name)
    samples.add(_REPLIES, feed.pool.replies, name)
    samples.add(_REPLIES_REFUSED, feed.pool.replies_refused, name)
    samples.add(_UNREADABLE, feed.unreadable, name)
    samples.add(_OVERSIZED, feed.oversized, name)
    samples.add(_BEYOND, beyond, name)
    samples.add(_FAILURES, supervisor.failures, name)


def serve_feeds(
    supervisors: Sequence[FeedSupervisor], settings: ProducerSettings, heartbeat: Heartbeat
) -> None:
    """Serve the feeds' metrics, and the health of their loop, for as long as the process lives.

    Raises:
        UnavailableError: the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(feed_collector(supervisors))
    serve_metrics(
        registry,
        settings.producer_metrics_host,
        settings.producer_metrics_port,
        settings.allowed_hosts,
        "FUNDING_PRODUCER_METRICS_PORT",
        heartbeat.trouble,
    )
