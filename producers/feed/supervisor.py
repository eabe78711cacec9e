"""Keeps one feed running: a failure in it alone ends neither the other feeds nor the process.

An unexpected error (a bug in one exchange's code) ends this run of the feed. After a delay that
grows with each failure a new run begins. It shares with the old one only the publisher, the lock on
the data directory, the limits and the event log, so that events noted before are still published.
Errors that concern all feeds are raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import NoReturn

from producers.feed.feed import Feed
from producers.kafka.event_log import FeedEventLog
from producers.kafka.publisher import Publisher
from producers.rest.client import RestError
from producers.websocket.transport import TransportError
from schemas.audit_kinds import AuditKind
from schemas.backoff import Backoff
from schemas.clock import Clock
from schemas.control_items import FeedEvent
from schemas.errors import FundingStreamError, MalformedInputError
from schemas.text import one_line

log = logging.getLogger(__name__)

MAX_IN_A_ROW = 5
"""After so many failures the process ends, so that what runs it notices."""
HEALTHY_S = 300.0
"""A failure after a run of this length counts as the first of a row."""
_OF_ONE_EXCHANGE = (MalformedInputError, RestError, TransportError)
"""Typed errors about what one exchange sent: that they were not handled is a bug of its feed."""


class FeedFailedError(FundingStreamError):
    """A feed failed again and again for a reason of its own; the log has the tracebacks."""


class FeedSupervisor:
    """Runs one feed anew whenever it fails for a reason of its own."""

    def __init__(
        self,
        name: str,
        publisher: Publisher,
        make: Callable[[FeedEventLog], Feed],
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        """`make` returns a feed that is not running yet, each time a new one.

        `chance`: uniform in [0, 1), for the delays.
        """
        self._clock = clock
        self.name = name
        self._publisher = publisher
        self._make = make
        self._backoff = Backoff(chance, healthy_s=HEALTHY_S)
        self._event_log = FeedEventLog(name, publisher, clock)
        self.feed = make(self._event_log)
        """The feed that runs, or ran last."""
        self.failures = 0
        """Failed runs since the process started."""

    def list_contradicted(self) -> None:
        """Have the feed that runs now ask for its list again (Feed.list_contradicted)."""
        self.feed.list_contradicted()

    async def run(self) -> NoReturn:
        """Run the feed until cancelled.

        Raises:
            FeedFailedError: it failed MAX_IN_A_ROW times without HEALTHY_S between.
            FundingStreamError: something that concerns all feeds.
        """
        delay_s: float | None = None
        while True:
            began_s, began_us = self._clock.monotonic_s(), self._clock.now_us()
            try:
                if delay_s is not None:
                    await self._pause(delay_s)
                    self._publisher.forget_all_but(self._event_log.identity)
                    self.feed = self._make(self._event_log)
                    began_s, began_us = self._clock.monotonic_s(), self._clock.now_us()
                # A task of its own: a task group that fails may leave it marked as cancelled.
                await asyncio.create_task(self.feed.run())
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the other feeds go on
                delay_s = self._failed(error, began_us, self._clock.monotonic_s() - began_s)
            else:
                ended = RuntimeError("it ended without a reason")
                delay_s = self._failed(ended, began_us, self._clock.monotonic_s() - began_s)

    def _failed(self, error: BaseException, began_us: int, lasted_s: float) -> float:
        """Log and note a failure; return the delay before the next run.

        Raises:
            BaseException: there is no next run: the feed was cancelled, or all feeds have to end.
        """
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # A task group that is cancelled while a task of it fails raises the failure alone.
            raise error
        common = concerning_all(error)
        if common is not None:
            if not all(isinstance(leaf, FundingStreamError) for leaf in _leaves(error)):
                log.error("%s: failed: %s", self.name, _summary(error), exc_info=error)
            raise common from error
        self.failures += 1
        delay_s = self._backoff.failed(lasted_s)
        text = _summary(error)
        log.error("%s: failed after %.0f s: %s", self.name, lasted_s, text, exc_info=error)
        if self._backoff.failures >= MAX_IN_A_ROW:
            raise FeedFailedError(
                f"{self.name} failed {MAX_IN_A_ROW} times in a row, last with {text}: the log has "
                "the tracebacks; until it is mended, run the other feeds without it"
            ) from error
        detail = f"{text}; again in {delay_s:.1f} s"
        self._event_log.note(
            FeedEvent(
                AuditKind.FEED_FAILED, self.name, began_us, self._clock.now_us(), detail=detail
            )
        )
        return delay_s

    async def _pause(self, delay_s: float) -> None:
        """Wait, and send meanwhile what the failed run has left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._event_log.publish()
                await self._publisher.serve()


def concerning_all(error: BaseException) -> FundingStreamError | None:
    """Return the error within (groups of) errors that concerns every feed, if there is one."""
    for leaf in _leaves(error):
        if isinstance(leaf, FundingStreamError) and not isinstance(leaf, _OF_ONE_EXCHANGE):
            return leaf
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _summary(error: BaseException) -> str:
    """Return an error in one line; of a group the first one, and how many more there are."""
    first, *others = _leaves(error)
    text = one_line(f"{type(first).__name__}: {first}")
    return f"{text} (and {len(others)} more)" if others else text
