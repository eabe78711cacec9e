"""Which records `tail` shows."""

from __future__ import annotations

from typing import Any

import pytest

from infra.kafka.tail_filter import Filter
from schemas import topics
from schemas.errors import ConfigurationError
from schemas.partitioning import PARTITIONS, partition_of
from schemas.topics import TopicSpec

CONTRACT = "kucoin:XBTUSDTM"
RECORD = {"contract_id": CONTRACT, "feed": "kucoin", "z": -2.5}


@pytest.mark.parametrize(
    ("wanted", "record", "holds"),
    [
        (Filter(), RECORD, True),
        (Filter(contract=CONTRACT), RECORD, True),
        (Filter(contract="kucoin:XBT"), RECORD, False),
        (Filter(feed="kucoin"), RECORD, True),
        (Filter(feed="kuco"), RECORD, False),
        (Filter(feed="kucoin"), {"subject": CONTRACT}, True),
        (Filter(feed="kucoin"), {"subject": "kucoin"}, True),
        (Filter(feed="kucoin"), {"subject": "kucoin-2:X"}, False),
        (Filter(contract=CONTRACT), {"subject": CONTRACT}, True),
        (Filter(min_z=2.5), RECORD, True),
        (Filter(min_z=2.6), RECORD, False),
        (Filter(min_z=0), RECORD | {"z": None}, False),
        (Filter(contract=CONTRACT, feed="kucoin", min_z=3), RECORD, False),
    ],
)
def test_a_record_must_have_all_that_is_wanted(
    wanted: Filter, record: dict[str, Any], *, holds: bool
) -> None:
    """Of alerts and audit events, the subject is the contract, or a feed."""
    assert wanted.holds(record) is holds


def test_a_contract_is_looked_for_in_its_partition_alone() -> None:
    """Whatever has no contract may be in each."""
    assert Filter(contract=CONTRACT).partitions(topics.ZSCORES) == [partition_of(CONTRACT)]
    assert Filter(contract=CONTRACT).partitions(topics.NOTIFICATIONS) == [0]
    assert Filter(feed="kucoin").partitions(topics.ZSCORES) == list(range(PARTITIONS))


@pytest.mark.parametrize(
    ("wanted", "topic", "option"),
    [
        (Filter(min_z=1), topics.RATES, "--min-z"),
        (Filter(contract=CONTRACT), topics.STATUS, "--contract"),
        (Filter(contract=CONTRACT), topics.DEAD_LETTERS, "--contract"),
        (Filter(feed="kucoin"), topics.WORKERS, "--feed"),
    ],
)
def test_a_filter_by_what_records_do_not_have_is_refused(
    wanted: Filter, topic: TopicSpec, option: str
) -> None:
    """Else nothing would ever come, without a word."""
    with pytest.raises(ConfigurationError, match=f"{option}: records of {topic.name} have no"):
        wanted.check(topic)


def test_a_filter_by_what_records_have_is_fine() -> None:
    """On topics of both kinds."""
    Filter(CONTRACT, "kucoin", 1).check(topics.ZSCORES)
    Filter(CONTRACT, "kucoin").check(topics.ALERTS)
    Filter().check(topics.DEAD_LETTERS)


def test_the_end_of_a_key_is_seen_where_nothing_is_chosen() -> None:
    """It has no fields to choose by."""
    assert Filter().holds(None)
    assert not Filter(feed="kucoin").holds(None)
    assert not Filter(min_z=0).holds(None)
