"""The definition of every Kafka topic: name, record type, partitions and configuration.

`fundingstream topics` creates them (schemas/kafka/admin.py) before any part starts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.feeds import FEEDS
from schemas.partitioning import PARTITIONS
from schemas.records import (
    ALERT,
    AUDIT_EVENT,
    CONTRACT,
    FEED_STATUS,
    FUNDING_RATE,
    HOURLY_BAR,
    NOTIFICATION,
    RAW_BATCH,
    SETTLEMENT,
    WORKER_STATUS,
    ZSCORE,
    RecordType,
)

_MS_PER_DAY = 86_400_000
_MIB = 1 << 20
MAX_MESSAGE_BYTES = 4 * _MIB


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it must exist on the broker.

    `record_type` is None where the values are not Avro records: changelogs and dead letters.
    """

    name: str
    record_type: RecordType | None
    partitions: int = PARTITIONS
    config: dict[str, str] = field(default_factory=dict)

    @property
    def is_compacted(self) -> bool:
        """True if only the newest record of each key is sure to be kept."""
        return "compact" in self.config.get("cleanup.policy", "")

    @property
    def subject(self) -> str:
        """The registry's subject for the values of this topic."""
        return f"{self.name}-value"


def _kept_for(days: int) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(days * _MS_PER_DAY),
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
    }


# Blocks of state are rewritten every second: small segments let compaction keep up with them.
_COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 * _MIB),
    "min.cleanable.dirty.ratio": "0.2",
    "max.compaction.lag.ms": "600000",
    "delete.retention.ms": "60000",
    "max.message.bytes": str(MAX_MESSAGE_BYTES),
}

RAW_PREFIX = "funding.raw."


def raw_topic(feed: str) -> str:
    """Return the name of a feed's raw topic."""
    return RAW_PREFIX + feed


def feed_of_raw_topic(topic: str) -> str:
    """Return the feed id of a raw topic's name."""
    return topic.removeprefix(RAW_PREFIX)


SETTLEMENTS = TopicSpec("funding.settlements", SETTLEMENT, config=_kept_for(60))
RATES = TopicSpec("funding.rates", FUNDING_RATE, config=_kept_for(7))
ZSCORES = TopicSpec("funding.zscores", ZSCORE, config=_kept_for(30))
ALERTS = TopicSpec("funding.alerts", ALERT, config=_kept_for(90))
BARS = TopicSpec("funding.bars", HOURLY_BAR, config=_kept_for(60))
AUDIT = TopicSpec("funding.audit", AUDIT_EVENT, config=_kept_for(90))
CONTRACTS = TopicSpec("funding.contracts", CONTRACT, config=_COMPACTED)
"""What each contract is, and how much of it is traded: the newest facts of each."""
STATUS = TopicSpec("funding.feeds", FEED_STATUS, partitions=1, config=_COMPACTED)
WORKERS = TopicSpec("funding.workers", WORKER_STATUS, partitions=1, config=_COMPACTED)
"""How far each worker is behind. Producers publish history more slowly while a worker is late, and
people monitor it; the sink does not store it."""
NOTIFICATIONS = TopicSpec(
    "funding.notifications",
    NOTIFICATION,
    partitions=1,
    # Each alert has keys of its own: compaction alone would keep them for ever.
    config=_COMPACTED | {"cleanup.policy": "compact,delete", "retention.ms": str(90 * _MS_PER_DAY)},
)
"""What the notifier told whom. It is its memory, so it is in one partition and compacted."""
DEAD_LETTERS = TopicSpec("funding.dead-letters", None, config=_kept_for(30))

OUTPUT_TOPICS: tuple[TopicSpec, ...] = (
    SETTLEMENTS,
    RATES,
    ZSCORES,
    ALERTS,
    BARS,
    AUDIT,
    CONTRACTS,
    STATUS,
)
"""The topics that the sink stores, each in a table of its own."""


def raw_topic_spec(feed: str) -> TopicSpec:
    """Return the definition of a feed's raw topic."""
    return TopicSpec(raw_topic(feed), RAW_BATCH, config=_kept_for(7))


def changelog_topic_spec(app_id: str, table: str) -> TopicSpec:
    """Return the definition of the changelog of a Faust table, named as Faust names it."""
    return TopicSpec(f"{app_id}-{table}-changelog", None, config=_COMPACTED)


def alert_state_topic_spec(group: str) -> TopicSpec:
    """Return the definition of the topic in which a notifier's group keeps its rules' state."""
    return TopicSpec(f"{group}-state-changelog", None, partitions=1, config=_COMPACTED)


def all_topics(feeds: tuple[str, ...] = FEEDS) -> tuple[TopicSpec, ...]:
    """Return every topic that outside consumers and our parts rely on."""
    raw = (raw_topic_spec(feed) for feed in feeds)
    return (*raw, *OUTPUT_TOPICS, WORKERS, NOTIFICATIONS, DEAD_LETTERS)
