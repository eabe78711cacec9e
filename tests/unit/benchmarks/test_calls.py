"""REST calls of an hour, told from a part of it."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.calls import failed
from benchmarks.rest_calls import HourlyCalls, Sample, full_hours, hourly
from schemas.times import US_PER_HOUR, US_PER_MINUTE

HOUR = 490_000 * US_PER_HOUR


def samples(*minutes: tuple[float, int]) -> list[Sample]:
    """What was counted at each minute."""
    return [
        (HOUR + round(minute * US_PER_MINUTE), Counter({"rest:kucoin/a": 7 + number, "x": number}))
        for minute, number in minutes
    ]


def test_without_a_full_hour_everything_is_scaled() -> None:
    """To an hour."""
    found = hourly(samples((20, 0), (30, 2), (40, 3)), "rest:kucoin")
    assert found["/a"][:2] == (3, 0)
    assert found["/a"].an_hour == pytest.approx(9.0)


def test_calls_after_the_full_hour_are_counted_as_they_are() -> None:
    """Three within ten minutes of the hour, and two in the other twenty."""
    told = [(float(minute), 0) for minute in range(-10, 21)]
    counted = [(minute, sum(minute >= at for at in (-5, 1, 2, 9, 15))) for minute, _ in told]
    calls = hourly(samples(*counted), "rest:kucoin")["/a"]
    assert (calls.counted, calls.after_the_hour) == (5, 3)
    assert calls.an_hour == pytest.approx(3 + 50 * 2 / 20)


def test_full_hours_lie_within_with_the_minutes_after_them() -> None:
    """Or do not count."""
    assert full_hours(HOUR - US_PER_MINUTE, HOUR + 9 * US_PER_MINUTE) == 0
    assert full_hours(HOUR - US_PER_MINUTE, HOUR + 10 * US_PER_MINUTE) == 1
    assert full_hours(HOUR, HOUR + US_PER_HOUR + 10 * US_PER_MINUTE) == 2


def test_the_criterion_is_of_a_feed() -> None:
    """The sum of its paths."""
    found = {
        "kucoin": {"/a": HourlyCalls(5, 0, 10.0), "/b": HourlyCalls(3, 0, 39.0)},
        "backpack": {"/a": HourlyCalls(5, 0, 48.0)},
    }
    assert failed(found) == ["kucoin: 49.0 REST calls an hour, more than 48"]
