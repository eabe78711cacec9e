"""The topics: the table of docs/decisions/topics-and-tables.md, row by row. Outside consumers rely
on it.
"""

from __future__ import annotations

import pytest

from schemas import topics
from schemas.feeds import FEEDS
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

DAY_MS = 86_400_000
TABLE: list[tuple[str, RecordType | None, int, str, int | None]] = [
    ("funding.raw.binance-usdm", RAW_BATCH, 8, "delete", 7),
    ("funding.settlements", SETTLEMENT, 8, "delete", 60),
    ("funding.rates", FUNDING_RATE, 8, "delete", 7),
    ("funding.zscores", ZSCORE, 8, "delete", 30),
    ("funding.alerts", ALERT, 8, "delete", 90),
    ("funding.bars", HOURLY_BAR, 8, "delete", 60),
    ("funding.audit", AUDIT_EVENT, 8, "delete", 90),
    ("funding.contracts", CONTRACT, 8, "compact", None),
    ("funding.feeds", FEED_STATUS, 1, "compact", None),
    ("funding.workers", WORKER_STATUS, 1, "compact", None),
    ("funding.notifications", NOTIFICATION, 1, "compact,delete", 90),
    ("funding.dead-letters", None, 8, "delete", 30),
]


@pytest.mark.parametrize(
    ("name", "record_type", "partitions", "policy", "days"), TABLE, ids=[row[0] for row in TABLE]
)
def test_a_topic_is_as_the_design_has_it(
    name: str, record_type: RecordType | None, partitions: int, policy: str, days: int | None
) -> None:
    """Record, partitions, clean-up policy and retention."""
    spec = {topic.name: topic for topic in topics.all_topics(("binance-usdm",))}[name]
    assert (spec.record_type, spec.partitions) == (record_type, partitions)
    assert spec.config["cleanup.policy"] == policy
    assert spec.config.get("retention.ms") == (None if days is None else str(days * DAY_MS))


def test_there_are_no_other_topics() -> None:
    """What is created is what is documented, with one raw topic for each feed."""
    assert [t.name for t in topics.all_topics(("binance-usdm",))] == [row[0] for row in TABLE]
    raw = {f"funding.raw.{feed}" for feed in FEEDS}
    assert raw == {t.name for t in topics.all_topics()} - {row[0] for row in TABLE[1:]}


def test_a_subject_is_the_topic_and_value() -> None:
    """Confluent's TopicNameStrategy, so that any deserialiser finds the schema."""
    assert topics.RATES.subject == "funding.rates-value"


def test_a_raw_topics_name_gives_its_feed_back() -> None:
    """The worker learns the feed from the topic alone."""
    assert topics.feed_of_raw_topic(topics.raw_topic("binance-usdm")) == "binance-usdm"


def test_changelogs_are_compacted_and_named_as_faust_names_them() -> None:
    """Created by us, because Faust would create them with other settings."""
    spec = topics.changelog_topic_spec("fundingstream", "contracts")
    assert (spec.name, spec.partitions) == ("fundingstream-contracts-changelog", 8)
    assert spec.config["cleanup.policy"] == "compact"
    assert "retention.ms" not in spec.config


def test_every_topic_takes_the_largest_record() -> None:
    """A dead letter may be as large as the raw record that it was."""
    sizes = {t.config["max.message.bytes"] for t in topics.all_topics()}
    assert sizes == {str(topics.MAX_MESSAGE_BYTES)}
