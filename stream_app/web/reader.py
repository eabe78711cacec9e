"""Fills a Fleet from the topics, and from ClickHouse with what is older than they are read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from schemas.clock import Clock
from schemas.config.settings import SharedSettings
from schemas.errors import FatalError
from schemas.kafka.topic_follower import Followed, Source, TopicFollower
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_HOUR, US_PER_S, hour_floor
from schemas.topics import (
    ALERTS,
    BARS,
    CONTRACTS,
    NOTIFICATIONS,
    SETTLEMENTS,
    STATUS,
    WORKERS,
    ZSCORES,
)
from stream_app.web.fleet import ALERTS_KEPT_S, Fleet
from stream_app.web.past import HOURS_KEPT

log = logging.getLogger(__name__)

ZSCORES_SINCE_S = 180
"""A contract is emitted every 5 s, one whose exchange pushes each minute at least once in this."""
SETTLEMENTS_SINCE_S = 600
APPLIED_WITHIN_S = 60.0
WATCHED_EVERY_S = 1.0
READ_TOPICS = (
    ZSCORES,
    CONTRACTS,
    STATUS,
    WORKERS,
    ALERTS,
    NOTIFICATIONS,
    BARS,
    SETTLEMENTS,
)
"""They must exist before the page starts."""

Take = Callable[[Followed], None]


class Reader:
    """Follows the topics from start to stop and fills a Fleet in the page's event loop.

    What the page shows first (z-scores, feeds, workers, alerts) is read in one thread, closed hours
    and settlements in another, so that the first data does not wait for two days of hours.
    """

    def __init__(
        self, settings: SharedSettings, catalog: SchemaCatalog, fleet: Fleet, clock: Clock
    ) -> None:
        """Connect nothing yet."""
        now_us = clock.now_us()
        self._take: Mapping[str, Take] = {
            ZSCORES.name: lambda it: fleet.take_zscore(it.record, it.published_at),
            CONTRACTS.name: lambda it: fleet.take_contract(it.key, it.record),
            STATUS.name: lambda it: fleet.take_feed(it.key, it.record),
            WORKERS.name: lambda it: fleet.take_worker(it.key, it.record),
            ALERTS.name: lambda it: fleet.take_alert(it.record),
            NOTIFICATIONS.name: lambda it: fleet.take_notification(it.record),
            BARS.name: lambda it: fleet.take_bar(it.record),
            SETTLEMENTS.name: lambda it: fleet.take_settlement(it.record),
        }
        self._loop: asyncio.AbstractEventLoop | None = None
        present = [
            Source(STATUS, "oldest"),
            Source(WORKERS, "oldest"),
            Source(CONTRACTS, "oldest"),
            Source(ZSCORES, now_us - ZSCORES_SINCE_S * US_PER_S),
            Source(ALERTS, now_us - ALERTS_KEPT_S * US_PER_S),
            Source(NOTIFICATIONS, now_us - ALERTS_KEPT_S * US_PER_S),
        ]
        past = [
            Source(BARS, hour_floor(now_us) - HOURS_KEPT * US_PER_HOUR),
            Source(SETTLEMENTS, now_us - SETTLEMENTS_SINCE_S * US_PER_S),
        ]
        self._present = TopicFollower(settings, catalog, present, self._hand_over)
        self._past = TopicFollower(settings, catalog, past, self._hand_over)
        self._unapplied = 0
        self.records = 0
        """How many records have been applied."""

    @property
    def caught_up(self) -> bool:
        """True once what the page shows first has been read up to the topics' ends at the start."""
        return self._present.caught_up

    @property
    def malformed(self) -> int:
        """How many records could not be decoded, or shown."""
        return self._present.malformed + self._past.malformed + self._unapplied

    async def watch(self) -> None:
        """Return never, while both threads run.

        Raises:
            FatalError: one of them has ended by itself.
        """
        while True:
            await asyncio.sleep(WATCHED_EVERY_S)
            if not (self._present.is_alive() and self._past.is_alive()):
                raise FatalError("the page reads the topics no more: start it again")

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to follow; the records are applied in `loop`."""
        self._loop = loop
        self._present.start()
        self._past.start()

    def stop(self) -> None:
        """End both threads. Not to be called in the event loop, which they may wait for."""
        followers = (self._present, self._past)
        for follower in followers:
            follower.ask_to_stop()
        for follower in followers:
            follower.stop()

    def _hand_over(self, records: Sequence[Followed]) -> None:
        """Apply records in the event loop and wait for it: so no more than these wait for it."""
        assert self._loop is not None, "started"
        applied: Future[None] = Future()
        try:
            self._loop.call_soon_threadsafe(self._apply, records, applied)
            applied.result(APPLIED_WITHIN_S)
        except (TimeoutError, RuntimeError) as error:
            log.warning("%d records of the page were not applied: %r", len(records), error)

    def _apply(self, records: Sequence[Followed], applied: Future[None]) -> None:
        try:
            for followed in records:
                if followed.record is not None or followed.topic in _COMPACTED:
                    self._apply_one(followed)
        finally:
            self.records += len(records)
            applied.set_result(None)

    def _apply_one(self, followed: Followed) -> None:
        """Apply a record. One that cannot be applied is counted, and costs no other."""
        try:
            self._take[followed.topic](followed)
        except Exception:
            self._unapplied += 1
            if self._unapplied == 1:
                log.exception("a record of %s cannot be shown; others are counted", followed.topic)


_COMPACTED: frozenset[Any] = frozenset({CONTRACTS.name, STATUS.name, WORKERS.name})
"""Topics in which a record without a value removes a key."""
