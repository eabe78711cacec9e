"""Intervals of settlements: what the times between them tell, and what overrules that."""

from __future__ import annotations

import pytest

from schemas.times import US_PER_HOUR
from stream_app.core.scoring.interval_evidence import IntervalEvidence
from stream_app.core.scoring.settled_intervals import Spacing, by_spacing, settled_interval

S = 1_000_000
AT = 1_791_273_600_000_000 + 16 * US_PER_HOUR
"""16:00 on some day."""


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # Nothing happens.
        ([8, 8], [8, 8], (8, False)),
        ([8], [8], (8, False)),
        ([8, 8], [], (8, False)),
        ([], [4, 4], (4, False)),
        # A change at a settlement: the last one before it, and the first one after it.
        ([8, 8], [1, 1], (8, False)),
        ([1, 8], [1, 1], (1, False)),
        ([1, 1], [8, 8], (1, False)),
        ([8, 1], [8, 8], (8, False)),
        # A change between two settlements.
        ([3, 8], [1, 1], (1, False)),
        ([3, 1], [8, 8], (8, True)),
        # A hole before or after; a hole just before a change.
        ([16, 8], [8, 8], (8, False)),
        ([8, 8], [24, 8], (8, False)),
        ([8, 16], [8, 24], (8, False)),
        ([16, 8], [1, 1], (8, False)),
        ([16, 1], [8, 8], (8, False)),
        ([9, 8], [1, 1], (1, False)),
        # Holes next to each other.
        ([16, 8], [16, 8], (8, True)),
        ([8, 4, 4], [8, 4, 4], (4, True)),
        ([8, 8, 4], [4, 4, 4], (4, True)),
        ([24, 8, 8], [24, 8, 8], (8, True)),
        ([16], [16], (8, True)),
        # A moved clock, while what follows is known or not.
        ([4, 8], [8, 8], (8, False)),
        ([4, 8], [8], (8, False)),
        ([12, 8], [8, 8], (8, False)),
        ([4, 8], [], (4, True)),
        # The edges of a history.
        ([16, 8], [], (8, True)),
        ([8, 16], [], (8, False)),
        ([], [8, 16], (8, False)),
        ([], [16, 8], (8, True)),
        ([], [8, 1], (1, True)),
        # Times that no interval has.
        ([3, 3], [3, 3], (3, False)),
        ([16], [], (8, True)),
        ([4.5, 8], [], (8, True)),
        ([0.02, 8], [7.98], (7.98, True)),
    ],
)
def test_the_times_between_settlements_tell_the_interval(
    before: list[float], after: list[float], expected: tuple[float, bool]
) -> None:
    """The nearest first on both sides; what they leave open is in doubt."""
    found = by_spacing(Spacing(before, after))
    assert (found.hours, found.doubtful) == expected
    assert found.source == "observed"


def listed(hours: float, at: int) -> IntervalEvidence:
    """A list that says one interval since a time."""
    evidence = IntervalEvidence()
    evidence.note_listed(hours, at)
    return evidence


@pytest.mark.parametrize(
    ("hours", "before", "after", "expected"),
    [
        # On the grid of what is listed, whatever the times say.
        (8, [1, 1], [], (8, "exchange_info", False)),
        (8, [3, 1], [8, 8], (8, "exchange_info", False)),
        (1, [8, 8], [], (1, "exchange_info", False)),
        # Equal shorter times on both sides: the list is outdated.
        (8, [1, 1], [1, 1], (1, "observed", False)),
        (8, [4], [4], (4, "observed", False)),
        # Longer ones are holes.
        (1, [4, 4], [4, 4], (1, "exchange_info", False)),
    ],
)
def test_what_is_listed_counts_more_than_the_times(
    hours: float, before: list[float], after: list[float], expected: tuple[float, str, bool]
) -> None:
    """As it was in force at the settlement."""
    evidence = listed(hours, AT - US_PER_HOUR)
    assert settled_interval(AT, None, evidence, Spacing(before, after)) == expected


