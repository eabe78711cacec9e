"""The producers' Prometheus metrics, read from the running feeds when scraped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from producers.feed.feed import Feed
from producers.feed.supervisor import FeedSupervisor
from producers.settings import ProducerSettings
from schemas.http.metrics_server import serve_metrics
from schemas.records import FeedState

_STATES: tuple[FeedState, ...] = get_args(FeedState)
_GAUGES = {
    "contracts_expected": "Contracts that should deliver",
    "contracts_live": "Of them, those that delivered within the stale threshold",
    "contracts_by_rest": "Contracts that REST serves because the stream does not",
    "connections": "Open sockets",
}
_COUNTERS = {
    "connects": "Successful connects",
    "frames": "Data frames",
    "updates": "Pieces of data frames published",
    "rest_calls": "REST calls",
    "rest_failures": "REST calls that failed",
    "connect_attempts": "Attempts to connect",
    "repeated": "Pieces that another socket had delivered before",
}


class FeedCollector:
    """Yields the metrics of all feeds of this process."""

    def __init__(self, supervisors: Sequence[FeedSupervisor]) -> None:
        self._supervisors = supervisors

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the producers."""
        # The feeds that run now: a supervisor replaces one that failed by a new one.
        feeds = [supervisor.feed for supervisor in self._supervisors]
        statuses: list[dict[str, Any]] = [dict(feed.status()) for feed in feeds]
        for name, text in _GAUGES.items():
            gauge = GaugeMetricFamily(f"fundingstream_feed_{name}", text, labels=["feed"])
            for status in statuses:
                gauge.add_metric([status["feed"]], status[name])
            yield gauge
        for name, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"fundingstream_feed_{name}", text, labels=["feed"])
            for status in statuses:
                counter.add_metric([status["feed"]], status[name])
            yield counter
        state = GaugeMetricFamily(
            "fundingstream_feed_state", "1 for the feed's state", labels=["feed", "state"]
        )
        for status in statuses:
            for name in _STATES:
                state.add_metric([status["feed"], name], status["state"] == name)
        yield state
        yield from self._extra(feeds)
        yield self._failures()
        unreadable = CounterMetricFamily(
            "fundingstream_feed_unreadable", "Messages sent to the dead letters", labels=["feed"]
        )
        age = GaugeMetricFamily(
            "fundingstream_feed_data_age_seconds", "Age of the newest data frame", labels=["feed"]
        )
        for feed in feeds:
            unreadable.add_metric([feed.exchange.feed], feed.unreadable)
            if (age_s := feed.data_age_s()) is not None:
                age.add_metric([feed.exchange.feed], age_s)
        yield unreadable
        yield age

    def _failures(self) -> Metric:
        failed = CounterMetricFamily(
            "fundingstream_feed_failures",
            "Times that the feed failed for a reason of its own and was run anew",
            labels=["feed"],
        )
        for supervisor in self._supervisors:
            failed.add_metric([supervisor.feed.exchange.feed], supervisor.failures)
        return failed

    def _extra(self, feeds: Sequence[Feed]) -> Iterator[Metric]:
        """Yield what the feed's status does not hold."""
        held = GaugeMetricFamily(
            "fundingstream_feed_contracts_held_back", "Contracts in quarantine", labels=["feed"]
        )
        counted = {
            "quarantined": "Times that a contract was put in quarantine",
            "ignored": "Data frames that carry no rate, not published",
            "oversized": "Pieces too long for a record, sent to the dead letters",
        }
        counters = {
            name: CounterMetricFamily(f"fundingstream_feed_{name}", text, labels=["feed"])
            for name, text in counted.items()
        }
        ahead = GaugeMetricFamily(
            "fundingstream_feed_clock_ahead_seconds",
            "How far the exchange's clock is ahead of ours; 0 where they agree",
            labels=["feed"],
        )
        barred = GaugeMetricFamily(
            "fundingstream_feed_rest_barred_seconds",
            "For how long the exchange still refuses REST calls",
            labels=["feed"],
        )
        for feed in feeds:
            label = [feed.exchange.feed]
            ahead.add_metric(label, feed.rest.clock_ahead_s)
            barred.add_metric(label, feed.rest_barred_s)
            held.add_metric(label, feed.pool.held_back)
            counters["quarantined"].add_metric(label, feed.pool.quarantined)
            counters["ignored"].add_metric(label, feed.frames.ignored)
            counters["oversized"].add_metric(label, feed.oversized)
        yield from (held, ahead, barred)
        yield from counters.values()


def serve_feeds(supervisors: Sequence[FeedSupervisor], settings: ProducerSettings) -> None:
    """Serve the feeds' metrics for as long as the process lives.

    Raises:
        UnavailableError: the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(FeedCollector(supervisors))
    serve_metrics(
        registry,
        settings.producer_metrics_host,
        settings.producer_metrics_port,
        settings.allowed_hosts,
        "FUNDING_PRODUCER_METRICS_PORT",
    )
