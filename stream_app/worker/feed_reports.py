"""The newest FeedStatus that each feed's producer has published, read from its topic.

The page and the readiness check use it. Rates and z-scores never do, so that the worker's outputs
follow from the raw log alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.feeds import FEEDS
from schemas.kafka.topic_follower import TopicFollower
from schemas.records import FeedStatus
from schemas.serde.registry import SchemaCatalog
from schemas.topics import STATUS
from stream_app.settings import WorkerSettings


class FeedReports:
    """Follows the topic from start to stop; `newest` may be called from any thread."""

    def __init__(self, settings: WorkerSettings, catalog: SchemaCatalog) -> None:
        self._newest: Mapping[str, FeedStatus] = {}
        self._follower = TopicFollower(settings, catalog, STATUS, self._take, from_beginning=True)
        self.start = self._follower.start
        self.stop = self._follower.stop

    def newest(self) -> Mapping[str, FeedStatus]:
        """Return the newest status of each feed that has ever reported."""
        return self._newest

    def _take(self, key: bytes | None, status: FeedStatus | None) -> None:
        """Keep a status, or forget it for a tombstone. Statuses of unknown feeds are ignored."""
        if status is None:
            forgotten = (key or b"").decode(errors="replace")
            self._newest = {k: v for k, v in self._newest.items() if k != forgotten}
            return
        feed = status["feed"]
        known = self._newest.get(feed)
        if feed in FEEDS and (known is None or status["reported_at"] >= known["reported_at"]):
            self._newest = {**self._newest, feed: status}