def test_a_settlement_off_the_listed_grid_is_in_doubt_until_another_one_follows() -> None:
    """Either the list is outdated or the clock has moved; 17:00 is of no 8 h."""
    evidence, at = listed(8, AT - US_PER_HOUR), AT + US_PER_HOUR
    assert settled_interval(at, None, evidence, Spacing([1, 8], [])).doubtful
    followed = settled_interval(at, None, evidence, Spacing([1, 8], [8]))
    assert tuple(followed) == (8, "exchange_info", False)
    hourly = settled_interval(at, None, evidence, Spacing([1, 8], [1]))
    assert tuple(hourly) == (1, "observed", False)


@pytest.mark.parametrize(
    ("before", "later", "lag_min", "expected"),
    [(1, 8, 1, True), (1, 8, 30, False), (8, 1, 1, False), (8, 8, 1, False)],
)
def test_a_longer_interval_that_is_listed_soon_after_leaves_it_open(
    before: float, later: float, lag_min: int, *, expected: bool
) -> None:
    """The change may have been made before the settlement; the list lags."""
    evidence = listed(before, AT - 24 * US_PER_HOUR)
    evidence.note_listed(later, AT + lag_min * US_PER_HOUR // 60)
    found = settled_interval(AT, None, evidence, Spacing([before, before], [later]))
    assert (found.hours, found.doubtful) == (before, expected)


def test_what_is_stated_counts_more_than_the_list() -> None:
    """By the settlement's own payload, or by an estimate for its funding time."""
    evidence = listed(8, AT - US_PER_HOUR)
    assert settled_interval(AT, 2.0, evidence, Spacing([1], [])) == (2, "payload", False)
    evidence.note_stated(1.0, AT, AT - 9)
    assert settled_interval(AT, None, evidence, Spacing([1], [])) == (1, "payload", False)
    assert settled_interval(AT + 8 * US_PER_HOUR, None, evidence, Spacing([8], [])).hours == 8


def test_what_is_listed_later_tells_of_the_settlement_just_before() -> None:
    """A first start: the next settlement is still to come when the list is read."""
    evidence = listed(1, AT + US_PER_HOUR // 2)
    assert settled_interval(AT, None, evidence, Spacing([3, 8], [])) == (1, "observed", False)
    assert settled_interval(AT, None, evidence, Spacing([], [])) == (1, "exchange_info", False)
    long_ago = AT - 40 * US_PER_HOUR
    assert settled_interval(long_ago, None, evidence, Spacing([], [])) == (1, "assumed", True)


def test_statements_may_come_in_any_order() -> None:
    """And a value that is said again later is in force from its first time on."""
    forward, backward = IntervalEvidence(), IntervalEvidence()
    said = [(8.0, 10), (8.0, 20), (1.0, 30), (4.0, 40), (4.0, 50), (1.0, 60)]
    for hours, at in said:
        forward.note_listed(hours, at)
    for hours, at in reversed(said):
        backward.note_listed(hours, at)
    for at in (5, 10, 15, 25, 30, 39, 45, 60, 99):
        one, other = forward.listed_at(at), backward.listed_at(at)
        assert (one and one.hours) == (other and other.hours)
    forward.note_listed(2.0, 15)
    found = [forward.listed_at(at) for at in (12, 16, 22)]
    assert [entry.hours for entry in found if entry] == [8.0, 2.0, 8.0]


def test_no_statement_is_lost_when_the_interval_changes() -> None:
    """8 h was stated up to 20:00 before 1 h was stated for the hours between."""
    evidence = IntervalEvidence()
    for hours, funding_time in [(8.0, -4), (8.0, 4), *((1.0, hour) for hour in (-1, 0, 1, 2))]:
        at = AT + funding_time * US_PER_HOUR
        evidence.note_stated(hours, at, at - US_PER_HOUR // 2 if hours == 1.0 else AT - 9 * S)
    stated = [evidence.stated_for(AT + hour * US_PER_HOUR) for hour in (-4, -1, 0, 1, 2, 3)]
    assert stated == [8.0, 1.0, 1.0, 1.0, 1.0, None]


def test_of_two_statements_about_one_funding_time_the_later_one_counts() -> None:
    """The interval may change between two settlements."""
    for order in (1, -1):
        evidence = IntervalEvidence()
        for hours, said_at in [(1.0, AT - 50), (8.0, AT - 20)][::order]:
            evidence.note_stated(hours, AT, said_at)
        assert evidence.stated_for(AT) == 8.0
