"""Tells people that the sink cannot store at present, and when it can again.

One line for each change of state, then at most one a minute, and a gauge for alerts: an outage of
hours must not fill the log that explains it. Consumption is paused meanwhile, nothing is committed,
and Kafka keeps what is owed.
"""

from __future__ import annotations

import logging

from schemas.clock import Clock
from schemas.process.logs import NOTICE
from stream_app.sink.metrics import SinkMetrics

log = logging.getLogger(__name__)

REMIND_EVERY_S = 60.0


class Outage:
    """The state of one sink: it stores, or waits for one cause at a time."""

    def __init__(self, metrics: SinkMetrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._cause = ""
        self._since_s = 0.0
        self._told_s = 0.0

    def failed(self, cause: str, text: str) -> None:
        """Take an attempt that failed; `cause` is its kind, `text` says what to do about it."""
        now_s = self._clock.monotonic_s()
        if cause != self._cause:
            if not self._cause:
                self._since_s = now_s
            self._set(cause)
            log.warning("%s nothing is stored: %s. Kafka keeps what is owed", NOTICE, text)
        elif now_s - self._told_s >= REMIND_EVERY_S:
            log.warning("nothing is stored for %.0f s: %s", now_s - self._since_s, text)
        else:
            return
        self._told_s = now_s

    def over(self) -> None:
        """Take an attempt that worked."""
        if self._cause:
            self._set("")
            log.warning(
                "%s the sink goes on after %.1f s",
                NOTICE,
                self._clock.monotonic_s() - self._since_s,
            )

    def given_up(self) -> None:
        """Take that nobody here waits any longer: what was tried is left to another attempt."""
        self._set("")

    def _set(self, cause: str) -> None:
        if self._cause:
            self._metrics.waiting.labels(self._cause).set(0)
        self._cause = cause
        if cause:
            self._metrics.waiting.labels(cause).set(1)
