"""Statistics of a coming hour are made in idle time, and are there when the hour comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.times import US_PER_HOUR, US_PER_MINUTE
from stream_app.core.partition import FeedPartition
from stream_app.core.scoring.statistics import statistics_of
from stream_app.worker.hour_ahead import AHEAD_US, HourAhead
from tests.support.clock import ManualClock
from tests.support.partitions import HOUR_US, Partition, rated_partition


@pytest.fixture
def partition() -> Partition:
    """With one contract that has a baseline."""
    return rated_partition()


def ahead(partition: FeedPartition, clock: ManualClock) -> HourAhead:
    """What prepares a partition, in a worker that is idle."""

    def partitions() -> Iterator[FeedPartition]:
        yield partition

    return HourAhead(partitions, lambda: True, clock)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The hours for which statistics are computed from now on."""
    hours: list[int] = []

    def noted(rates: object, as_of: int) -> object:
        hours.append(as_of)
        return statistics_of(rates, as_of)  # type: ignore[arg-type]

    monkeypatch.setattr("stream_app.core.scoring.window.statistics_of", noted)
    return hours


async def test_the_coming_hour_is_prepared_once(partition: Partition, computed: list[int]) -> None:
    """Within the last minutes of an hour, however often it is looked."""
    coming = HOUR_US + US_PER_HOUR
    clock = ManualClock(coming - US_PER_MINUTE)
    for _ in range(3):
        await ahead(partition, clock).prepare_if_due()
    assert computed == [coming]
    entry = partition.store.entries["AUSDT"]
    entry.refresh(coming)
    assert entry.stats is not None
    assert entry.stats.as_of == coming
    assert computed == [coming], "what was prepared is used"


async def test_nothing_is_prepared_early(partition: Partition, computed: list[int]) -> None:
    """Settlements that come meanwhile would make it void."""
    clock = ManualClock(HOUR_US + US_PER_HOUR - AHEAD_US - US_PER_MINUTE)
    await ahead(partition, clock).prepare_if_due()
    assert computed == []
