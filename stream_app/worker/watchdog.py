"""Ends a worker that cannot go on, whatever its event loop and Faust are doing.

Faust may crash and leave the process standing: it processes nothing, and no supervisor notices. So
a thread of its own looks at the process from outside the event loop once a second, and ends it with
exit code 70 (schemas.errors.FatalError) if stall_detector.py finds a reason.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from schemas.clock import Clock
from schemas.errors import FatalError, FundingStreamError
from stream_app.worker.group_lag import GroupLag, LogLimit
from stream_app.worker.stall_detector import Behind, Observation, StallDetector, Work

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
_LOG_TIMEOUT_S = 2.0


class Watched(NamedTuple):
    """What the watchdog reads of a worker."""

    loop: asyncio.AbstractEventLoop
    work: Callable[[], Work]
    """What there is to do. Called in the loop."""
    fallen: Callable[[], str | None]
    """What has failed or stopped, in words. Called in the watchdog's thread, as is the next."""
    asked_to_stop: Callable[[], bool]
    """Whether a signal asked for the end."""


class Answer(NamedTuple):
    """What the event loop said when it last answered."""

    number: int = 0
    """One more with each answer."""
    work: Work = Work()


class Watchdog(threading.Thread):
    """Looks at the worker once a second from a daemon thread."""

    def __init__(
        self,
        worker: Watched,
        lag: GroupLag,
        clock: Clock,
        patience_s: float,
        *,
        end: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`patience_s`: see `StallDetector`. `end` ends the process (default: `end_process`)."""
        super().__init__(name="watchdog", daemon=True)
        self._worker = worker
        self._lag = lag
        self._clock = clock
        self._end = end or end_process
        self._sleep = sleep
        self._detector = StallDetector(patience_s)
        self._answer = Answer()
        self._seen = 0
        """Number of the answer at the last look."""
        self._ask_every_s = patience_s / 4
        self._ask_at_s = 0.0
        self._kafka_answers = True
        self._limit = LogLimit(clock)

    def run(self) -> None:
        """Look until there is a reason to end the process."""
        while True:
            try:
                reason = self._detector.reason(self._look())
            except Exception:
                log.exception("the watchdog cannot see; looking again")
                reason = None
            if reason is not None:
                self._end(reason)
            self._sleep(LOOK_EVERY_S)

    def _look(self) -> Observation:
        # A closed loop does not answer either, and is found by that.
        with suppress(RuntimeError):
            self._worker.loop.call_soon_threadsafe(self._note_answer)
        behind = None
        if self._clock.monotonic_s() >= self._ask_at_s:
            self._ask_at_s = self._clock.monotonic_s() + self._ask_every_s
            behind = self._ask(self._answer.work)
        answer = self._answer
        answered, self._seen = answer.number != self._seen, answer.number
        return Observation(
            self._clock.monotonic_s(),
            answered,
            self._worker.fallen(),
            self._worker.asked_to_stop(),
            behind,
            self._kafka_answers,
            answer.work.preparing,
        )

    def _ask(self, work: Work) -> Behind | None:
        """Ask Kafka what waits. Whatever fails in this must not hide the other observations."""
        try:
            if work.preparing is not None:
                self._kafka_answers = self._lag.reachable()
                return {}
            behind = self._lag.behind(work.partitions)
        except Exception:
            if self._limit.is_due():
                log.exception("the watchdog cannot ask Kafka what waits; the rest it still sees")
            behind = None
        self._kafka_answers = behind is not None
        return behind

    def _note_answer(self) -> None:
        """Note, in the loop, that it answers and what there is to do."""
        self._answer = Answer(self._answer.number + 1, self._worker.work())


def end_process(reason: str) -> None:
    """End the process at once with exit code 70; the changelog rebuilds its state elsewhere.

    The reason is logged from another thread, for which this waits 2 s at most: whatever blocks the
    process may hold the log's lock.
    """
    error = sys.exc_info()[1]
    known = isinstance(error, FundingStreamError)

    def log_reason() -> None:
        log.critical(
            "%s: exiting, to restart from the last acknowledged state",
            f"{reason}: {error}" if known and str(error) != reason else reason,
            exc_info=None if known else error,
        )
        logging.shutdown()
        sys.stderr.flush()

    logging_thread = threading.Thread(target=log_reason, daemon=True)
    logging_thread.start()
    logging_thread.join(_LOG_TIMEOUT_S)
    os._exit(FatalError.exit_code)
